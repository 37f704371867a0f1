import type { Activity, Ending } from '../policy/rules.js';

/**
 * One line of the audit log: what happened to a workload or its sessions, and who did it. Fields are written one by one,
 * never copied from what a peer has sent: no SQL text, no bind values, no tokens can get in.
 */
export interface AuditEntry {
  readonly event: AuditEvent;
  readonly workload?: string;
  /** Which life of its shim. */
  readonly instance?: string;
  /** Number of binds so far. */
  readonly epoch?: number;
  /** Where the shim dials from, or dialed from last. */
  readonly address?: string;
  /** Whoever asked for it, as they said it, and as the connection proved it. */
  readonly by?: AuditActor;
  readonly why?: string;
  /** Verdict of a refusal, or how sessions ended. */
  readonly code?: string;
  readonly rule?: string;
  readonly owner?: string;
  readonly doing?: Activity;
  readonly atEnd?: Ending;
  readonly isPinned?: boolean;
  /** When a hold ends: wall clock, ISO 8601. */
  readonly until?: string;
  readonly byMs?: number;
  readonly leftMs?: number;
  readonly replayedBytes?: number;
  readonly sessions?: readonly AuditSession[];
  /** All of them, where the list was cut off. */
  readonly sessionsTotal?: number;
  readonly move?: AuditMove;
  /** Name of a fault, and what it did. */
  readonly fault?: string;
  readonly act?: AuditFault;
  /** Lines that could not be written before this one. */
  readonly lostLines?: number;
}

export type AuditEvent =
  /** The proxy starts, or is asked to stop. */
  | 'start'
  | 'stop'
  /** Another worker of the same proxy goes on. */
  | 'takeover'
  /** A shim serves the workload from now on. */
  | 'bind'
  /** It is away, and its sessions are held. */
  | 'hold'
  /** A bind was refused for good. */
  | 'refuse'
  /** A hold will end soon. */
  | 'warn'
  | 'extend'
  | 'pin'
  | 'unpin'
  /** The budget is over: the sessions were closed, or (alert) are kept all the same. */
  | 'expire'
  | 'alert'
  /** An operator has ended a hold. */
  | 'release'
  /** The workload is over: its shim said goodbye, or the proxy stops. */
  | 'end'
  /** The database has ended a session, or the connection to it was lost. */
  | 'lost'
  /** An agent has moved the workload, or tried to. */
  | 'move'
  /** With `--allow-faults`: a rule was asked for, has acted, and has ended. */
  | 'fault-added'
  | 'fault'
  | 'fault-removed'
  /** The audit log itself: lines are missing before this one. */
  | 'gap';

export interface AuditActor {
  /** Account and host of the operator, as told by the command. */
  readonly user?: string;
  readonly host?: string;
  /** What the control connection proved. */
  readonly peer?: string;
}

export interface AuditSession {
  readonly stream: number;
  readonly user?: string;
  readonly service?: string;
  readonly sid?: number;
  readonly serial?: number;
  readonly transaction: 'none' | 'open' | 'unknown';
  readonly callsInFlight: number;
}

export interface AuditMove {
  readonly move: string;
  readonly mover: string;
  readonly outcome: string;
  readonly from: string;
  readonly to: string;
  readonly epochBefore: number;
  readonly epochAfter: number;
  readonly blackoutMs: number;
  /** Why it was not made. */
  readonly code?: string | undefined;
}

/** What an injected fault did, and to which session. */
export interface AuditFault {
  readonly seq: number;
  readonly action: string;
  readonly call?: string | undefined;
  readonly point?: string | undefined;
  readonly session?: number | undefined;
  readonly match?: number | undefined;
  readonly stream?: number | undefined;
  readonly user?: string | undefined;
  readonly service?: string | undefined;
  readonly sid?: number | undefined;
  readonly serial?: number | undefined;
  readonly transaction?: 'none' | 'open' | 'unknown' | undefined;
  readonly ora?: number | undefined;
  /** Of a relay: its name, and the number of the connection. */
  readonly relay?: string | undefined;
  readonly connection?: number | undefined;
}

/** Where entries go. */
export interface Audit {
  /** Never waits and never throws. */
  record(entry: AuditEntry): void;
  /** True: nothing can be recorded at present, and so no unknown workload may begin. */
  readonly refusesNew: boolean;
  /** Undefined: there is no audit log, and what costs time to find out need not be found out. */
  readonly state?: AuditState;
}

export interface AuditState {
  readonly path: string;
  /** The last write has failed. */
  readonly isFailing: boolean;
  /** Bytes that wait to be written, lines that will never be. */
  readonly waitingBytes: number;
  readonly lostLines: number;
}

/** For a proxy without an audit log. */
export const noAudit: Audit = { record: () => undefined, refusesNew: false };
