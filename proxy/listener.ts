import net, { type Server, type Socket } from 'node:net';
import tls, { type TLSSocket } from 'node:tls';
import { brokenBy } from '../shim/link/index.js';
import { listenAt } from '../shim/program/listen.js';
import { peerOf, renewCertificates, type Security, serverTls } from '../shim/program/security.js';
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

  constructor(options: LinkListenerOptions) {
    this.#options = options;
    this.#reception = new Reception(options);
    const secured = serverTls(options.security, 'link');
    if (secured === undefined) this.#server = net.createServer((socket) => this.#accept(socket));
    else {
      const server = tls.createServer({ ...secured, handshakeTimeout: options.linkLimits.handshakeMs });
      server.on('secureConnection', (socket) => this.#accept(socket));
      server.on('tlsClientError', (cause, socket) => this.#handshakeFailed(cause, socket));
      renewCertificates(server, options.security);
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
    this.#reception.greet(socket, socket.remoteAddress ?? '', peerOf(socket, this.#options.security));
  }

  /** Node.js says "socket hang up" of a certificate it does not take; the socket knows why. */
  #handshakeFailed(cause: Error, { authorizationError, remoteAddress }: TLSSocket): void {
    const broken = brokenBy(cause);
    const fields = authorizationError
      ? { code: 'link-tls', why: `its certificate is not accepted: ${authorizationError}` }
      : { code: broken.code, why: broken.message };
    this.#options.log.warn({ ...fields, address: remoteAddress }, 'a link broke in its handshake');
  }
}
