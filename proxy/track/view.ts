import type { Accept } from '../tns/index.js';
import { functionName, type TtcCapabilities } from '../ttc/index.js';
import type { BreakPhase, CallState } from './call.js';
import type { Transaction } from './transaction.js';

/** Who the session is, as far as login told. */
export interface SessionIdentity {
  readonly user: string | undefined;
  readonly service: string | undefined;
  readonly sid: number | undefined;
  readonly serial: number | undefined;
  readonly instance: string | undefined;
  readonly database: string | undefined;
  readonly driver: string | undefined;
  readonly driverVersion: string | undefined;
  readonly program: string | undefined;
  readonly machine: string | undefined;
  readonly osUser: string | undefined;
  readonly processId: string | undefined;
  /** A session pool of the database (DRCP) took the session back: SID and serial# may be another's by now. */
  readonly stale: boolean;
}

/** All that an identity tracker knows: plain data, from which another one goes on. */
export interface IdentityState {
  readonly known: SessionIdentity;
  /** What both ends agreed on. */
  readonly capabilities: TtcCapabilities;
  /** What each end has offered. */
  readonly client: TtcCapabilities | undefined;
  readonly server: TtcCapabilities | undefined;
}

/** What the tracker concluded from the packets it has seen; views and verdicts are made of this, and of nothing else. */
export interface TrackFacts {
  readonly phase: TrackPhase;
  readonly identity: IdentityState;
  readonly calls: CallState;
  /** The database's ACCEPT, when there was one. */
  readonly accept: Accept | undefined;
  readonly transaction: Transaction;
  /** Code of the function in flight, or the last one. */
  readonly lastFunction: number | undefined;
  /** When the calls in flight began, or the last ones. */
  readonly callsSinceMs: number;
  readonly lastError: number;
  readonly request: SessionTrack['request'];
  readonly released: boolean;
  readonly notification: number;
  /** The last logical transaction id that the database told, in hexadecimal. */
  readonly ltxid: string | undefined;
  readonly fromDriverBytes: number;
  readonly fromDatabaseBytes: number;
  readonly opaqueReason: string;
  /** Why the verdict is unknown at present. */
  readonly unknown: string | undefined;
  readonly servicesNegotiated: boolean;
}

export type MoveReason =
  | 'idle'
  /** Between two calls of a request whose end the driver will tell. */
  | 'between-calls'
  | 'in-call'
  | 'in-transaction'
  | 'in-login'
  /** A break/reset handshake is under way. */
  | 'breaking'
  | 'pipelined'
  /** The driver gave the session back to the database's pool. */
  | 'released'
  /** Encrypted end to end: calls and transactions cannot be seen. */
  | 'opaque'
  /** Something passed that the tracker does not know. */
  | 'unknown';

/**
 * May this session move now? A call in flight does not prevent it, nor does a transaction: both survive a move. The reason
 * lets a policy wait for a better moment.
 */
export interface Movability {
  readonly movable: boolean | 'unknown';
  readonly reason: MoveReason;
  readonly detail: string;
}

export type TrackPhase = 'connecting' | 'login' | 'ready' | 'logged-off' | 'refused' | 'opaque';

/** What the tracker knows of a session, as it is shown. */
export interface SessionTrack {
  readonly phase: TrackPhase;
  readonly identity: SessionIdentity;
  readonly protocol: {
    /** Oracle Net version, 0 before it is known. */
    readonly version: number;
    readonly sduBytes: number;
    /** The database marks the end of responses. */
    readonly endOfResponse: boolean;
    /** Version of the call layer's fields; 0 when not learnt. */
    readonly fieldVersion: number;
  };
  readonly calls: {
    readonly inFlight: number;
    readonly total: number;
    /** When the oldest of those in flight was sent; monotonic clock. */
    readonly sinceMs: number | undefined;
    /** The call in flight, or the last one. */
    readonly lastFunction: string | undefined;
    /** Error number of the last call that ended; 0 for none. */
    readonly lastError: number;
    readonly pipelined: boolean;
    readonly breakPhase: BreakPhase;
  };
  readonly transaction: Transaction;
  /** Request boundaries, as pools of drivers tell them; `none` when the driver does not. */
  readonly request: 'none' | 'open' | 'ended';
  /** Number of the last in-band notification, 0 for none. */
  readonly notification: number;
  /** The last logical transaction id that the database told, in hexadecimal (Transaction Guard). */
  readonly ltxid: string | undefined;
  readonly bytes: { readonly fromDriver: number; readonly fromDatabase: number };
  readonly movability: Movability;
}

export function viewOf(facts: TrackFacts): SessionTrack {
  const { calls, identity, accept } = facts;
  return {
    phase: facts.phase,
    identity: identity.known,
    protocol: {
      version: accept?.version ?? 0,
      sduBytes: accept?.sduBytes ?? 0,
      endOfResponse: (accept?.endOfResponse ?? false) && identity.capabilities.endOfResponse,
      fieldVersion: identity.capabilities.fieldVersion,
    },
    calls: {
      inFlight: calls.inFlight,
      total: calls.calls,
      sinceMs: calls.inFlight === 0 ? undefined : facts.callsSinceMs,
      lastFunction: facts.lastFunction === undefined ? undefined : functionName(facts.lastFunction),
      lastError: facts.lastError,
      pipelined: calls.pipelined,
      breakPhase: calls.breakPhase,
    },
    transaction: facts.transaction,
    request: facts.request,
    notification: facts.notification,
    ltxid: facts.ltxid,
    bytes: { fromDriver: facts.fromDriverBytes, fromDatabase: facts.fromDatabaseBytes },
    movability: movabilityOf(facts),
  };
}

export function movabilityOf(facts: TrackFacts): Movability {
  const { phase, calls, transaction } = facts;
  if (phase === 'opaque') return { movable: 'unknown', reason: 'opaque', detail: facts.opaqueReason };
  if (facts.unknown !== undefined) return { movable: 'unknown', reason: 'unknown', detail: facts.unknown };
  if (phase === 'logged-off') return { movable: true, reason: 'idle', detail: 'logged off' };
  if (phase !== 'ready') return { movable: false, reason: 'in-login', detail: phase };
  if (calls.breakPhase !== 'none') return { movable: true, reason: 'breaking', detail: calls.breakPhase };
  if (calls.pipelined) return { movable: true, reason: 'pipelined', detail: `${calls.inFlight} calls in flight` };
  if (calls.inFlight > 0) {
    const detail = facts.lastFunction === undefined ? '' : functionName(facts.lastFunction);
    return { movable: true, reason: 'in-call', detail };
  }
  if (transaction.kind === 'unknown') {
    return { movable: 'unknown', reason: 'unknown', detail: `transaction: ${transaction.reason}` };
  }
  if (transaction.kind === 'open') return { movable: true, reason: 'in-transaction', detail: '' };
  if (facts.released) return { movable: true, reason: 'released', detail: '' };
  if (facts.request === 'open') return { movable: true, reason: 'between-calls', detail: '' };
  return { movable: true, reason: 'idle', detail: '' };
}
