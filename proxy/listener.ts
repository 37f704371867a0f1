import net, { type Server, type Socket } from 'node:net';
import tls from 'node:tls';
import { type Guard, type GuardLimits, guardServer, type TurnedAway } from '../shim/program/guard.js';
import { type ListeningHandle, listenAt } from '../shim/program/listen.js';
import { Landing, readAnew } from '../shim/program/reading.js';
import { peerOf, type Security, serverTls } from '../shim/program/security.js';
import type { NativeHandle } from './kernel/handle.js';
import type { ProxyLimits } from './limits.js';
import { Reception, type ReceptionOptions } from './reception.js';
import { Sorter, type SorterOptions } from './workers/sorter.js';

export interface LinkListenerOptions extends ReceptionOptions {
  readonly security: Security;
  /** Gives links away that belong to the worker of another slot; only where there are several. */
  readonly pass?: SorterOptions['pass'];
}

/** Accepts the links of shims. */
export class LinkListener {
  readonly #options: LinkListenerOptions;
  readonly #reception: Reception;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #guard: Guard | undefined;
  readonly #sorter: Sorter | undefined;

  constructor(options: LinkListenerOptions) {
    this.#options = options;
    this.#reception = new Reception(options);
    const secured = serverTls(options.security, 'link');
    if (secured === undefined) {
      this.#server = net.createServer({ pauseOnConnect: true }, (accepted) => {
        const landing = new Landing();
        // What was read to find out whose it is. Without a sorter nothing was, and to ask would begin to read.
        const first: Buffer | null = this.#sorter === undefined ? null : accepted.read();
        const socket = readAnew(accepted, landing.next);
        this.#accept(Object.assign(socket, { keep: landing.keep }));
        if (first !== null) socket.emit('data', first);
      });
      this.#sorter = sorterOf(this.#server, options, false);
    } else {
      const server = tls.createServer({ ...secured, handshakeTimeout: options.linkLimits.handshakeMs });
      server.on('secureConnection', (socket) => this.#accept(socket));
      this.#sorter = sorterOf(server, options, true);
      this.#guard = guardServer(server, options.security, guardLimits(options.limits), (event) =>
        this.#turnedAway(event),
      );
      this.#server = server;
    }
    // Also bounds those that have not said a word yet: accepted and closed by the runtime itself.
    this.#server.maxConnections = options.limits.workloadsMax + options.limits.handshakesMax;
    this.#server.on('drop', () => options.log.warn('too many links, one closed'));
  }

  /** The listening socket, for the keeper. */
  get server(): Server {
    return this.#server;
  }

  /**
   * @param handle the worker before has listened there
   * @returns the port it listens on @throws {ListenError} address-in-use, bad-address
   */
  async listen(host: string, port: number, handle?: ListeningHandle): Promise<number> {
    return listenAt(this.#server, { host, port, backlog: 4096, handle });
  }

  /** A link that another worker has accepted. @param bytes what was read of it */
  take(handle: NativeHandle, bytes: Buffer): void {
    if (this.#sorter === undefined || !this.#server.listening) handle.close();
    else this.#sorter.take(handle, bytes);
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#guard?.close();
    this.#sorter?.close();
    // The server waits only for those that it has accepted itself.
    const gone = [...this.#sockets].map((socket) => new Promise<void>((resolve) => socket.once('close', resolve)));
    for (const socket of this.#sockets) socket.destroySoon();
    await Promise.all([closed, ...gone]);
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    this.#reception.greet(socket, socket.remoteAddress ?? '', peerOf(socket, this.#options.security));
  }

  #turnedAway({ why, cause, ...event }: TurnedAway): void {
    const fields =
      cause === undefined
        ? { code: 'too-many-handshakes', why }
        : { code: 'link-tls', why: `TLS failed (${why}): do both ends use the same secret, or certificates?` };
    this.#options.log.warn({ ...fields, ...event }, 'a link broke in its handshake');
  }
}

function sorterOf(server: Server, options: LinkListenerOptions, isTls: boolean): Sorter | undefined {
  const { slot, pass, limits, linkLimits, log } = options;
  if (slot === undefined || pass === undefined) return undefined;
  const { handshakesMax: waitingMax } = limits;
  return new Sorter(server, { slot, isTls, waitingMax, waitMs: linkLimits.handshakeMs, pass, log });
}

function guardLimits({ handshakesMax, handshakesPerAddressMax }: ProxyLimits): GuardLimits {
  return { newcomersMax: handshakesMax, newcomersPerAddressMax: handshakesPerAddressMax };
}
