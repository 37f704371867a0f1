import { connect, type Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { readBytes, readingInto } from '../../shim/program/reading.js';
import type { DatabaseAddress } from './address.js';
import type { BackendLimits } from './limits.js';

/** Whom a socket to the database tells what happens to it. */
export interface SocketOwner {
  /** By TCP, or by TLS on top of it. */
  socketConnected(): void;
  /** Valid during the call: the next read of any socket overwrites it. */
  socketData(chunk: Buffer): void;
  socketEnded(): void;
  socketFailed(error: Error): void;
  socketClosed(): void;
}

/** The same functions listen to all sockets, and find out here whose one is: functions of its own would be a third of a KiB a session. */
const owner = Symbol('owner');
type OwnedSocket = Socket & { [owner]?: SocketOwner | undefined };

function onConnect(this: OwnedSocket): void {
  this[owner]?.socketConnected();
}
function onData(this: OwnedSocket, chunk: Buffer): void {
  this[owner]?.socketData(chunk);
}
function onEnd(this: OwnedSocket): void {
  this[owner]?.socketEnded();
}
function onError(this: OwnedSocket, error: Error): void {
  this[owner]?.socketFailed(error);
}
function onClose(this: OwnedSocket): void {
  this[owner]?.socketClosed();
}

/** All reads of plain sockets go to one place: of one thread only one is under way at a time. */
let landing: Buffer = Buffer.allocUnsafeSlow(readBytes);

/** From now on sockets that are made read into this. @param memory of `readBytes` */
export function readInto(memory: Buffer): void {
  landing = memory;
}

/**
 * Options of a socket that reads there, and nothing while it is paused: bytes in the memory of a process that is killed are lost,
 * and no kernel has them any more.
 */
export function strictReading(socket: () => Socket) {
  return readingInto(landing, socket);
}

/**
 * Opens a TCP socket to the database. Half-open is allowed: each direction of a stream ends by itself, and the last bytes
 * of the other one still count. No Nagle: Oracle Net is request and answer. Keep-alive: a database host that is gone must
 * not leave a session that looks alive for ever; it also answers the server's own probes (EXPIRE_TIME) while a session is held.
 */
export function dial(address: DatabaseAddress, limits: BackendLimits, toTell: SocketOwner): Socket {
  const socket: Socket = connect({
    // TLS reads by itself, from below this.
    ...(address.tls === true ? {} : strictReading(() => socket)),
    host: address.host,
    port: address.port,
    allowHalfOpen: true,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: limits.keepAliveMs,
  });
  attach(socket, toTell);
  return socket;
}

export function attach(socket: OwnedSocket, toTell: SocketOwner): void {
  socket[owner] = toTell;
  socket.on(connectEvent(socket), onConnect);
  socket.on('data', onData);
  socket.on('end', onEnd);
  socket.on('error', onError);
  socket.on('close', onClose);
  socket.off('error', ignore);
}

/** The opposite of `attach`. What comes meanwhile stays in the socket; an error shows in `destroyed`. */
export function detach(socket: OwnedSocket): void {
  // A flowing socket without a receiver would drop what it reads.
  socket.pause();
  socket.on('error', ignore);
  socket.off(connectEvent(socket), onConnect);
  socket.off('data', onData);
  socket.off('end', onEnd);
  socket.off('error', onError);
  socket.off('close', onClose);
  socket[owner] = undefined;
}

function connectEvent(socket: Socket): 'connect' | 'secureConnect' {
  return socket instanceof TLSSocket ? 'secureConnect' : 'connect';
}

/** Lets go of a socket whose events nobody wants any more. */
export function abandon(socket: Socket): void {
  socket.removeAllListeners();
  socket.on('error', ignore);
  socket.destroy();
}

/** A socket that is being destroyed may still report an error; without a listener it would end the process. */
function ignore(): void {}
