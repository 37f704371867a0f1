import { batchBytesMax, blocks } from './blocks.js';
import type { Cancel, Clock } from './clock.js';
import { Decoder, type FrameSink } from './decode.js';
import { encodeControl, writeHeader } from './encode.js';
import { brokenBy, type EndCode, LinkError } from './errors.js';
import { type ControlType, frameTypes, headerBytes, type Position, type StreamId } from './frame.js';
import type { LinkLimits } from './limits.js';
import type { Link } from './link.js';

/** With so much waiting in the socket no further batch is made; keeps the choice of what goes next in the link. */
const socketBytesMax = 128 * 1024;
/** A connection that was closed in order and does not go away is destroyed after this time. */
const farewellMs = 200;

/** Time as the runtime has it. */
export const systemClock: Clock = {
  now: () => performance.now(),
  after: (ms, call) => {
    const timer = setTimeout(call, ms);
    return () => clearTimeout(timer);
  },
  soon: (call) => void setImmediate(call),
  random: () => Math.random(),
};

/** What the link needs of a connection, with the meaning Node.js gives it: sockets of `net` and `tls` are wires. */
export interface Wire {
  /** Bytes written and not yet taken by the network. */
  readonly writableLength: number;
  readonly closed: boolean;
  readonly localAddress?: string | undefined;
  setNoDelay(noDelay: boolean): unknown;
  on(event: 'data', listener: (chunk: Buffer) => void): unknown;
  on(event: 'error', listener: (cause: Error) => void): unknown;
  on(event: 'drain' | 'end' | 'close', listener: () => void): unknown;
  once(event: 'close', listener: () => void): unknown;
  /** @param taken called once, when nothing looks at the bytes any more: the network has them, or never will */
  write(bytes: Buffer, taken?: () => void): unknown;
  /** Reads no more until `resume`. */
  pause(): unknown;
  resume(): unknown;
  /** The bytes read last stay as they are; without this, where there is this, the next ones may take their place. */
  keep?(): void;
  /** Writes the last bytes and closes in order. */
  end(bytes: Buffer): unknown;
  /** Closes at once. */
  destroy(): unknown;
}

export interface LinkSocketEvents {
  control(type: ControlType, payload: Buffer): void;
  /** All of what was read at once has been delivered. @returns whether somebody keeps views of it */
  delivered(): boolean;
  /** The connection is over; called once. No I/O error of a link ever ends a session. */
  cut(error: LinkError): void;
}

/**
 * One connection between shim and proxy: a socket on one side, the link machine on the other. Before `serve` it carries
 * control frames only. All frames that become due in one turn of the event loop leave in one write.
 */
export class LinkSocket implements FrameSink {
  readonly #socket: Wire;
  readonly #limits: LinkLimits;
  readonly #events: LinkSocketEvents;
  readonly #clock: Clock;
  readonly #decoder: Decoder;
  #link: Link | undefined;
  #admitted = false;
  #scheduled = false;
  #cancelAcks: Cancel | undefined;
  #cancelHeartbeat: Cancel | undefined;
  #sentSinceHeartbeat = false;
  #heardAtMs: number;
  #cut = false;

  constructor(socket: Wire, limits: LinkLimits, events: LinkSocketEvents, clock: Clock = systemClock) {
    this.#socket = socket;
    this.#limits = limits;
    this.#events = events;
    this.#clock = clock;
    this.#heardAtMs = clock.now();
    this.#decoder = new Decoder(limits);
    socket.setNoDelay(true);
    socket.on('data', (chunk) => this.#receive(chunk));
    socket.on('drain', () => this.#flush());
    socket.on('end', () => this.#lost(new LinkError('link-closed', 'the peer closed the link')));
    socket.on('error', (cause) => this.#lost(brokenBy(cause)));
    socket.on('close', () => this.#lost(new LinkError('link-closed', 'the link is closed')));
  }

  /** From now on carries the streams of `link`, which has been resumed; takes the peer's frames only once admitted. */
  serve(link: Link): void {
    this.#link = link;
    this.#cancelHeartbeat = this.#clock.after(this.#limits.heartbeatMs, this.#heartbeat);
    this.wake();
  }

  /** The peer's stream frames are welcome: at the shim at once, at the proxy after CONFIRM. */
  admit(): void {
    this.#admitted = true;
  }

  /** Something is due: it goes out with everything else at the end of this turn of the event loop. */
  wake(): void {
    if (this.#scheduled || this.#cut) return;
    this.#scheduled = true;
    this.#clock.soon(this.#flushNow);
  }

  /** Acknowledgements wait; let them ride on data for a moment. */
  acksWaiting(): void {
    this.#cancelAcks ??= this.#clock.after(this.#limits.ackDelayMs, this.#flushAcks);
  }

  /** Stops reading: the peer's kernel, then the peer, feel the back-pressure. For less than `silenceMs`, or it looks dead. */
  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  sendControl(frame: Buffer): void {
    if (!this.#cut) this.#socket.write(frame);
  }

  /** Says a last control frame and closes in order; the owner is not told of the cut. */
  closeWith(type: ControlType): void {
    this.closeAfter(encodeControl(type));
  }

  closeAfter(frame: Buffer): void {
    if (this.#cut) return;
    this.#stop();
    this.#socket.end(frame);
    // The peer that never answers a FIN must not keep the descriptor.
    this.#socket.once(
      'close',
      this.#clock.after(farewellMs, () => this.#socket.destroy()),
    );
  }

  /** Resolves when the descriptor is closed. */
  closed(): Promise<void> {
    if (this.#socket.closed) return Promise.resolve();
    return new Promise((resolve) => this.#socket.once('close', () => resolve()));
  }

  /** Closes at once and without a word, as a fence does; the owner is not told. */
  destroy(): void {
    this.#stop();
    this.#socket.destroy();
  }

  /** Closes at once, as a network that breaks does: the owner is told. */
  sever(why: string): void {
    this.#lost(new LinkError('link-closed', why));
  }

  // FrameSink -----------------------------------------------------------------------------------------------------

  open(stream: StreamId): void {
    this.#serving().openFrame(stream);
  }
  data(stream: StreamId, position: Position, bytes: Buffer): void {
    this.#serving().dataFrame(stream, position, bytes);
  }
  ack(stream: StreamId, position: Position): void {
    this.#serving().ackFrame(stream, position);
  }
  fin(stream: StreamId, position: Position, code: EndCode): void {
    this.#serving().finFrame(stream, position, code);
  }
  heartbeat(): void {
    this.#serving();
  }
  control(type: ControlType, payload: Buffer): void {
    this.#events.control(type, payload);
  }

  #serving(): Link {
    if (this.#link === undefined || !this.#admitted) {
      throw new LinkError('link-unexpected-frame', 'a stream frame before the handshake was done');
    }
    return this.#link;
  }

  #receive(chunk: Buffer): void {
    if (this.#cut) return;
    this.#heardAtMs = this.#clock.now();
    try {
      this.#decoder.push(chunk, this);
    } catch (error) {
      if (!(error instanceof LinkError)) throw error;
      this.#lost(error);
    }
    if (this.#events.delivered()) this.#socket.keep?.();
  }

  readonly #flushNow = (): void => {
    this.#scheduled = false;
    this.#flush();
  };

  readonly #flushAcks = (): void => {
    this.#cancelAcks = undefined;
    this.#link?.flushAcks();
  };

  #flush(): void {
    const link = this.#link;
    while (link !== undefined && !this.#cut && this.#socket.writableLength < socketBytesMax) {
      const size = link.batchBytes(batchBytesMax);
      if (size === 0) return;
      const batch = blocks.take(size);
      const length = link.collect(batch);
      if (length === 0) {
        blocks.giveBack(batch);
        return;
      }
      this.#write(batch, length);
      this.#sentSinceHeartbeat = true;
    }
  }

  /**
   * What the network takes at once is of no use any more, and is written over by the next batch: the runtime says so only when all
   * is written that it takes, which is 64 batches one after the other for a kernel that has room for 4 MiB. Each
   * had memory of its own then, two thirds of the processor time of large answers (docs/performance.md).
   */
  #write(batch: Buffer, length: number): void {
    let isKept = true;
    const giveBack = (): void => {
      if (isKept) blocks.giveBack(batch);
      isKept = false;
    };
    this.#socket.write(batch.subarray(0, length), giveBack);
    if (this.#socket.writableLength === 0) giveBack();
  }

  readonly #heartbeat = (): void => {
    const { heartbeatMs, silenceMs } = this.#limits;
    if (this.#clock.now() - this.#heardAtMs > silenceMs) {
      this.#lost(new LinkError('link-silent', `nothing heard for ${silenceMs} ms`));
      return;
    }
    this.#cancelHeartbeat = this.#clock.after(heartbeatMs, this.#heartbeat);
    if (!this.#sentSinceHeartbeat) {
      const frame = Buffer.allocUnsafe(headerBytes);
      writeHeader(frame, 0, frameTypes.heartbeat, 0, 0, 0, 0);
      this.sendControl(frame);
    }
    this.#sentSinceHeartbeat = false;
  };

  #lost(error: LinkError): void {
    if (this.#cut) return;
    this.#stop();
    this.#socket.destroy();
    this.#events.cut(error);
  }

  #stop(): void {
    this.#cut = true;
    this.#link = undefined;
    this.#cancelAcks?.();
    this.#cancelHeartbeat?.();
  }
}
