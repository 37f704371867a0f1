import net, { type Server, type Socket } from 'node:net';
import tls, { type TlsOptions } from 'node:tls';
import type { Logger } from 'pino';
import {
  brokenBy,
  type ControlType,
  decodeConfirm,
  decodeResume,
  encodeRejected,
  frameTypes,
  LinkError,
  type LinkLimits,
  protocolVersion,
  type Resume,
} from '../shim/link/index.js';
import { LinkSocket } from '../shim/link/socket.js';
import { listenAt } from '../shim/program/listen.js';
import type { ProxyLimits } from './limits.js';
import type { Refusal, Registry } from './registry.js';
import type { Workload } from './workload.js';

export interface LinkListenerOptions {
  readonly registry: Registry;
  readonly limits: ProxyLimits;
  readonly linkLimits: LinkLimits;
  /** Undefined: plain text. */
  readonly tls: TlsOptions | undefined;
  readonly log: Logger;
}

/** Accepts the links of shims and brings each to its workload. */
export class LinkListener {
  readonly #options: LinkListenerOptions;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #handshakes = 0;

  constructor(options: LinkListenerOptions) {
    this.#options = options;
    if (options.tls === undefined) this.#server = net.createServer((socket) => this.#greet(socket));
    else {
      const server = tls.createServer({ ...options.tls, handshakeTimeout: options.linkLimits.handshakeMs });
      server.on('secureConnection', (socket) => this.#greet(socket));
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

  #greet(socket: Socket): void {
    const { registry, limits, linkLimits, log } = this.#options;
    const address = socket.remoteAddress ?? '';
    if (this.#handshakes >= limits.handshakesMax) {
      log.warn({ address, handshakes: this.#handshakes }, 'too many links in their handshake, one closed');
      socket.destroy();
      return;
    }
    this.#handshakes += 1;
    this.#sockets.add(socket);
    let workload: Workload | undefined;
    const late = setTimeout(() => {
      log.warn({ address }, 'a link did not finish its handshake in time');
      link.destroy();
    }, linkLimits.handshakeMs);
    let shaking = true;
    const shaken = (): void => {
      clearTimeout(late);
      if (shaking) this.#handshakes -= 1;
      shaking = false;
    };
    socket.once('close', () => {
      this.#sockets.delete(socket);
      shaken();
    });
    const control = (type: ControlType, payload: Buffer): void => {
      if (workload === undefined) {
        if (type !== frameTypes.resume)
          throw new LinkError('link-unexpected-frame', `control frame ${type} before RESUME`);
        shaken();
        const resume = readResume(payload);
        const answer = 'verdict' in resume ? resume : registry.bind(resume, link, address);
        if ('verdict' in answer) this.#reject(link, answer, address);
        else workload = answer;
      } else if (type === frameTypes.confirm) workload.confirm(link, decodeConfirm(payload));
      else if (type === frameTypes.detach) {
        registry.release(workload, link, 'detached');
        link.destroy();
      } else if (type === frameTypes.goodbye) registry.goodbye(workload);
      else throw new LinkError('link-unexpected-frame', `control frame ${type} after the handshake`);
    };
    const cut = (error: LinkError): void => {
      if (workload === undefined) {
        log.warn({ code: error.code, why: error.message, address }, 'a link broke in its handshake');
      } else registry.release(workload, link, error.message);
    };
    const link: LinkSocket = new LinkSocket(socket, linkLimits, { control, cut });
  }

  #reject(link: LinkSocket, refusal: Refusal, address: string): void {
    this.#options.log.warn({ code: `refused-${refusal.verdict}`, why: refusal.reason, address }, 'a link was refused');
    const retryAfterMs = refusal.verdict === 'try-later' ? this.#options.limits.tryLaterMs : 0;
    link.closeAfter(encodeRejected({ version: protocolVersion, ...refusal, retryAfterMs }));
  }
}

/** A shim of another version keeps its drivers and comes again: one of the two is about to be upgraded. */
function readResume(payload: Buffer): Resume | Refusal {
  try {
    return decodeResume(payload);
  } catch (error) {
    if (!(error instanceof LinkError) || error.code !== 'link-version') throw error;
    return { verdict: 'try-later', reason: error.message };
  }
}
