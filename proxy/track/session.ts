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
import { type Accept, type Connect, type LengthForm, type MarkerKind, PacketReader } from '../tns/index.js';
import { type EndOfCall, FunctionCode, functionName, SessionStateFlag } from '../ttc/index.js';
import { CallTracker, type RequestKind } from './call.js';
import { IdentityTracker, unknownCapabilities } from './identity.js';
import { type KnownHead, type RequestEvents, RequestWatcher } from './requests.js';
import { type ResponseEvents, ResponseWatcher } from './responses.js';
import { noTransaction, type Transaction, transactionAfterCall, unknownTransaction } from './transaction.js';
import type { Movability, SessionTrack, TrackPhase } from './view.js';

/** What the connect phase found out. */
export interface ConnectFacts {
  readonly outcome:
    | { readonly kind: 'accepted'; readonly accept: Accept }
    | { readonly kind: 'refused' }
    | { readonly kind: 'opaque' };
  readonly connect: Connect | undefined;
  readonly connectData: string | undefined;
}

interface Watchers {
  readonly requests: RequestWatcher;
  readonly responses: ResponseWatcher;
  readonly fromDriver: PacketReader;
  readonly fromDatabase: PacketReader;
}

export class SessionTracker implements RequestEvents, ResponseEvents {
  readonly #calls = new CallTracker();
  readonly #identity = new IdentityTracker();
  #phase: TrackPhase = 'connecting';
  #accept: Accept | undefined;
  /** Only while packets are watched. */
  #watchers: Watchers | undefined;
  #transaction: Transaction = unknownTransaction('no-call-yet');
  #lastFunction: number | undefined;
  #lastError = 0;
  #request: SessionTrack['request'] = 'none';
  #released = false;
  #notification = 0;
  #fromDriverBytes = 0;
  #fromDatabaseBytes = 0;
  #opaqueReason = '';
  /** Why the verdict is unknown at present. */
  #unknown: string | undefined;
  #servicesNegotiated = false;
  #nowMs = 0;

  settled(facts: ConnectFacts): void {
    this.#identity.connected(facts.connect, facts.connectData);
    switch (facts.outcome.kind) {
      case 'refused':
        this.#phase = 'refused';
        break;
      case 'opaque':
        this.#goOpaque('TLS from end to end');
        break;
      case 'accepted':
        this.#phase = 'login';
        this.#accept = facts.outcome.accept;
        this.#watch(facts.outcome.accept);
        break;
    }
  }

  /** The next bytes of the driver behind its CONNECT. */
  fromDriver(chunk: Buffer, nowMs: number): void {
    this.#fromDriverBytes += chunk.length;
    if (this.#watchers !== undefined) this.#push(this.#watchers.fromDriver, chunk, nowMs);
  }

  /** The next bytes of the database behind its ACCEPT. */
  fromDatabase(chunk: Buffer, nowMs: number): void {
    this.#fromDatabaseBytes += chunk.length;
    if (this.#watchers !== undefined) this.#push(this.#watchers.fromDatabase, chunk, nowMs);
  }

  /** The driver has said good-bye: the end of the connection is no surprise. */
  get loggedOff(): boolean {
    return this.#phase === 'logged-off';
  }

  view(): SessionTrack {
    return {
      phase: this.#phase,
      identity: this.#identity.view,
      protocol: {
        version: this.#accept?.version ?? 0,
        sduBytes: this.#accept?.sduBytes ?? 0,
        endOfResponse: this.#accept?.endOfResponse ?? false,
        fieldVersion: this.#identity.capabilities.fieldVersion,
      },
      calls: {
        inFlight: this.#calls.inFlight,
        total: this.#calls.calls,
        lastFunction: this.#lastFunction === undefined ? undefined : functionName(this.#lastFunction),
        lastError: this.#lastError,
        pipelined: this.#calls.pipelined,
        breakPhase: this.#calls.breakPhase,
      },
      transaction: this.#transaction,
      request: this.#request,
      notification: this.#notification,
      bytes: { fromDriver: this.#fromDriverBytes, fromDatabase: this.#fromDatabaseBytes },
      movability: this.movability(),
    };
  }

  movability(): Movability {
    if (this.#phase === 'opaque') return { movable: 'unknown', reason: 'opaque', detail: this.#opaqueReason };
    if (this.#unknown !== undefined) return { movable: 'unknown', reason: 'unknown', detail: this.#unknown };
    if (this.#phase === 'logged-off') return { movable: true, reason: 'idle', detail: 'logged off' };
    if (this.#phase !== 'ready') return { movable: false, reason: 'in-login', detail: this.#phase };
    const calls = this.#calls;
    if (calls.breakPhase !== 'none') return { movable: true, reason: 'breaking', detail: calls.breakPhase };
    if (calls.pipelined) return { movable: true, reason: 'pipelined', detail: `${calls.inFlight} calls in flight` };
    if (calls.inFlight > 0) return { movable: true, reason: 'in-call', detail: this.#functionDetail() };
    if (this.#transaction.kind === 'unknown') {
      return { movable: 'unknown', reason: 'unknown', detail: `transaction: ${this.#transaction.reason}` };
    }
    if (this.#transaction.kind === 'open') return { movable: true, reason: 'in-transaction', detail: '' };
    if (this.#released) return { movable: true, reason: 'released', detail: '' };
    if (this.#request === 'open') return { movable: true, reason: 'between-calls', detail: '' };
    return { movable: true, reason: 'idle', detail: '' };
  }

  request(head: KnownHead, beginsPipeline: boolean): void {
    if (head.kind === 'unknown') {
      if (this.#phase === 'login' && this.#servicesNegotiated) {
        this.#goOpaque('native network encryption');
        return;
      }
      this.#unknown = head.reason;
    }
    const wasQuiet = this.#calls.inFlight === 0;
    const missed = this.#calls.request(requestKind(head, beginsPipeline));
    if (missed || wasQuiet) this.#watchers?.responses.abandon();
    // The answers to negotiation messages have no status and, on slow logins, no mark at their end.
    if (missed && this.#phase === 'ready') this.#transaction = unknownTransaction('no-status');
    if (head.kind !== 'call') return;
    this.#lastFunction = head.functionCode;
    if ((head.sessionState & SessionStateFlag.requestBegin) !== 0) this.#request = 'open';
    if ((head.sessionState & SessionStateFlag.requestEnd) !== 0) this.#request = 'ended';
    this.#released = head.functionCode === FunctionCode.sessionRelease;
    if (this.#released) this.#identity.released();
  }

  login(head: KnownHead, payload: Buffer): void {
    this.#identity.fromDriver(head, payload);
    this.#shareCapabilities();
  }

  nativeServices(): void {
    this.#servicesNegotiated = true;
  }

  driverMarker(kind: MarkerKind): void {
    this.#marker('driver', kind);
  }

  endOfFile(): void {
    this.#phase = 'logged-off';
  }

  responseBegan(): void {
    this.#watchers?.requests.answered();
    this.#calls.response();
  }

  responseEnded(end: EndOfCall): void {
    if (this.#calls.responseEnded() === 'discarded') return;
    const status = end.kind === 'known' ? end : undefined;
    if (status !== undefined) this.#lastError = status.errorNumber;
    if (status?.sessionReleased === true) {
      this.#released = true;
      this.#identity.released();
    }
    if (this.#phase !== 'ready') return;
    const callStatus = status?.transactionOpen === undefined ? undefined : status.callStatus;
    this.#transaction = transactionAfterCall(this.#transaction, callStatus, this.#nowMs);
    if (callStatus !== undefined && this.#calls.inFlight === 0) this.#unknown = undefined;
    if (this.#lastFunction === FunctionCode.logoff) this.#phase = 'logged-off';
  }

  loginReply(payload: Buffer): void {
    const isDone = this.#identity.fromDatabase(payload);
    this.#shareCapabilities();
    if (!isDone || this.#phase !== 'login') return;
    this.#phase = 'ready';
    // A logon trigger may leave a transaction; the end of this very response says so if it does.
    this.#transaction = noTransaction;
    if (this.#watchers !== undefined) this.#watchers.responses.keepsWhole = false;
  }

  databaseMarker(kind: MarkerKind): void {
    this.#marker('database', kind);
    // The driver throws away what came before it.
    this.#watchers?.responses.abandon();
  }

  notification(errorNumber: number): void {
    this.#notification = errorNumber;
  }

  unknown(reason: string): void {
    this.#unknown = reason;
  }

  #marker(side: 'driver' | 'database', kind: MarkerKind): void {
    if (kind === 'unknown' || kind === 'attention') this.#unknown = `marker of kind ${kind} from the ${side}`;
    else this.#calls.marker(side, kind === 'reset' ? 'reset' : 'break');
  }

  #watch(accept: Accept): void {
    const lengthForm: LengthForm = accept.lengthForm;
    const requests = new RequestWatcher(this, unknownCapabilities);
    const responses = new ResponseWatcher(this, {
      capabilities: unknownCapabilities,
      endIsMarked: accept.endOfResponse,
      sduBytes: accept.sduBytes,
    });
    this.#watchers = {
      requests,
      responses,
      fromDriver: new PacketReader(requests, { source: 'frontend', lengthForm }),
      fromDatabase: new PacketReader(responses, { source: 'backend', lengthForm }),
    };
  }

  #push(reader: PacketReader, chunk: Buffer, nowMs: number): void {
    this.#nowMs = nowMs;
    try {
      reader.push(chunk);
    } catch (error) {
      // The framing is lost for good, and with it the watching: no call will end and clear the reason.
      this.#unknown = error instanceof Error ? error.message : String(error);
      this.#watchers = undefined;
    }
  }

  #goOpaque(reason: string): void {
    this.#phase = 'opaque';
    this.#opaqueReason = reason;
    this.#transaction = unknownTransaction('opaque');
    this.#watchers = undefined;
  }

  #shareCapabilities(): void {
    if (this.#watchers === undefined) return;
    this.#watchers.requests.capabilities = this.#identity.capabilities;
    this.#watchers.responses.capabilities = this.#identity.capabilities;
  }

  #functionDetail(): string {
    return this.#lastFunction === undefined ? '' : functionName(this.#lastFunction);
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
