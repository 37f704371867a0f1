import { connect, type Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { readBytes, readingInto } from '../../shim/program/reading.js';
import type { DatabaseAddress } from './address.js';
import type { BackendLimits } from './limits.js';

/** What a socket to the database tells its session. Bound once per session, so that a redirect costs no new closures. */
export interface DialHandlers {
  /** By TCP, or by TLS on top of it. */
  connected(): void;
  /** Valid during the call: the next read of any socket overwrites it. */
  data(chunk: Buffer): void;
  end(): void;
  error(error: Error): void;
  close(): void;
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
export function dial(address: DatabaseAddress, limits: BackendLimits, handlers: DialHandlers): Socket {
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
  attach(socket, handlers);
  return socket;
}

export function attach(socket: Socket, handlers: DialHandlers): void {
  socket.on(connectEvent(socket), handlers.connected);
  socket.on('data', handlers.data);
  socket.on('end', handlers.end);
  socket.on('error', handlers.error);
  socket.on('close', handlers.close);
  socket.off('error', ignore);
}

/** The opposite of `attach`. What comes meanwhile stays in the socket; an error shows in `destroyed`. */
export function detach(socket: Socket, handlers: DialHandlers): void {
  // A flowing socket without a receiver would drop what it reads.
  socket.pause();
  socket.on('error', ignore);
  socket.off(connectEvent(socket), handlers.connected);
  socket.off('data', handlers.data);
  socket.off('end', handlers.end);
  socket.off('error', handlers.error);
  socket.off('close', handlers.close);
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
