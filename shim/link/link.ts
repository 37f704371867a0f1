import { writeFin, writeHeader } from './encode.js';
import { type EndCode, LinkError } from './errors.js';
import type { Fingerprints } from './fingerprint.js';
import { frameTypes, headerBytes, type Position, type StreamId } from './frame.js';
import type { LinkLimits } from './limits.js';
import { LinkStream, type StreamImage, type StreamRest, type StreamState } from './stream.js';

/** What the machine asks of its owner. Called synchronously, as the last thing the machine does about a frame. */
export interface LinkEvents {
  /** The peer opened a stream (only at the proxy). */
  opened(stream: StreamId): void;
  /** Bytes for the next hop, a view of what was read. Report with `consumed` when they got there. */
  deliver(stream: StreamId, bytes: Buffer): void;
  /** The peer's direction is over, after all its bytes. Anything but `closed` ends both directions. */
  peerEnded(stream: StreamId, code: EndCode): void;
  /** `send` returned false before; there is room again. */
  room(stream: StreamId): void;
  /** So many bytes of a stream are stored no longer: acknowledged, or the stream is over. `base` is the first one that still is. */
  freed?(stream: StreamId, bytes: number, base: Position): void;
  /** The stream is over in both directions and forgotten. Last event of a stream. */
  forgotten(stream: StreamId): void;
  /** There is something to hand out: call `collect` soon. */
  wake(): void;
  /** Acknowledgements wait for data to ride on: call `flushAcks` after `ackDelayMs`. */
  acksWaiting(): void;
}

export interface LinkCounters {
  /** Frames for streams that are already over; counted and dropped. */
  lateFrames: number;
  /** Streams ended because an end broke the rules, by code. */
  violations: number;
  /** Bytes handed out a second time after a bind. */
  replayedBytes: number;
}

/** What one end tells the other in the handshake. */
export interface Account extends Totals {
  /** Newest stream that this end has opened, or has heard of. The other may have opened more since. */
  readonly lastStream: number;
  /** Receive window of this end, for each stream. */
  readonly windowBytes: number;
  readonly streams: readonly StreamState[];
}

/**
 * How much an end has sent and received over all streams there ever were. An older image of an end has smaller ones, also when
 * the streams that tell the difference are over and forgotten.
 */
export interface Totals {
  /** Positions handed out. */
  readonly sentTotal: Position;
  readonly receivedTotal: Position;
}

/** What a link knows besides its streams, so that another process can go on with it. */
export interface LinkImage {
  /** Newest stream the peer has opened. */
  readonly lastStream: number;
  /** Of streams that are over: bytes handed out, received, acknowledged by the peer. */
  readonly sent: Position;
  readonly received: Position;
  readonly acked: Position;
}

/**
 * All streams of one link at one end: stores before it sends, drops on acknowledgement only, keeps every stream within
 * its credit, and serves streams in turn. Lives as long as the workload; links come and go under it:
 *
 *   detached ──resume()──> attached ──detach()──> detached ...
 *
 * Pure: frames in (it is the decoder's sink), bytes out (`collect`), events to the owner. Both ends run this same code;
 * who may open streams is the only difference.
 */
export class Link {
  readonly counters: LinkCounters = { lateFrames: 0, violations: 0, replayedBytes: 0 };
  readonly #limits: LinkLimits;
  readonly #events: LinkEvents;
  readonly #opens: boolean;
  readonly #streams = new Map<StreamId, LinkStream>();
  /** Streams with something to send, served from the front, put back at the end. */
  #queue: LinkStream[] = [];
  /** Streams whose acknowledgement waits for data to ride on. */
  #lazyAcks: LinkStream[] = [];
  #attached = false;
  #lastId = 0;
  #peerWindowBytes: number;
  #storedBytes = 0;
  #sentTotal: Position = 0;
  #receivedTotal: Position = 0;
  #ackedTotal: Position = 0;
  /** Until the first link after `takeUp`. */
  #isTakenUp = false;

  /** @param role the shim opens streams, the proxy accepts them */
  constructor(role: 'shim' | 'proxy', limits: LinkLimits, events: LinkEvents) {
    this.#opens = role === 'shim';
    this.#limits = limits;
    this.#events = events;
    this.#peerWindowBytes = limits.windowBytes;
  }

  get attached(): boolean {
    return this.#attached;
  }
  get streamCount(): number {
    return this.#streams.size;
  }
  /** Bytes stored for replay over all streams. */
  get storedBytes(): number {
    return this.#storedBytes;
  }

  /** @returns undefined when there is no such stream (any more) */
  imageOf(id: StreamId): StreamImage | undefined {
    return this.#streams.get(id)?.image();
  }

  image(): LinkImage {
    let sent = this.#sentTotal;
    let received = this.#receivedTotal;
    let acked = this.#ackedTotal;
    for (const stream of this.#streams.values()) {
      sent -= stream.sentMax;
      received -= stream.received;
      acked -= stream.acked;
    }
    return { lastStream: this.#lastId, sent, received, acked };
  }

  /** Goes on where another process has stopped. Before anything else, and before its streams. */
  takeUp(image: LinkImage): void {
    this.#isTakenUp = true;
    this.#lastId = image.lastStream;
    this.#sentTotal = image.sent;
    this.#receivedTotal = image.received;
    this.#ackedTotal = image.acked;
  }

  /** One of its streams. @returns as `send` */
  takeUpStream(rest: StreamRest): boolean {
    const stream = LinkStream.takeUp(rest);
    this.#streams.set(stream.id, stream);
    this.#storedBytes += stream.out.storedBytes;
    this.#sentTotal += stream.sentMax;
    this.#receivedTotal += stream.received;
    this.#ackedTotal += stream.acked;
    stream.stopped = stream.out.storedBytes >= this.#peerWindowBytes;
    return !stream.stopped;
  }

  /** Opens a stream. Throws LinkError `link-streams-exhausted`. */
  open(): StreamId {
    if (this.#streams.size >= this.#limits.streamsMax) {
      throw new LinkError('link-streams-exhausted', `limit of ${this.#limits.streamsMax} streams reached`);
    }
    this.#lastId += 1;
    const stream = new LinkStream(this.#lastId as StreamId, true);
    this.#streams.set(stream.id, stream);
    this.#enqueue(stream);
    return stream.id;
  }

  /** Stores a copy of bytes for the peer. False: the window is full, stop reading until `room`. They are stored in any case. */
  send(id: StreamId, bytes: Buffer): boolean {
    const stream = this.#streams.get(id);
    if (stream === undefined || stream.outEnded !== undefined || stream.aborted) return true;
    stream.out.append(bytes);
    this.#storedBytes += bytes.length;
    this.#enqueue(stream);
    if (stream.out.storedBytes < this.#peerWindowBytes) return true;
    stream.stopped = true;
    return false;
  }

  /** Ends this end's direction in order, or with any other code both directions, after the bytes stored so far. */
  end(id: StreamId, code: EndCode): void {
    const stream = this.#streams.get(id);
    if (stream === undefined || (stream.inEnded ?? 'closed') !== 'closed') return;
    if (stream.outEnded !== undefined && (code === 'closed' || stream.outEnded !== 'closed')) return;
    stream.outEnded = code;
    if (code === 'closed') this.#enqueue(stream);
    else this.#acknowledgeAll(stream);
  }

  /** The owner's account of how many of the peer's bytes reached the next hop, in total. */
  consumed(id: StreamId, total: Position): void {
    const stream = this.#streams.get(id);
    if (stream === undefined || stream.aborted) return;
    // The end of the peer's direction is consumed with the last byte: the owner has passed it on by then.
    const position = stream.inEnded !== undefined && total + 1 === stream.received ? total + 1 : total;
    if (position <= stream.consumed) return;
    if (position > stream.received)
      throw new RangeError(`stream ${id}: ${position} consumed, ${stream.received} received`);
    stream.consumed = position;
    if (position - stream.ackSent >= this.#limits.windowBytes / 4 || stream.inEnded !== undefined) {
      stream.ackDue = true;
      this.#enqueue(stream);
    } else if (!stream.ackDue) {
      stream.ackDue = true;
      // Without a link there is nothing to wait for: the next one begins with what is due.
      if (this.#attached && this.#lazyAcks.push(stream) === 1) this.#events.acksWaiting();
    }
  }

  /** Sends the acknowledgements that found no data to ride on. */
  flushAcks(): void {
    const waiting = this.#lazyAcks;
    this.#lazyAcks = [];
    for (const stream of waiting) if (stream.ackDue && this.#streams.has(stream.id)) this.#enqueue(stream);
  }

  /** The link is gone. Streams stay; what was sent and not acknowledged will be sent again. */
  detach(): void {
    this.#attached = false;
    for (const stream of this.#queue) stream.queued = false;
    this.#queue = [];
    this.#lazyAcks = [];
    for (const stream of this.#streams.values()) {
      stream.ackDue = false;
      // The peer broke it off and only the acknowledgement was owed; the next handshake says as much by not listing it.
      if ((stream.inEnded ?? 'closed') !== 'closed') this.#forget(stream);
    }
  }

  /** What each stream was made of up to the last time that a link was made. */
  fingerprints(): ReadonlyMap<StreamId, Fingerprints> {
    return new Map([...this.#streams].map(([id, stream]) => [id, stream.fingerprints]));
  }

  /** The same of one. */
  fingerprintsOf(id: StreamId): Fingerprints | undefined {
    return this.#streams.get(id)?.fingerprints;
  }

  /** Where every stream stands. */
  snapshot(): StreamState[] {
    return [...this.#streams.values()].map((stream) => stream.state());
  }

  /** What this end says in the handshake. */
  account(): Account {
    return {
      lastStream: this.#lastId,
      sentTotal: this.#sentTotal,
      receivedTotal: this.#receivedTotal,
      windowBytes: this.#limits.windowBytes,
      streams: this.snapshot(),
    };
  }

  /** True when the peer's account shows that it is an older image of itself. */
  peerRewound(peer: Account): boolean {
    // Streams that both have are compared one by one; what is left of the totals belongs to those that one of the two has not.
    let received = this.#receivedTotal;
    let acked = this.#ackedTotal;
    let peerSent = peer.sentTotal;
    let peerReceived = peer.receivedTotal;
    for (const state of peer.streams) {
      const stream = this.#streams.get(state.id);
      if (stream === undefined) continue;
      if (stream.disagreement(state) === 'peer-rewound') return true;
      received -= stream.received;
      acked -= stream.acked;
      peerSent -= state.sent;
      peerReceived -= state.received;
    }
    return peer.lastStream < this.#lastId || peerSent < received || peerReceived < acked;
  }

  /**
   * Takes up all streams on a new link. One that the peer has not heard of is opened on this link; one that it does not list
   * any more has ended there.
   */
  resume(peer: Account): void {
    this.#attached = true;
    this.#peerWindowBytes = peer.windowBytes;
    const known = new Map(peer.streams.map((state) => [state.id, state]));
    if (this.#isTakenUp) for (const state of peer.streams) this.#catchUp(state);
    for (const stream of [...this.#streams.values()]) {
      const state = known.get(stream.id);
      if (stream.id > peer.lastStream) this.#openAgain(stream);
      else if (state === undefined) this.#vanished(stream);
      else this.#compare(stream, state);
    }
    if (this.#isTakenUp) this.#beginRest(peer);
  }

  /** Bytes `collect` would like room for; 0 when nothing is due. An estimate from above, within the batch limit. */
  batchBytes(bytesMax: number): number {
    let bytes = 0;
    for (const stream of this.#queue) {
      bytes +=
        headerBytes * 3 +
        stream.out.pendingBytes +
        headerBytes * Math.floor(stream.out.pendingBytes / this.#limits.frameBytesMax);
      if (bytes >= bytesMax) return bytesMax;
    }
    return bytes;
  }

  /** Writes frames into `target`, one stream after the other in turn. @returns bytes written */
  collect(target: Buffer): number {
    let at = 0;
    // Three headers are the most a stream without data can write in its turn, so every turn gets somewhere.
    while (this.#attached && target.length - at >= headerBytes * 3) {
      const stream = this.#queue.shift();
      if (stream === undefined) break;
      at = this.#serve(stream, target, at);
      stream.queued = false;
      if (stream.finished || (stream.inEnded ?? 'closed') !== 'closed') this.#forget(stream);
      else if (this.#wants(stream)) this.#requeue(stream);
    }
    return at;
  }

  // Frames from the peer ------------------------------------------------------------------------------------------

  openFrame(id: StreamId): void {
    if (this.#opens || id <= this.#lastId) throw new LinkError('link-unexpected-frame', `OPEN of stream ${id}`);
    this.#accept(id);
  }

  dataFrame(id: StreamId, position: Position, bytes: Buffer): void {
    const stream = this.#incoming(id);
    if (stream === undefined) return;
    if (stream.aborted) {
      this.#discard(stream, position, bytes.length);
      return;
    }
    if (position !== stream.received || stream.inEnded !== undefined) {
      this.#violated(stream, position > stream.received ? 'gap' : 'overlap');
    } else if (position + bytes.length - stream.consumed > this.#limits.windowBytes) {
      this.#violated(stream, 'window-exceeded');
    } else {
      stream.received += bytes.length;
      stream.in.add(bytes);
      this.#receivedTotal += bytes.length;
      this.#events.deliver(id, bytes);
    }
  }

  ackFrame(id: StreamId, position: Position): void {
    const stream = this.#incoming(id);
    if (stream === undefined || position <= stream.acked) return;
    if (position > stream.sent) {
      if (!stream.aborted) this.#violated(stream, 'ack-beyond-sent');
      return;
    }
    this.#acknowledge(stream, position);
    if (stream.finished) this.#forget(stream);
  }

  finFrame(id: StreamId, position: Position, code: EndCode): void {
    const stream = this.#incoming(id);
    if (stream === undefined || (stream.inEnded ?? 'closed') !== 'closed') return;
    if (stream.aborted) {
      if (code !== 'closed') this.#brokeToo(stream, position, code);
      else if (position === stream.received) {
        this.#discard(stream, position, 1);
        stream.inEnded = 'closed';
      }
      return;
    }
    if (position !== stream.received || (stream.inEnded !== undefined && code === 'closed')) {
      this.#violated(stream, position > stream.received ? 'gap' : 'overlap');
      return;
    }
    stream.received += 1;
    this.#receivedTotal += 1;
    stream.inEnded = code;
    // Before anything is dropped: who puts down what the stream is would not know what the peer may have got of it.
    this.#events.peerEnded(id, code);
    if (code === 'closed') {
      this.consumed(id, stream.consumed);
      return;
    }
    this.#drop(stream);
    this.#acknowledgeAll(stream);
  }

  // Inside --------------------------------------------------------------------------------------------------------

  #incoming(id: StreamId): LinkStream | undefined {
    const stream = this.#streams.get(id);
    if (stream !== undefined) return stream;
    if (id === 0 || id > this.#lastId)
      throw new LinkError('link-unexpected-frame', `frame for stream ${id}, never opened`);
    this.counters.lateFrames += 1;
    return undefined;
  }

  #accept(id: StreamId): LinkStream {
    if (this.#streams.size >= this.#limits.streamsMax) {
      throw new LinkError('link-streams-exhausted', `limit of ${this.#limits.streamsMax} streams reached`);
    }
    this.#lastId = Math.max(id, this.#lastId);
    const stream = new LinkStream(id, false);
    this.#streams.set(id, stream);
    this.#events.opened(id);
    return stream;
  }

  /** The peer cannot have heard of it: OPEN goes out on this link, and everything behind it. */
  #openAgain(stream: LinkStream): void {
    this.counters.replayedBytes += stream.startOver();
    this.#enqueue(stream);
  }

  /** What comes for a stream that was broken off is acknowledged and put down nowhere: the peer knows how far that went. */
  #catchUp({ id, firstAvailable }: StreamState): void {
    const stream = this.#streams.get(id);
    if (stream === undefined || !stream.aborted || firstAvailable <= stream.received) return;
    this.#receivedTotal += firstAvailable - stream.received;
    stream.received = firstAvailable;
    stream.consumed = firstAvailable;
  }

  /**
   * Streams that the process before had heard of, and done nothing yet that would have to be gone on with: where the peer has
   * all of it still, and nothing has come back, they begin anew, and nobody notices.
   */
  #beginRest(peer: Account): void {
    this.#isTakenUp = false;
    const { streams } = peer;
    for (const { id, received, firstAvailable } of streams) {
      const isFresh = id <= this.#lastId && received === 0 && firstAvailable === 0;
      if (isFresh && !this.#streams.has(id)) this.#accept(id);
    }
    this.#countAnew(peer);
    // They are told in the order of their numbers.
    const inOrder = [...this.#streams.values()].sort((one, other) => one.id - other.id);
    this.#streams.clear();
    for (const stream of inOrder) this.#streams.set(stream.id, stream);
  }

  /** One that begins anew may have been over, and is counted already: no more can be over than the peer says. */
  #countAnew({ streams, sentTotal, receivedTotal }: Account): void {
    const over = this.image();
    let peerSent = sentTotal;
    let peerReceived = receivedTotal;
    for (const { id, sent, received } of streams) {
      // Over here, and not there yet. What this end has never heard of is over for neither.
      if (!this.#streams.has(id) && id <= this.#lastId) continue;
      peerSent -= sent;
      peerReceived -= received;
    }
    this.#receivedTotal -= Math.max(0, over.received - peerSent);
    this.#ackedTotal -= Math.max(0, over.acked - peerReceived);
  }

  #compare(stream: LinkStream, state: StreamState): void {
    const wrong = stream.disagreement(state);
    if (wrong !== undefined) {
      this.#violated(stream, 'gap');
      return;
    }
    this.#acknowledge(stream, state.consumed);
    this.counters.replayedBytes += stream.resumeFrom(state);
    if (stream.finished) this.#forget(stream);
    else if (this.#wants(stream)) this.#enqueue(stream);
  }

  /** The peer does not list the stream: it is over there. */
  #vanished(stream: LinkStream): void {
    // Both had ended in order, and only the last acknowledgement got lost: there is nothing to tell.
    const orderly = stream.inEnded === 'closed' && stream.outEnded === 'closed';
    const tell = !stream.aborted && !orderly;
    this.#forget(stream, () => tell && this.#events.peerEnded(stream.id, 'forgotten'));
  }

  #acknowledge(stream: LinkStream, position: Position): void {
    if (position <= stream.acked) return;
    this.#ackedTotal += position - stream.acked;
    stream.acked = position;
    const before = stream.out.storedBytes;
    stream.out.trim(Math.min(position, stream.out.end));
    this.#freed(stream, before - stream.out.storedBytes);
    if (this.#wants(stream)) this.#enqueue(stream);
    if (stream.stopped && stream.out.storedBytes <= this.#peerWindowBytes / 2) {
      stream.stopped = false;
      this.#events.room(stream.id);
    }
  }

  /** Somebody broke the rules on this stream: both sides see it end, the link and the other streams go on. */
  #violated(stream: LinkStream, code: EndCode): void {
    this.counters.violations += 1;
    const before = stream.out.storedBytes;
    stream.out.truncate();
    this.#freed(stream, before - stream.out.storedBytes);
    stream.outEnded = code;
    this.#enqueue(stream);
    this.#events.peerEnded(stream.id, code);
  }

  /**
   * This end has broken it off, and the peer does not know yet: what it says counts for neither. It is acknowledged all the same,
   * or a peer that breaks off too would never have the credit to say so.
   */
  #discard(stream: LinkStream, position: Position, count: number): void {
    if (position !== stream.received || (stream.inEnded ?? 'closed') !== 'closed') return;
    stream.received += count;
    this.#receivedTotal += count;
    this.#acknowledgeAll(stream);
  }

  #acknowledgeAll(stream: LinkStream): void {
    stream.consumed = stream.received;
    stream.ackDue = true;
    this.#enqueue(stream);
  }

  /** Both ends have broken it off, each before it heard of the other. */
  #brokeToo(stream: LinkStream, position: Position, code: EndCode): void {
    if (position < stream.received) return;
    this.#receivedTotal += position + 1 - stream.received;
    stream.received = position + 1;
    stream.inEnded = code;
    this.#drop(stream);
    this.#acknowledgeAll(stream);
  }

  /** Nothing more will be said on this stream but the acknowledgement of its end. */
  #drop(stream: LinkStream): void {
    const bytes = stream.out.storedBytes;
    stream.out.seek(stream.out.base);
    stream.out.truncate();
    this.#freed(stream, bytes);
  }

  #freed(stream: LinkStream, bytes: number): void {
    if (bytes === 0) return;
    this.#storedBytes -= bytes;
    this.#events.freed?.(stream.id, bytes, stream.out.base);
  }

  #forget(stream: LinkStream, before?: () => void): void {
    if (!this.#streams.delete(stream.id)) return;
    this.#freed(stream, stream.out.storedBytes);
    stream.out.drop();
    before?.();
    this.#events.forgotten(stream.id);
  }

  #wants(stream: LinkStream): boolean {
    return stream.openPending || stream.ackDue || stream.finDue || this.#credit(stream) > 0;
  }

  /** Bytes that may be handed out now. */
  #credit(stream: LinkStream): number {
    const sent = stream.out.cursor;
    return Math.min(stream.out.end, stream.acked + this.#peerWindowBytes) - sent;
  }

  #enqueue(stream: LinkStream): void {
    if (!this.#attached || stream.queued) return;
    const first = this.#queue.length === 0;
    this.#requeue(stream);
    if (first) this.#events.wake();
  }

  #requeue(stream: LinkStream): void {
    stream.queued = true;
    this.#queue.push(stream);
  }

  /** One turn of one stream: at most one frame of data, so that a busy stream cannot starve a quiet one. */
  #serve(stream: LinkStream, target: Buffer, start: number): number {
    let at = start;
    if (stream.openPending) {
      at = writeHeader(target, at, frameTypes.open, 0, stream.id, 0, 0);
      stream.openPending = false;
    }
    const room = target.length - at - headerBytes * 2;
    const length = Math.min(this.#credit(stream), this.#limits.frameBytesMax, room);
    if (length > 0) {
      const body = writeHeader(target, at, frameTypes.data, length, stream.id, stream.out.cursor, stream.consumed);
      stream.out.copyNext(target, body, length);
      at = body + length;
    }
    if (stream.finDue && target.length - at >= headerBytes * 2) {
      const position = stream.sent;
      const code = stream.outEnded ?? 'closed';
      if (code === 'closed') stream.closedFinSent = true;
      at = writeFin(target, at, stream.id, position, stream.consumed, code);
      stream.finsSent += 1;
    } else if (length <= 0 && stream.ackDue) {
      at = writeHeader(target, at, frameTypes.ack, 0, stream.id, 0, stream.consumed);
    }
    if (at > start) {
      stream.ackDue = false;
      stream.ackSent = stream.consumed;
      this.#sentTotal += Math.max(0, stream.sent - stream.sentMax);
      stream.sentMax = Math.max(stream.sentMax, stream.sent);
    }
    return at;
  }
}
