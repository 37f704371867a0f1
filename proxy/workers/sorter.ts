/**
 * All workers of a proxy accept from one socket, and the kernel gives a link to any of them. Here it is found out whose it is,
 * by its first bytes, before TLS begins: the own ones go on, the others are given away, with what was read of them.
 *
 * Rejected: a port for each worker, and sending shims elsewhere. Firewalls, address translation and relays stand between, and each of
 * them would have to know how many workers there are.
 */
import type { Server, Socket } from 'node:net';
import type { Logger } from 'pino';
import type { Clock } from '../../shim/link/index.js';
import { systemClock } from '../../shim/link/socket.js';
import { type NativeHandle, socketOn, stopReading } from '../kernel/handle.js';
import { readHello } from './hello.js';
import { type Slot, slotOfHash } from './slot.js';

export interface SorterOptions {
  readonly slot: Slot;
  readonly isTls: boolean;
  /** Most links of which it is not known yet whose they are. One more is closed at once. */
  readonly waitingMax: number;
  /** Longest time for a link to say it. */
  readonly waitMs: number;
  /** Gives a link to the worker of another slot. @param gone it is no longer needed here */
  readonly pass: (to: number, bytes: Buffer, handle: NativeHandle, gone: () => void) => void;
  readonly log: Logger;
  /** The runtime's when left out. */
  readonly clock?: Clock;
}

export class Sorter {
  readonly #server: Server;
  readonly #options: SorterOptions;
  readonly #accept: readonly ((this: Server, socket: Socket) => void)[];
  readonly #waiting = new Set<Socket>();
  /** Another worker has read whose they are. */
  readonly #given = new WeakSet<Socket>();

  /** Stands before what `server` does with a connection; `guardServer` goes before this. */
  constructor(server: Server, options: SorterOptions) {
    this.#server = server;
    this.#options = options;
    this.#accept = server.listeners('connection') as ((this: Server, socket: Socket) => void)[];
    server.removeAllListeners('connection');
    server.on('connection', (socket: Socket) => {
      if (this.#given.has(socket)) this.#goOn(socket);
      else this.#look(socket);
    });
  }

  /** Goes on with a link that another worker has accepted, as if it had come here. @param bytes what was read of it */
  take(handle: NativeHandle, bytes: Buffer): void {
    const socket = socketOn(handle, { allowHalfOpen: false });
    this.#given.add(socket);
    socket.on('error', () => undefined);
    socket.unshift(bytes);
    this.#server.emit('connection', socket);
  }

  /** Closes those of which it is not known whose they are. */
  close(): void {
    for (const socket of this.#waiting) socket.destroy();
  }

  #look(socket: Socket): void {
    const { isTls, waitingMax, waitMs, log, clock = systemClock } = this.#options;
    const { remoteAddress: address } = socket;
    if (this.#waiting.size >= waitingMax) {
      log.warn({ address, waiting: this.#waiting.size }, 'too many links in their handshake, one closed');
      socket.destroy();
      return;
    }
    this.#waiting.add(socket);
    const cancelLate = clock.after(waitMs, () => {
      log.warn({ address }, 'a link did not finish its handshake in time');
      socket.destroy();
    });
    const parts: Buffer[] = [];
    let length = 0;
    let wanted = 1;
    const done = (): void => {
      cancelLate();
      this.#waiting.delete(socket);
      socket.off('readable', read).off('end', ended);
    };
    const read = (): void => {
      const part: Buffer | null = socket.read();
      if (part === null) return;
      parts.push(part);
      length += part.length;
      if (length < wanted) return;
      const bytes = Buffer.concat(parts);
      const hello = readHello(bytes, isTls);
      if (hello.kind === 'more') {
        wanted = hello.bytes;
        return;
      }
      done();
      this.#sort(socket, bytes, hello.kind === 'hash' ? hello.hash : undefined);
    };
    const ended = (): void => void socket.destroy();
    // For good: whoever goes on with it may listen to something that stands before it.
    socket.on('error', () => undefined);
    socket.on('readable', read).on('end', ended).once('close', done);
  }

  #sort(socket: Socket, bytes: Buffer, hash: number | undefined): void {
    const { slot, pass } = this.#options;
    const to = hash === undefined ? slot.index : slotOfHash(hash, slot.of);
    if (to === slot.index) {
      socket.unshift(bytes);
      this.#goOn(socket);
      return;
    }
    const handle = stopReading(socket);
    if (handle === undefined) return;
    // Closing it here leaves the connection alone: the other worker has a descriptor of its own by then.
    pass(to, bytes, handle, () => socket.destroy());
  }

  #goOn(socket: Socket): void {
    for (const accept of this.#accept) accept.call(this.#server, socket);
  }
}
