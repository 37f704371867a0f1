/**
 * A tracker that also says at which points of which calls the bytes are: what rules ask for. It is fed with packets, and tells what
 * lies before and behind each. Of its own beside the session's: the bytes it sees may be kept back, and the session must
 * know only those that have passed.
 */
import { DataFlag, dataFlagsOf, type MarkerKind, PacketType } from '../tns/index.js';
import type { KnownHead } from '../track/requests.js';
import { SessionTracker } from '../track/session.js';
import { type EndOfCall, FunctionCode, MessageType, type ServerNews } from '../ttc/index.js';
import type { Point } from './contract.js';
import { type Moment, notAny } from './engine.js';

/** A call that is under way. */
export interface SeenCall extends Omit<Moment, 'point'> {
  /** Its number in the driver's count: an ERROR names its call. */
  readonly sequence: number;
}

/** A point that a call has reached. */
export interface Mark {
  readonly point: Point;
  readonly call: SeenCall;
  /** Of the packet it is about: for points inside of it. */
  readonly packetBytes: number;
}

/** What a packet means: points before and behind it. */
export interface Marks {
  readonly before: readonly Mark[];
  readonly behind: readonly Mark[];
}

type Kind = Moment['call'];

const kinds: ReadonlyMap<number, Kind> = new Map<number, Kind>([
  [FunctionCode.execute, 'execute'],
  [FunctionCode.reExecute, 'execute'],
  [FunctionCode.reExecuteAndFetch, 'execute'],
  [FunctionCode.fetch, 'fetch'],
  [FunctionCode.commit, 'commit'],
  [FunctionCode.rollback, 'rollback'],
  [FunctionCode.lobOperation, 'lob'],
  [FunctionCode.ping, 'ping'],
  [FunctionCode.logoff, 'logoff'],
]);
/** These begin no transaction. */
const neverFirst: ReadonlySet<Kind> = new Set(['commit', 'rollback', 'ping', 'logoff']);

export class CallWatcher extends SessionTracker {
  #before: Mark[] = [];
  #behind: Mark[] = [];
  #packet: Buffer = Buffer.alloc(0);
  /** Requests whose answers are to come; the answer to the first may have begun. */
  #waiting: SeenCall[] = [];
  /** The request that has begun and not ended. */
  #sending: SeenCall | undefined;
  #marksEnds = false;
  readonly #counts = new Map<Kind, number>();
  #any = 0;
  /** The next call can be the first of a transaction. */
  #isFresh = true;

  /** A whole packet of the driver, or the rest of one that had begun before. */
  driverPacket(bytes: Buffer, isWhole: boolean, nowMs: number): Marks {
    this.#begin(bytes);
    const flags = isWhole && bytes[4] === PacketType.data ? dataFlagsOf(bytes) : 0;
    if ((flags & DataFlag.endOfRequest) !== 0) this.#marksEnds = true;
    this.fromDriver(bytes, nowMs);
    const call = this.#sending;
    // A driver that does not mark the end fills its packets while there is more to come.
    const isLast = (flags & DataFlag.endOfRequest) !== 0 || (!this.#marksEnds && bytes.length < this.#sduBytes());
    if (call !== undefined && bytes[4] === PacketType.data && isLast) {
      this.#sending = undefined;
      this.#behind.push(this.#mark('after-request', call));
    }
    return this.#marks();
  }

  databasePacket(bytes: Buffer, nowMs: number): Marks {
    this.#begin(bytes);
    this.fromDatabase(bytes, nowMs);
    return this.#marks();
  }

  override request(head: KnownHead, beginsPipeline: boolean): void {
    const { phase, transaction } = this.view();
    super.request(head, beginsPipeline);
    if (head.kind === 'flush-out-binds') return;
    const kind =
      phase === 'login' ? 'login' : head.kind === 'call' ? (kinds.get(head.functionCode) ?? 'other') : 'other';
    const call = this.#counted(kind, transaction.kind === 'open');
    if (this.view().calls.inFlight <= 1) this.#waiting = [];
    if (!(head.kind === 'call' && head.oneWay)) this.#waiting.push(call);
    this.#sending = call;
    this.#before.push(this.#mark('before-request', call), this.#mark('in-request', call));
  }

  override driverMarker(kind: MarkerKind): void {
    super.driverMarker(kind);
    if (kind !== 'break' && kind !== 'interrupt') return;
    const call = this.#counted('break', this.view().transaction.kind === 'open');
    this.#before.push(this.#mark('before-request', call));
    this.#behind.push(this.#mark('after-request', call));
  }

  override responseBegan(): void {
    super.responseBegan();
    const [call] = this.#waiting;
    if (call !== undefined) this.#before.push(this.#mark('before-response', call), this.#mark('in-response', call));
  }

  override responseEnded(end: EndOfCall, news: ServerNews): void {
    const before = this.view().transaction.kind;
    super.responseEnded(end, news);
    const { transaction, calls } = this.view();
    const wasCommitted = before === 'open' && transaction.kind === 'none';
    const [call] = this.#waiting;
    if (call === undefined || calls.inFlight >= this.#waiting.length) return;
    this.#waiting.shift();
    if (wasCommitted || call.call === 'commit' || call.call === 'rollback') this.#isFresh = true;
    this.#behind.push(this.#mark('after-response', call));
  }

  #counted(kind: Kind, inTransaction: boolean): SeenCall {
    const isAny = !notAny.has(kind);
    const ofKind = (this.#counts.get(kind) ?? 0) + 1;
    this.#counts.set(kind, ofKind);
    if (isAny) this.#any += 1;
    const canBegin = isAny && !neverFirst.has(kind);
    const firstOfTransaction = canBegin && this.#isFresh;
    if (canBegin) this.#isFresh = false;
    // Behind piggybacks it stands elsewhere; drivers do without it.
    const sequence = this.#packet[10] === MessageType.function ? (this.#packet[12] ?? 0) : 0;
    return { call: kind, ofKind, ofAny: this.#any, inTransaction, firstOfTransaction, sequence };
  }

  #sduBytes(): number {
    return this.view().protocol.sduBytes;
  }

  #mark(point: Point, call: SeenCall): Mark {
    return { point, call, packetBytes: this.#packet.length };
  }

  #begin(bytes: Buffer): void {
    this.#packet = bytes;
    this.#before = [];
    this.#behind = [];
  }

  #marks(): Marks {
    return { before: this.#before, behind: this.#behind };
  }
}
