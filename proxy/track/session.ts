/**
 * What one session is doing, watched from both directions of its bytes, and the answer to "may it move now, and if not, why".
 *
 *      connecting ──settled──► login ──SID known──► ready ──LOGOFF──► logged-off
 *           │                    └──encryption────► opaque
 *           ├──REFUSE──► refused
 *           └──TLS─────► opaque
 *
 * The tracker observes. It takes any chunking, keeps little, and never stands in the way: what it does not know makes the verdict
 * `unknown`, with the reason, until a call has ended cleanly; when it loses the framing it stops looking for good.
 */
import { type Accept, type Connect, type MarkerKind, PacketReader, type ReaderState } from '../tns/index.js';
import { type EndOfCall, FunctionCode, type ServerNews, SessionStateFlag } from '../ttc/index.js';
import { CallTracker, noCalls, type RequestKind } from './call.js';
import { IdentityTracker, unknownIdentity } from './identity.js';
import { type KnownHead, type RequestEvents, type RequestState, RequestWatcher } from './requests.js';
import { type ResponseEvents, type ResponseState, ResponseWatcher } from './responses.js';
import { noTransaction, transactionAfterCall, unknownTransaction } from './transaction.js';
import { type Movability, movabilityOf, type SessionTrack, type TrackFacts, viewOf } from './view.js';
import type { Writable } from './writable.js';

/** What the connect phase found out. */
export interface ConnectFacts {
  readonly outcome:
    | { readonly kind: 'accepted'; readonly accept: Accept }
    | { readonly kind: 'refused' }
    | { readonly kind: 'opaque' };
  readonly connect: Connect | undefined;
  readonly connectData: string | undefined;
}

/** Where the watching of both directions stands. */
interface WatchState {
  readonly requests: RequestState;
  readonly responses: ResponseState;
  readonly fromDriver: ReaderState;
  readonly fromDatabase: ReaderState;
}

/** All that a tracker knows: plain data, from which another one goes on as if it had seen every byte so far. */
export interface TrackerState extends TrackFacts {
  /** Only while packets are watched. */
  readonly watch: WatchState | undefined;
}

const unsettled: TrackerState = {
  phase: 'connecting',
  identity: unknownIdentity,
  calls: noCalls,
  accept: undefined,
  transaction: unknownTransaction('no-call-yet'),
  lastFunction: undefined,
  callsSinceMs: 0,
  lastError: 0,
  request: 'none',
  released: false,
  notification: 0,
  ltxid: undefined,
  fromDriverBytes: 0,
  fromDatabaseBytes: 0,
  opaqueReason: '',
  unknown: undefined,
  servicesNegotiated: false,
  watch: undefined,
};

interface Watchers {
  readonly requests: RequestWatcher;
  readonly responses: ResponseWatcher;
  readonly fromDriver: PacketReader;
  readonly fromDatabase: PacketReader;
}

export class SessionTracker implements RequestEvents, ResponseEvents {
  readonly #calls: CallTracker;
  readonly #identity: IdentityTracker;
  readonly #at: Writable<Omit<TrackFacts, 'calls' | 'identity'>>;
  /** Only while packets are watched. */
  #watchers: Watchers | undefined;
  /** When the present chunk came. */
  #nowMs = 0;

  constructor(state: TrackerState = unsettled) {
    const { calls, identity, watch, ...facts } = state;
    this.#calls = new CallTracker(calls);
    this.#identity = new IdentityTracker(identity);
    this.#at = facts;
    if (facts.accept !== undefined && watch !== undefined) this.#watch(facts.accept, watch);
  }

  state(): TrackerState {
    const watchers = this.#watchers;
    const watch = watchers && {
      requests: watchers.requests.state(),
      responses: watchers.responses.state(),
      fromDriver: watchers.fromDriver.state(),
      fromDatabase: watchers.fromDatabase.state(),
    };
    return { ...this.#facts(), watch };
  }

  settled(facts: ConnectFacts): void {
    this.#identity.connected(facts.connect, facts.connectData);
    switch (facts.outcome.kind) {
      case 'refused':
        this.#at.phase = 'refused';
        break;
      case 'opaque':
        this.#goOpaque('TLS from end to end');
        break;
      case 'accepted':
        this.#at.phase = 'login';
        this.#at.accept = facts.outcome.accept;
        this.#watch(facts.outcome.accept);
        break;
    }
  }

  /** The next bytes of the driver behind its CONNECT. */
  fromDriver(chunk: Buffer, nowMs: number): void {
    this.#at.fromDriverBytes += chunk.length;
    if (this.#watchers !== undefined) this.#push(this.#watchers.fromDriver, chunk, nowMs);
  }

  /** The next bytes of the database behind its ACCEPT. */
  fromDatabase(chunk: Buffer, nowMs: number): void {
    this.#at.fromDatabaseBytes += chunk.length;
    if (this.#watchers !== undefined) this.#push(this.#watchers.fromDatabase, chunk, nowMs);
  }

  get loggedIn(): boolean {
    return this.#at.phase === 'ready';
  }

  /** The driver has said good-bye: the end of the connection is no surprise. */
  get loggedOff(): boolean {
    return this.#at.phase === 'logged-off';
  }

  view(): SessionTrack {
    return viewOf(this.#facts());
  }

  movability(): Movability {
    return movabilityOf(this.#facts());
  }

  request(head: KnownHead, beginsPipeline: boolean): void {
    if (head.kind === 'unknown') {
      if (this.#at.phase === 'login' && this.#at.servicesNegotiated) {
        this.#goOpaque('native network encryption');
        return;
      }
      this.#at.unknown = head.reason;
    }
    const wasQuiet = this.#calls.inFlight === 0;
    const missed = this.#calls.request(requestKind(head, beginsPipeline));
    if (missed || wasQuiet) this.#at.callsSinceMs = this.#nowMs;
    if (missed || wasQuiet) this.#watchers?.responses.abandon();
    // The answers to negotiation messages have no status and, on slow logins, no mark at their end.
    if (missed && this.#at.phase === 'ready') this.#at.transaction = unknownTransaction('no-status');
    if (head.kind !== 'call') return;
    this.#at.lastFunction = head.functionCode;
    if ((head.sessionState & SessionStateFlag.requestBegin) !== 0) this.#at.request = 'open';
    if ((head.sessionState & SessionStateFlag.requestEnd) !== 0) this.#at.request = 'ended';
    this.#at.released = head.functionCode === FunctionCode.sessionRelease;
    if (this.#at.released) this.#identity.released();
  }

  login(head: KnownHead, payload: Buffer): void {
    this.#identity.fromDriver(head, payload);
    this.#shareCapabilities();
  }

  nativeServices(): void {
    this.#at.servicesNegotiated = true;
  }

  driverMarker(kind: MarkerKind): void {
    this.#marker('driver', kind);
  }

  endOfFile(): void {
    this.#at.phase = 'logged-off';
  }

  responseBegan(): void {
    this.#watchers?.requests.answered();
    this.#calls.response();
  }

  responsePaused(): void {
    this.#calls.responsePaused();
  }

  responseEnded(end: EndOfCall, news: ServerNews): void {
    if (this.#calls.responseEnded() === 'discarded') return;
    this.#learn(news);
    const status = end.kind === 'known' ? end : undefined;
    if (status !== undefined) this.#at.lastError = status.errorNumber;
    if (status?.sessionReleased === true) {
      this.#at.released = true;
      this.#identity.released();
    }
    if (this.#at.phase !== 'ready') return;
    const callStatus = status?.transactionOpen === undefined ? undefined : status.callStatus;
    this.#at.transaction = transactionAfterCall(this.#at.transaction, callStatus, this.#nowMs);
    if (callStatus !== undefined && this.#calls.inFlight === 0) this.#at.unknown = undefined;
    if (this.#at.lastFunction === FunctionCode.logoff) this.#at.phase = 'logged-off';
  }

  #learn({ ltxid, session }: ServerNews): void {
    if (session !== undefined) {
      this.#identity.switched(session);
      if (session.changed) this.#at.ltxid = undefined;
    }
    if (ltxid !== undefined) this.#at.ltxid = ltxid.toString('hex');
  }

  loginReply(payload: Buffer): void {
    const isDone = this.#identity.fromDatabase(payload);
    this.#shareCapabilities();
    if (!isDone || this.#at.phase !== 'login') return;
    this.#at.phase = 'ready';
    // A logon trigger may leave a transaction; the end of this very response says so if it does.
    this.#at.transaction = noTransaction;
    if (this.#watchers !== undefined) this.#watchers.responses.loggedIn();
  }

  databaseMarker(kind: MarkerKind): void {
    this.#marker('database', kind);
    // The driver throws away what came before it.
    this.#watchers?.responses.abandon();
  }

  notification(errorNumber: number): void {
    this.#at.notification = errorNumber;
  }

  unknown(reason: string): void {
    this.#at.unknown = reason;
  }

  #marker(side: 'driver' | 'database', kind: MarkerKind): void {
    if (kind === 'unknown' || kind === 'attention') this.#at.unknown = `marker of kind ${kind} from the ${side}`;
    else this.#calls.marker(side, kind === 'reset' ? 'reset' : 'break');
  }

  #watch(accept: Accept, from?: WatchState): void {
    const { lengthForm, sduBytes, endOfResponse: canMarkEnds } = accept;
    const { capabilities } = this.#identity;
    const requests = new RequestWatcher(this, capabilities, from?.requests);
    const responses = new ResponseWatcher(this, { capabilities, canMarkEnds, sduBytes }, from?.responses);
    this.#watchers = {
      requests,
      responses,
      fromDriver: new PacketReader(requests, { source: 'frontend', lengthForm }, from?.fromDriver),
      fromDatabase: new PacketReader(responses, { source: 'backend', lengthForm }, from?.fromDatabase),
    };
  }

  #push(reader: PacketReader, chunk: Buffer, nowMs: number): void {
    this.#nowMs = nowMs;
    try {
      reader.push(chunk);
    } catch (error) {
      // The framing is lost for good, and with it the watching: no call will end and clear the reason.
      this.#at.unknown = error instanceof Error ? error.message : String(error);
      this.#watchers = undefined;
    }
  }

  #goOpaque(reason: string): void {
    this.#at.phase = 'opaque';
    this.#at.opaqueReason = reason;
    this.#at.transaction = unknownTransaction('opaque');
    this.#watchers = undefined;
  }

  #shareCapabilities(): void {
    if (this.#watchers === undefined) return;
    this.#watchers.requests.capabilities = this.#identity.capabilities;
    this.#watchers.responses.capabilities = this.#identity.capabilities;
  }

  #facts(): TrackFacts {
    return { ...this.#at, calls: this.#calls.state(), identity: this.#identity.state() };
  }
}

function requestKind(head: KnownHead, beginsPipeline: boolean): RequestKind {
  if (head.kind === 'flush-out-binds') return 'flush';
  if (head.kind === 'call') {
    if (head.oneWay) return 'one-way';
    if (head.functionCode === FunctionCode.pipelineEnd) return 'pipeline-end';
    if (beginsPipeline || head.piggybacks.includes(FunctionCode.pipelineBegin)) return 'pipeline-begin';
  }
  return beginsPipeline ? 'pipeline-begin' : 'call';
}
