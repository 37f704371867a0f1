import type { Logger } from 'pino';
import type { Dialer } from './dialer.js';
import { type Clock, type EndCode, type Link, LinkError, type StreamId } from './link/index.js';
import { systemClock } from './link/socket.js';

export interface DriverLimits {
  /** A driver that has no session yet is turned away when the link has been down for longer than this. */
  readonly connectWaitMs: number;
  /** Time a broken-off connection has for the bytes before the break. */
  readonly lingerMs: number;
}

/** Less than this is a whole answer as a rule, and waits for nothing. */
const gatheredBytesMin = 8 * 1024;

/** What the shim needs of a driver's connection, with the meaning Node.js gives it: sockets of `net` are such. */
export interface DriverSocket {
  readonly destroyed: boolean;
  readonly bytesWritten: number;
  readonly writableLength: number;
  setNoDelay(noDelay: boolean): unknown;
  on(event: 'data', listener: (chunk: Buffer) => void): unknown;
  on(event: 'close', listener: (broken: boolean) => void): unknown;
  on(event: 'end' | 'error', listener: () => void): unknown;
  once(event: 'close', listener: () => void): unknown;
  write(bytes: Buffer, taken: () => void): unknown;
  /**
   * Without waiting, and only when nothing waits. Not counted in `bytesWritten`.
   * @returns how many bytes the network has taken
   */
  writeNow(bytes: Buffer): number;
  /** What is written from now on leaves together, at `uncork`. */
  cork(): unknown;
  uncork(): unknown;
  end(): unknown;
  pause(): unknown;
  resume(): unknown;
  /** Closes when the bytes written so far are gone. */
  destroySoon(): unknown;
  destroy(): unknown;
}

/** One driver connection. Bytes in both directions, nothing else: the shim does not know what they mean. */
class DriverConnection {
  readonly socket: DriverSocket;
  readonly stream: StreamId;
  /** The link it was opened on: a shim that begins afresh has another, whose streams bear the same numbers. */
  readonly #link: Link;
  readonly #clock: Clock;
  readonly #lingerMs: number;
  #isGathering = false;
  /** Bytes that never were in the socket's own account. */
  #writtenNow = 0;

  constructor(socket: DriverSocket, link: Link, clock: Clock, lingerMs: number) {
    this.stream = link.open();
    this.socket = socket;
    this.#link = link;
    this.#clock = clock;
    this.#lingerMs = lingerMs;
    socket.setNoDelay(true);
    socket.on('data', (chunk) => {
      if (!link.send(this.stream, chunk)) socket.pause();
    });
    socket.on('end', () => link.end(this.stream, 'closed'));
    socket.on('close', (broken) => link.end(this.stream, broken ? 'lost' : 'closed'));
  }

  deliver(bytes: Buffer): void {
    if (this.socket.destroyed) return;
    if (bytes.length >= gatheredBytesMin && !this.#isGathering) {
      this.#isGathering = true;
      this.socket.cork();
    }
    const taken = this.socket.writeNow(bytes);
    this.#writtenNow += taken;
    if (taken < bytes.length) this.socket.write(bytes.subarray(taken), this.#flushed);
    if (this.socket.writableLength === 0) this.#flushed();
  }

  /** Frames of a large answer come several at once: they leave in one write. @returns whether views of them wait here */
  delivered(): boolean {
    if (this.#isGathering) {
      this.#isGathering = false;
      this.socket.uncork();
      if (this.socket.writableLength === 0) this.#flushed();
    }
    return this.socket.writableLength > 0;
  }

  peerEnded(code: EndCode): void {
    if (code === 'closed') {
      this.socket.end();
      return;
    }
    this.socket.destroySoon();
    this.socket.once(
      'close',
      this.#clock.after(this.#lingerMs, () => this.socket.destroy()),
    );
  }

  /** Everything the kernel has taken counts as delivered: a frozen image carries the kernel's buffers of loopback sockets. */
  readonly #flushed = (): void => {
    const { bytesWritten, writableLength } = this.socket;
    this.#link.consumed(this.stream, this.#writtenNow + bytesWritten - writableLength);
  };
}

/** The driver connections of a shim: one stream for each. */
export class Drivers {
  readonly #log: Logger;
  readonly #limits: DriverLimits;
  readonly #clock: Clock;
  readonly #connections = new Map<StreamId, DriverConnection>();
  /** Those that have got some of what is being delivered. */
  readonly #fed: DriverConnection[] = [];

  constructor(limits: DriverLimits, log: Logger, clock: Clock = systemClock) {
    this.#limits = limits;
    this.#log = log;
    this.#clock = clock;
  }

  get count(): number {
    return this.#connections.size;
  }

  /** Events of the link, for the dialer. */
  readonly events = {
    deliver: (stream: StreamId, bytes: Buffer): void => {
      const connection = this.#connections.get(stream);
      if (connection === undefined) return;
      connection.deliver(bytes);
      this.#fed.push(connection);
    },
    delivered: (): boolean => {
      let isKept = false;
      for (const connection of this.#fed) if (connection.delivered()) isKept = true;
      this.#fed.length = 0;
      return isKept;
    },
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

  /** A driver has connected. */
  accept(socket: DriverSocket, dialer: Dialer): void {
    // Always followed by 'close', which reports it.
    socket.on('error', () => undefined);
    if (dialer.state.kind === 'refused' || dialer.downMs > this.#limits.connectWaitMs) {
      this.#turnAway(socket, dialer);
      return;
    }
    try {
      const connection = new DriverConnection(socket, dialer.link, this.#clock, this.#limits.lingerMs);
      this.#connections.set(connection.stream, connection);
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
  #awaitLink(socket: DriverSocket, dialer: Dialer): void {
    const { connectWaitMs } = this.#limits;
    const { epoch } = dialer;
    const look = (): void => {
      if (dialer.epoch !== epoch) return;
      const leftMs = dialer.state.kind === 'detached' ? connectWaitMs : connectWaitMs - dialer.downMs;
      if (leftMs > 0) cancel = this.#clock.after(leftMs + 1, look);
      else this.#turnAway(socket, dialer);
    };
    let cancel = this.#clock.after(0, look);
    socket.once('close', () => cancel());
  }

  #turnAway(socket: DriverSocket, { state, downMs }: Dialer): void {
    this.#log.warn(
      { code: 'no-link', state: state.kind, downMs: Math.round(downMs) },
      'a driver was turned away: no link to the proxy',
    );
    socket.destroy();
  }
}
