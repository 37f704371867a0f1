import net, { type Server, type Socket } from 'node:net';
import tls from 'node:tls';
import { type Guard, type GuardLimits, guardServer, type TurnedAway } from '../shim/program/guard.js';
import { type ListeningHandle, listenAt } from '../shim/program/listen.js';
import { Landing, readAnew } from '../shim/program/reading.js';
import { peerOf, type Security, serverTls } from '../shim/program/security.js';
import type { ProxyLimits } from './limits.js';
import { Reception, type ReceptionOptions } from './reception.js';

export interface LinkListenerOptions extends ReceptionOptions {
  readonly security: Security;
}

/** Accepts the links of shims. */
export class LinkListener {
  readonly #options: LinkListenerOptions;
  readonly #reception: Reception;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #guard: Guard | undefined;

  constructor(options: LinkListenerOptions) {
    this.#options = options;
    this.#reception = new Reception(options);
    const secured = serverTls(options.security, 'link');
    if (secured === undefined) {
      this.#server = net.createServer({ pauseOnConnect: true }, (accepted) => {
        const landing = new Landing();
        this.#accept(Object.assign(readAnew(accepted, landing.next), { keep: landing.keep }));
      });
    } else {
      const server = tls.createServer({ ...secured, handshakeTimeout: options.linkLimits.handshakeMs });
      server.on('secureConnection', (socket) => this.#accept(socket));
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

  async close(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
      this.#guard?.close();
      for (const socket of this.#sockets) socket.destroySoon();
    });
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

function guardLimits({ handshakesMax, handshakesPerAddressMax }: ProxyLimits): GuardLimits {
  return { newcomersMax: handshakesMax, newcomersPerAddressMax: handshakesPerAddressMax };
}
