import net, { type Server, type Socket } from 'node:net';
import tls, { type TlsOptions } from 'node:tls';
import { brokenBy } from '../shim/link/index.js';
import { listenAt } from '../shim/program/listen.js';
import { Reception, type ReceptionOptions } from './reception.js';

export interface LinkListenerOptions extends ReceptionOptions {
  /** Undefined: plain text. */
  readonly tls: TlsOptions | undefined;
}

/** Accepts the links of shims. */
export class LinkListener {
  readonly #reception: Reception;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  constructor(options: LinkListenerOptions) {
    this.#reception = new Reception(options);
    if (options.tls === undefined) this.#server = net.createServer((socket) => this.#accept(socket));
    else {
      const server = tls.createServer({ ...options.tls, handshakeTimeout: options.linkLimits.handshakeMs });
      server.on('secureConnection', (socket) => this.#accept(socket));
      server.on('tlsClientError', (cause, socket) => {
        const { code, message } = brokenBy(cause);
        options.log.warn({ code, why: message, address: socket.remoteAddress }, 'a link broke in its handshake');
      });
      this.#server = server;
    }
    // Also bounds those that have not said a word yet: accepted and closed by the runtime itself.
    this.#server.maxConnections = options.limits.workloadsMax + options.limits.handshakesMax;
    this.#server.on('drop', () => options.log.warn('too many links, one closed'));
  }

  /** @returns the port it listens on @throws {ListenError} address-in-use, bad-address */
  async listen(host: string, port: number): Promise<number> {
    return listenAt(this.#server, { host, port, backlog: 4096 });
  }

  async close(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
      for (const socket of this.#sockets) socket.destroySoon();
    });
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    this.#reception.greet(socket, socket.remoteAddress ?? '');
  }
}
