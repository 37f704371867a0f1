import type { BreakPhase } from './call.js';
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

/** What the tracker knows of a session; serialisable. */
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
  readonly bytes: { readonly fromDriver: number; readonly fromDatabase: number };
  readonly movability: Movability;
}
