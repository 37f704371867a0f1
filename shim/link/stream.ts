import type { EndCode } from './errors.js';
import { Fingerprint, type Fingerprints } from './fingerprint.js';
import type { Position, StreamId } from './frame.js';
import { Replay } from './replay.js';

/**
 * Where one end stands with a stream, as told in the handshake. Positions count the end of a direction as one byte.
 * On the wire: an array in this order.
 */
export interface StreamState {
  readonly id: StreamId;
  /** Everything before this has arrived here. The peer goes on from here. */
  readonly received: Position;
  /** Everything before this has reached the next hop here. The peer may drop it. */
  readonly consumed: Position;
  /** First byte still stored here. */
  readonly firstAvailable: Position;
  /**
   * Everything before this has been handed out, on some link. What is stored beyond it does not count: two copies of one
   * image may store different bytes there, and the peer has the bytes of one of them.
   */
  readonly sent: Position;
}

/** What is wrong between two accounts of one stream. */
export type Disagreement =
  /** The peer does not remember what it sent or acknowledged: it is an older image of itself. */
  | 'peer-rewound'
  /** This end does not remember: bytes the peer has dropped are missing here. */
  | 'gap';

/**
 * What this end's own direction is made of, so that another process can go on with it; the peer has the rest. Taken between
 * any two bytes.
 */
export interface StreamImage {
  readonly id: StreamId;
  /** Acknowledged by the peer, ends included. */
  readonly acked: Position;
  /** Position of the first byte of `bytes`. */
  readonly base: Position;
  /** Stored for the peer, in order. Of an image that was just taken they are views of where they are, valid until the next call. */
  readonly bytes: readonly Buffer[];
  /** How this end ended its direction, or the peer broke off both: then nothing is stored any more. */
  readonly ended: EndCode | undefined;
  /** An orderly end may have been handed out, whatever came after it. */
  readonly closed: boolean;
}

/** A stream that is taken up from its image. */
export interface StreamRest extends StreamImage {
  /** The peer's bytes that have reached the next hop, its end not counted: it goes on from here. */
  readonly consumed: Position;
  /** The peer's direction is over, and the next hop has been told. */
  readonly peerEnded: boolean;
}

/**
 * One stream at one end of the link. Plain state and its arithmetic; what happens when is decided in link.ts.
 *
 *   outgoing   acked <= sent <= outEnd        incoming   consumed <= received <= consumed + window
 *
 *   own direction:   open ──end('closed')──> closed ──end(abort)──> aborted
 *   (an abort may follow an orderly close: a driver that closed in order can still break before it has read everything)
 */
export class LinkStream {
  readonly id: StreamId;
  readonly out: Replay;
  /** Of the peer's bytes. */
  readonly in: Fingerprint;
  /** Acknowledged by the peer, ends included. */
  acked: Position = 0;
  /** Highest position ever handed out, over all links. */
  sentMax: Position = 0;
  /** How this end ended its own direction. */
  outEnded: EndCode | undefined;
  /** Ends handed out on the present link, or known to be at the peer: 0, 1 (closed or aborted), 2 (closed, then aborted). */
  finsSent = 0;
  /** An orderly FIN was handed out on this link or is at the peer, so an abort takes the position behind it. */
  closedFinSent = false;
  received: Position = 0;
  consumed: Position = 0;
  ackSent: Position = 0;
  /** How the peer ended its direction. */
  inEnded: EndCode | undefined;
  /** OPEN has yet to be sent. */
  openPending: boolean;
  /** In the queue of streams with something to send. */
  queued = false;
  /** A bare ACK is due with the next batch. */
  ackDue = false;
  /** The owner was told to stop sending and waits for room. */
  stopped = false;

  /** @param base of this end's direction @param consumed of the peer's */
  constructor(id: StreamId, openPending: boolean, base: Position = 0, consumed: Position = 0) {
    this.id = id;
    this.openPending = openPending;
    this.out = new Replay(base);
    this.in = new Fingerprint(consumed);
  }

  /** The stream as another process had it. What that one has handed out nobody knows: it may have been everything. */
  static takeUp(rest: StreamRest): LinkStream {
    const stream = new LinkStream(rest.id, false, rest.base, rest.consumed);
    for (const bytes of rest.bytes) stream.out.append(bytes);
    stream.acked = rest.acked;
    stream.outEnded = rest.ended;
    stream.closedFinSent = rest.closed;
    stream.sentMax = stream.outEnd;
    stream.inEnded = rest.peerEnded ? 'closed' : undefined;
    stream.consumed = rest.consumed + (rest.peerEnded ? 1 : 0);
    stream.received = stream.consumed;
    stream.stopped = true;
    return stream;
  }

  image(): StreamImage {
    return {
      id: this.id,
      acked: this.acked,
      base: this.out.base,
      bytes: this.out.stored(),
      ended: isAbort(this.inEnded) && !isAbort(this.outEnded) ? this.inEnded : this.outEnded,
      closed: this.outEnded === 'closed' || this.closedFinSent,
    };
  }

  /** Handed out so far on this link, ends included. */
  get sent(): Position {
    return this.out.cursor + this.finsSent;
  }

  /** End of everything this end will ever say so far. */
  get outEnd(): Position {
    return this.out.end + this.endsTotal;
  }

  /** Both directions are over because one end broke it off. */
  get aborted(): boolean {
    return isAbort(this.outEnded) || isAbort(this.inEnded);
  }

  /** Ends this direction has: an abort after an orderly end that was handed out counts as a second. */
  get endsTotal(): 0 | 1 | 2 {
    if (this.outEnded === undefined) return 0;
    return this.outEnded !== 'closed' && this.closedFinSent ? 2 : 1;
  }

  /** A FIN has yet to be handed out, and all bytes before it are. */
  get finDue(): boolean {
    if (isAbort(this.inEnded)) return false;
    return this.outEnded !== undefined && this.out.pendingBytes === 0 && this.finsSent < this.endsTotal;
  }

  /** Own direction acknowledged to its end, the peer's consumed and acknowledged to its end. */
  get finished(): boolean {
    // Both ended in order, and each knows: an abort that comes after that has nothing to say, and nobody would answer it.
    if (this.closedFinSent && this.inEnded === 'closed' && this.acked > this.out.end)
      return this.ackSent >= this.received;
    if (this.outEnded === undefined || this.acked < this.outEnd) return false;
    return this.outEnded !== 'closed' || (this.inEnded !== undefined && this.ackSent >= this.received);
  }

  state(): StreamState {
    return {
      id: this.id,
      received: this.received,
      consumed: this.consumed,
      firstAvailable: this.acked,
      sent: this.sentMax,
    };
  }

  get fingerprints(): Fingerprints {
    return { sent: this.out.fingerprint.closed, received: this.in.closed };
  }

  /** Compares the peer's account with this one's. */
  disagreement(peer: StreamState): Disagreement | undefined {
    if (peer.sent < this.received || peer.received < this.acked) return 'peer-rewound';
    if (peer.firstAvailable > this.received || peer.received > this.sentMax || peer.consumed > peer.received)
      return 'gap';
    return undefined;
  }

  /**
   * Hands out everything from the beginning, which is still here: the peer has never heard of the stream.
   * @returns bytes that were handed out before and will be again
   */
  startOver(): number {
    this.openPending = true;
    this.out.seek(0);
    this.finsSent = 0;
    this.closedFinSent = false;
    return Math.min(this.sentMax, this.out.end);
  }

  /**
   * Takes up the stream on a new link from what the peer has. The caller has checked for disagreement.
   * @returns bytes that were handed out before and will be again
   */
  resumeFrom(peer: StreamState): number {
    const bytesReceived = Math.min(peer.received, this.out.end);
    this.out.closeRange(bytesReceived);
    this.in.close();
    this.out.seek(bytesReceived);
    this.finsSent = peer.received - bytesReceived;
    if (this.finsSent === 0) this.closedFinSent = false;
    this.ackSent = peer.firstAvailable;
    return Math.min(this.sentMax, this.out.end) - bytesReceived;
  }
}

function isAbort(code: EndCode | undefined): boolean {
  return code !== undefined && code !== 'closed';
}
