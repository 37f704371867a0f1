import type { Verdict } from '../judge/judge.js';

/** Something that took a while on a lane. Times are milliseconds since the beginning of the run. */
export interface Span {
  readonly kind: 'ok' | 'fail' | 'rollback' | 'info' | 'call' | 'move' | 'blackout' | 'fault';
  readonly beganMs: number;
  readonly endedMs: number;
  /** Shown where one points at it. */
  readonly label: string;
}

/** Something that happened at one moment. */
export interface Mark {
  readonly kind: 'fault' | 'bind' | 'refused' | 'kill';
  readonly atMs: number;
  readonly label: string;
}

export interface Lane {
  readonly name: string;
  /** Lanes of one application stand together, and its binds and blackouts go through all of them. */
  readonly group: string;
  readonly spans: readonly Span[];
  readonly marks: readonly Mark[];
}

export interface Timeline {
  readonly lengthMs: number;
  readonly lanes: readonly Lane[];
}

export interface FaultCount {
  readonly kind: string;
  readonly acts: number;
}

/** One run: a scenario, or a rehearsal. */
export interface RunReport {
  readonly name: string;
  readonly about: string;
  readonly seed: number;
  readonly passed: boolean;
  /** What did not hold, in words. */
  readonly failures: readonly string[];
  readonly seconds: number;
  /** Committed, and rolled back on purpose. */
  readonly transactions: number;
  readonly faultsActed: number;
  readonly faults: readonly FaultCount[];
  /** Where faults by meaning have acted: what `--replay` reads. */
  readonly acts: readonly { readonly rule: string; readonly session: number; readonly match: number }[];
  readonly verdict: Verdict;
  /** The same without Holdfast: the driver straight at the database. */
  readonly control?: { readonly faultsActed: number; readonly verdict: Verdict } | undefined;
  readonly timeline: Timeline;
}

export interface Report {
  readonly title: string;
  /** Wall clock, ISO 8601. */
  readonly startedAt: string;
  readonly version: string;
  readonly passed: boolean;
  readonly seconds: number;
  readonly runs: readonly RunReport[];
}

/** Spans of one timeline that a page shows; beyond them the shortest good transactions are left out. */
export const spansMax = 12_000;
