import { randomBytes } from 'node:crypto';
import { Decoder, type FrameSink } from '../../../shim/link/decode.js';
import type { EndCode } from '../../../shim/link/errors.js';
import type { Epoch, StreamId } from '../../../shim/link/frame.js';
import { headerBytes } from '../../../shim/link/frame.js';
import { defaultLimits, type LinkLimits } from '../../../shim/link/limits.js';
import { Link } from '../../../shim/link/link.js';
import {
  type Binding,
  bound,
  confirmed,
  decodeResume,
  decodeResumeOk,
  encodeResume,
  encodeResumeOk,
  judge,
  noBinding,
  tokenBytes,
  type Verdict,
} from '../../../shim/link/resume.js';
import type { StreamImage } from '../../../shim/link/stream.js';

/** One end as a test sees it: what arrived, what ended, and how much of it the next hop has taken. */
export class End implements FrameSink {
  readonly link: Link;
  readonly arrived = new Map<StreamId, Buffer[]>();
  readonly endings = new Map<StreamId, EndCode[]>();
  readonly forgotten: StreamId[] = [];
  readonly rooms: StreamId[] = [];
  /** The stream when its end was told last. Bytes in it are copied by nobody. */
  atEnd: StreamImage | undefined;
  /** How often the owner was told that acknowledgements wait. */
  acksWaiting = 0;
  /** False: the next hop takes nothing until `consume` is called. */
  eager = true;
  readonly limits: LinkLimits;
  decoder: Decoder;

  constructor(role: 'shim' | 'proxy', limits: LinkLimits) {
    this.limits = limits;
    this.decoder = new Decoder(limits);
    this.link = new Link(role, limits, {
      opened: (id) => void this.arrived.set(id, []),
      deliver: (id, bytes) => {
        const list = this.arrived.get(id) ?? [];
        list.push(Buffer.from(bytes));
        this.arrived.set(id, list);
        if (this.eager) this.consume(id);
      },
      peerEnded: (id, code) => {
        this.endings.set(id, [...(this.endings.get(id) ?? []), code]);
        this.atEnd = this.link.imageOf(id);
      },
      room: (id) => void this.rooms.push(id),
      forgotten: (id) => void this.forgotten.push(id),
      wake: () => undefined,
      acksWaiting: () => {
        this.acksWaiting += 1;
      },
    });
  }

  bytes(id: StreamId): Buffer {
    return Buffer.concat(this.arrived.get(id) ?? []);
  }
  consume(id: StreamId): void {
    this.link.consumed(id, this.bytes(id).length);
  }

  open(stream: StreamId): void {
    this.link.openFrame(stream);
  }
  data(stream: StreamId, position: number, bytes: Buffer): void {
    this.link.dataFrame(stream, position, bytes);
  }
  ack(stream: StreamId, position: number): void {
    this.link.ackFrame(stream, position);
  }
  fin(stream: StreamId, position: number, code: EndCode): void {
    this.link.finFrame(stream, position, code);
  }
  heartbeat(): void {}
  control(): void {}
}

/** Two ends and an in-memory wire between them that can be cut after any byte. */
export class Pair {
  readonly limits: LinkLimits;
  readonly shim: End;
  /** Another one once the link was taken up. */
  proxy: End;
  binding: Binding = noBinding;
  epoch = 0 as Epoch;
  token: Buffer = Buffer.alloc(0);
  attempt = 0;
  /** Bytes moved over all links so far. */
  moved = { up: 0, down: 0 };

  constructor(limits: Partial<LinkLimits> = {}) {
    this.limits = { ...defaultLimits, ...limits };
    this.shim = new End('shim', this.limits);
    this.proxy = new End('proxy', this.limits);
  }

  /**
   * The whole handshake through its real encoding.
   * @param lost what does not arrive because the wire is cut: RESUME_OK or CONFIRM
   * @returns the verdict when it was refused
   */
  bind(lost?: 'answer' | 'confirm'): Verdict | undefined {
    const { epoch, token } = this;
    const identity = { version: 1, workload: 'w', instance: 'i', epoch, token, attempt: ++this.attempt };
    const resume = decodeResume(encodeResume({ ...identity, ...this.shim.link.account() }).subarray(headerBytes));
    const refused = judge(resume, this.binding, this.proxy.link);
    if (refused !== undefined) return refused.verdict;
    this.binding = bound(this.binding, resume, randomBytes(tokenBytes));
    this.proxy.decoder = new Decoder(this.limits);
    this.shim.decoder = new Decoder(this.limits);
    const replayed = this.proxy.link.counters.replayedBytes;
    this.proxy.link.resume(resume);
    const ok = decodeResumeOk(
      encodeResumeOk({
        version: 1,
        epoch: this.binding.epoch,
        token: this.binding.token,
        ...this.proxy.link.account(),
        replayedBytes: this.proxy.link.counters.replayedBytes - replayed,
      }).subarray(headerBytes),
    );
    if (lost !== 'answer') {
      this.epoch = ok.epoch;
      this.token = ok.token;
      this.shim.link.resume(ok);
    }
    if (lost === undefined) this.binding = confirmed(this.binding);
    else this.cut();
    return undefined;
  }

  cut(): void {
    this.shim.link.detach();
    this.proxy.link.detach();
  }

  /**
   * Moves bytes both ways in chunks until nothing is left to move, or until `up` or `down` bytes have moved in total:
   * then the wire ends in the middle of whatever was on it.
   * @returns false when the budget stopped it
   */
  pump(options: { chunkBytes?: number; up?: number; down?: number } = {}): boolean {
    const chunkBytes = options.chunkBytes ?? 7;
    for (let quiet = 0; quiet < 2; ) {
      const up = this.#carry(this.shim, this.proxy, 'up', chunkBytes, options.up);
      const down = this.#carry(this.proxy, this.shim, 'down', chunkBytes, options.down);
      if (up === 'stopped' || down === 'stopped') return false;
      if (up === 'nothing' && down === 'nothing') {
        quiet += 1;
        this.shim.link.flushAcks();
        this.proxy.link.flushAcks();
      } else quiet = 0;
    }
    return true;
  }

  #carry(
    from: End,
    to: End,
    way: 'up' | 'down',
    chunkBytes: number,
    budget = Infinity,
  ): 'nothing' | 'moved' | 'stopped' {
    const batch = Buffer.alloc(400);
    const length = from.link.collect(batch);
    if (length === 0) return 'nothing';
    for (let at = 0; at < length; at += chunkBytes) {
      const allowed = Math.min(chunkBytes, length - at, budget - this.moved[way]);
      this.moved[way] += Math.max(0, allowed);
      // A copy, as a socket would give: the receiver may keep views of it.
      if (allowed > 0) to.decoder.push(Buffer.from(batch.subarray(at, at + allowed)), to);
      if (this.moved[way] >= budget) return 'stopped';
    }
    return 'moved';
  }
}
