import { createServer, type Server, type Socket } from 'node:net';
import type { Logger } from 'pino';
import type { Dialer } from './dialer.js';
import { type EndCode, LinkError, type StreamId } from './link/index.js';
import { listenAt } from './program/listen.js';

export interface ListenerLimits {
  /** A driver that has no session yet is turned away when the link has been down for longer than this. */
  readonly connectWaitMs: number;
  /** Time a broken-off connection has for the bytes before the break. */
  readonly lingerMs: number;
}

/** One driver connection. Bytes in both directions, nothing else: the shim does not know what they mean. */
class DriverConnection {
  readonly socket: Socket;
  readonly stream: StreamId;
  readonly #dialer: Dialer;
  readonly #lingerMs: number;

  constructor(socket: Socket, stream: StreamId, dialer: Dialer, lingerMs: number) {
    this.socket = socket;
    this.stream = stream;
    this.#dialer = dialer;
    this.#lingerMs = lingerMs;
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => {
      if (!dialer.link.send(stream, chunk)) socket.pause();
    });
    socket.on('end', () => dialer.link.end(stream, 'closed'));
    // Always followed by 'close', which reports it.
    socket.on('error', () => undefined);
    socket.on('close', (broken) => dialer.link.end(stream, broken ? 'lost' : 'closed'));
  }

  deliver(bytes: Buffer): void {
    if (this.socket.destroyed) return;
    this.socket.write(bytes, this.#flushed);
    if (this.socket.writableLength === 0) this.#flushed();
  }

  peerEnded(code: EndCode): void {
    if (code === 'closed') {
      this.socket.end();
      return;
    }
    this.socket.destroySoon();
    const timer = setTimeout(() => this.socket.destroy(), this.#lingerMs);
    this.socket.once('close', () => clearTimeout(timer));
  }

  /** Everything the kernel has taken counts as delivered: a frozen image carries the kernel's buffers of loopback sockets. */
  readonly #flushed = (): void => {
    this.#dialer.link.consumed(this.stream, this.socket.bytesWritten - this.socket.writableLength);
  };
}

/** Where drivers connect. Opens one stream for each connection. */
export class DriverListener {
  readonly #log: Logger;
  readonly #limits: ListenerLimits;
  readonly #connections = new Map<StreamId, DriverConnection>();
  readonly #server: Server;
  #dialer: Dialer | undefined;

  constructor(limits: ListenerLimits, log: Logger) {
    this.#limits = limits;
    this.#log = log;
    // Half-open: a driver that has said its last word may still be owed an answer.
    this.#server = createServer({ allowHalfOpen: true }, (socket) => this.#accept(socket));
  }

  get connections(): number {
    return this.#connections.size;
  }

  /** Events of the link, for the dialer. */
  readonly events = {
    deliver: (stream: StreamId, bytes: Buffer): void => this.#connections.get(stream)?.deliver(bytes),
    peerEnded: (stream: StreamId, code: EndCode): void => this.#connections.get(stream)?.peerEnded(code),
    room: (stream: StreamId): void => {
      this.#connections.get(stream)?.socket.resume();
    },
    forgotten: (stream: StreamId): void => {
      this.#connections.delete(stream);
    },
    lost: (code: EndCode): void => {
      const connections = [...this.#connections.values()];
      this.#connections.clear();
      for (const connection of connections) connection.peerEnded(code);
    },
  };

  /** @returns the port it listens on @throws {ListenError} address-in-use, bad-address */
  async listen(host: string, port: number, dialer: Dialer): Promise<number> {
    this.#dialer = dialer;
    return listenAt(this.#server, { host, port, backlog: 1024 });
  }

  async close(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
      this.events.lost('shutdown');
    });
  }

  #accept(socket: Socket): void {
    const dialer = this.#dialer;
    if (dialer === undefined) {
      socket.destroy();
      return;
    }
    if (dialer.state.kind === 'refused' || dialer.downMs > this.#limits.connectWaitMs) {
      this.#turnAway(socket, dialer);
      return;
    }
    try {
      const stream = dialer.link.open();
      this.#connections.set(stream, new DriverConnection(socket, stream, dialer, this.#limits.lingerMs));
      if (dialer.state.kind !== 'bound') this.#awaitLink(socket, dialer);
    } catch (error) {
      if (!(error instanceof LinkError)) throw error;
      this.#log.warn({ err: error }, 'a driver was turned away');
      socket.destroy();
    }
  }

  /**
   * A driver that connects while there is no link waits for one, but not for ever: drivers have no limit of their own on
   * the time a login takes. Once it has been on a link it may have a session, which is kept for as long as the proxy does.
   * While the shim is detached it is being moved, and the clock of its next host may be another: that time does not count.
   */
  #awaitLink(socket: Socket, dialer: Dialer): void {
    const { connectWaitMs } = this.#limits;
    const { epoch } = dialer;
    const look = (): void => {
      if (dialer.epoch !== epoch) return;
      const leftMs = dialer.state.kind === 'detached' ? connectWaitMs : connectWaitMs - dialer.downMs;
      if (leftMs > 0) timer = setTimeout(look, leftMs + 1);
      else this.#turnAway(socket, dialer);
    };
    let timer = setTimeout(look, 0);
    socket.once('close', () => clearTimeout(timer));
  }

  #turnAway(socket: Socket, { state, downMs }: Dialer): void {
    this.#log.warn(
      { code: 'no-link', state: state.kind, downMs: Math.round(downMs) },
      'a driver was turned away: no link to the proxy',
    );
    socket.destroy();
  }
}
