import type { Server, Socket } from 'node:net';
import tls from 'node:tls';
import { tlsReason } from './errors.js';
import { certificateTls, type Security } from './security.js';

/** Bounds of what somebody can use up who has not proved who he is. */
export interface GuardLimits {
  /** Connections in their TLS handshake. One more is closed at once. */
  readonly newcomersMax: number;
  /** The same of one address, so that one host cannot keep all others out. */
  readonly newcomersPerAddressMax: number;
}

export interface Guard {
  /** Closes those that are in their handshake: the server is being closed. */
  close(): void;
}

/** A connection that did not come in. */
export interface TurnedAway {
  readonly address: string | undefined;
  readonly why: string;
  /** Of TLS; undefined when there were too many. */
  readonly cause?: Error;
  /** How many before this one were not reported. */
  readonly unreported?: number;
}

/** Reports in a minute: who has no key must not be able to fill the disk under the log. */
export const reportsPerMinuteMax = 60;
const minuteMs = 60_000;

/**
 * Stands before a TLS server (one made with `serverTls`, which has its listeners): counts those who have not proved yet who
 * they are, and closes what does not come in. Before each handshake it gives the server the certificate that stands in the
 * files then. A server without TLS asks nobody to prove anything: nothing is done.
 *
 * Node.js only reports a handshake that fails or takes too long; without the `destroy` here the connection would stay for
 * as long as its other end likes.
 */
export function guardServer(
  server: Server,
  security: Security,
  limits: GuardLimits,
  report: (event: TurnedAway) => void,
  nowMs: () => number = () => performance.now(),
): Guard {
  if (!(server instanceof tls.Server)) return { close: () => undefined };
  const newcomers = new Newcomers(limits);
  const turnedAway = sparingly(report, nowMs);
  const renew = renewal(server, security);
  const listeners = server.listeners('connection') as ((this: Server, socket: Socket) => void)[];
  server.removeAllListeners('connection');
  server.on('connection', (socket: Socket) => {
    const why = newcomers.arrive(socket);
    if (why !== undefined) {
      turnedAway({ address: socket.remoteAddress, why });
      socket.destroy();
      return;
    }
    renew();
    for (const listener of listeners) listener.call(server, socket);
  });
  server.prependListener('secureConnection', (socket) => newcomers.leave(socket));
  server.on('tlsClientError', (cause, socket) => {
    const { authorizationError, remoteAddress: address } = socket;
    // "socket hang up" is all that Node.js says of a certificate it does not take; the socket knows why.
    const why = authorizationError ? `its certificate is not accepted: ${authorizationError}` : tlsReason(cause);
    turnedAway({ address, why, cause });
    socket.destroy();
  });
  return { close: () => newcomers.close() };
}

function sparingly(report: (event: TurnedAway) => void, nowMs: () => number): (event: TurnedAway) => void {
  let sinceMs = nowMs();
  let reported = 0;
  let unreported = 0;
  return (event) => {
    if (nowMs() - sinceMs >= minuteMs) {
      sinceMs = nowMs();
      reported = 0;
    }
    if (reported >= reportsPerMinuteMax) {
      unreported += 1;
      return;
    }
    reported += 1;
    report(unreported === 0 ? event : { ...event, unreported });
    unreported = 0;
  };
}

class Newcomers {
  readonly #limits: GuardLimits;
  /** By both ends of the connection: the socket of TLS is another object than the one that was accepted. */
  readonly #present = new Map<string, { readonly socket: Socket; readonly address: string }>();
  readonly #perAddress = new Map<string, number>();

  constructor(limits: GuardLimits) {
    this.#limits = limits;
  }

  /** @returns why it must not come in */
  arrive(socket: Socket): string | undefined {
    const { newcomersMax, newcomersPerAddressMax } = this.#limits;
    const address = socket.remoteAddress ?? '';
    const count = this.#perAddress.get(address) ?? 0;
    if (this.#present.size >= newcomersMax) return `more than ${newcomersMax} connections in their TLS handshake`;
    if (count >= newcomersPerAddressMax) {
      return `more than ${newcomersPerAddressMax} connections of one address in their TLS handshake`;
    }
    const key = endsOf(socket);
    this.#present.set(key, { socket, address });
    this.#perAddress.set(address, count + 1);
    socket.once('close', () => this.#remove(key));
    return undefined;
  }

  leave(socket: Socket): void {
    this.#remove(endsOf(socket));
  }

  close(): void {
    for (const { socket } of this.#present.values()) socket.destroy();
  }

  #remove(key: string): void {
    const { address } = this.#present.get(key) ?? {};
    if (address === undefined) return;
    this.#present.delete(key);
    const left = (this.#perAddress.get(address) ?? 1) - 1;
    if (left > 0) this.#perAddress.set(address, left);
    else this.#perAddress.delete(address);
  }
}

function endsOf({ remoteAddress, remotePort, localAddress, localPort }: Socket): string {
  return `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`;
}

function renewal(server: tls.Server, security: Security): () => void {
  if (security.kind !== 'certificates') return () => undefined;
  const { keyring } = security;
  let used = keyring.current();
  return () => {
    const current = keyring.current();
    if (current === used) return;
    used = current;
    server.setSecureContext(certificateTls(keyring));
  };
}
