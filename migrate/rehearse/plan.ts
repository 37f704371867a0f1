import type { HistoryEvent } from '../judge/history.js';

export const workloadKinds = ['ledger', 'bank', 'batch', 'queue', 'registers'] as const;
export type WorkloadKind = (typeof workloadKinds)[number];

/** Where the applications keep what they do; every name begins with the prefix, so nothing of anybody else is touched. */
export interface Tables {
  readonly prefix: string;
}

/** What one application is to do. */
export interface ApplicationPlan extends Tables {
  readonly seed: number;
  /** Number of the first session; those of different applications do not meet. */
  readonly first: number;
  readonly sessions: number;
  /** What its sessions do, one kind after the other. */
  readonly kinds: readonly WorkloadKind[];
  /** Longest pause between two calls of a transaction, and between two transactions. */
  readonly pauseMsMax: number;
  /** Every session ends after so many transactions; 0: when the stop file is there. */
  readonly transactions: number;
  /** Every session ends after the transaction in which this file appears. */
  readonly stopFile: string;
}

/** One line of what an application prints. */
export type ApplicationEvent =
  | HistoryEvent
  /** All its sessions are connected. */
  | { readonly type: 'ready'; readonly atMs: number }
  /** A session has a connection, its first (life 0) or another one after it has lost one. */
  | { readonly type: 'connected'; readonly session: number; readonly life: number; readonly atMs: number }
  /** A connection could not be made; it is tried again. */
  | { readonly type: 'refused'; readonly session: number; readonly error: string; readonly atMs: number }
  /** A call that was answered late: something may have come in between. */
  | {
      readonly type: 'slow';
      readonly session: number;
      readonly call: string;
      readonly beganMs: number;
      readonly endedMs: number;
    }
  | { readonly type: 'done'; readonly atMs: number };

/** Operations of one session before its numbers reach those of the next. */
export const operationsPerSession = 1_000_000;
export const ledgers = 4;
export const accounts = 24;
export const openingBalance = 1_000;
export const noteBytes = 120;

/** Milliseconds of the machine's monotonic clock. */
export function machineMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
