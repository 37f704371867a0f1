import type { IdRange } from '../../fixtures/apps/rows.js';

/** A table of `id`, `note`, `txn`, whose notes are those of `noteOf`, all equally long. */
export interface LoadTable {
  readonly name: string;
  readonly noteBytes: number;
}

/** What a session may do next in its transaction. */
export const stepKinds = ['insert', 'insertMany', 'readBack', 'fetch', 'writeLob', 'readLob'] as const;
export type StepKind = (typeof stepKinds)[number];

/** What is the same for all applications. */
export interface LoadShape {
  readonly rows: LoadTable;
  /** Its notes are CLOBs. */
  readonly lobs: LoadTable;
  /** Rows that were there before, for big fetches. */
  readonly filled: LoadTable & IdRange;
  /** A table with one row for each shard: every transaction changes one of them, and waits for the lock. */
  readonly counters: string;
  readonly shards: number;
  /** How often each kind of step is taken, relative to the others. */
  readonly mix: Readonly<Record<StepKind, number>>;
  /** Most steps of a transaction, between which it stays open. */
  readonly stepsMax: number;
  /** Most rows of one array. */
  readonly arrayRowsMax: number;
  /** Longest pause between two steps. */
  readonly pauseMsMax: number;
  /**
   * The first session of each application does nothing but small calls, so often, in one transaction from the first to the
   * last, and tells when they were answered. 0: it is like the others.
   */
  readonly pulseMs: number;
  readonly seed: number;
  /** Every session ends after the transaction in which this file appears. */
  readonly stopFile: string;
}

export interface LoadPlan extends LoadShape {
  /** Number of the first session; ids of different sessions do not meet. */
  readonly first: number;
  readonly sessions: number;
}

/** Which rows a transaction has inserted: ids without a gap, in either table. */
interface Inserted {
  readonly session: number;
  /** A session that was lost is followed by one with the same number and another life. */
  readonly life: number;
  readonly number: number;
  readonly firstId: number;
  readonly rows: number;
}

/** When it began and ended: milliseconds of the clock that all processes of a machine share. */
interface Timed {
  readonly beganMs: number;
  readonly endedMs: number;
}

/** One line of an application's output. */
export type LoadEvent =
  | { readonly kind: 'ready' }
  | ({
      readonly kind: 'transaction';
      readonly shard: number;
      /** False: rolled back, as planned. */
      readonly committed: boolean;
    } & Inserted &
      Timed)
  /** What was read is not what was written. */
  | { readonly kind: 'wrong'; readonly session: number; readonly what: string }
  /** The connection broke, in a transaction with these rows. `committing`: in its COMMIT, nobody can say whether it came in time. */
  | ({
      readonly kind: 'lost';
      readonly error: string;
      readonly committing: boolean;
      readonly shard: number;
      readonly atMs: number;
    } & Inserted)
  /** A step that took long: something may have come in between. */
  | ({ readonly kind: 'slow'; readonly session: number; readonly step: StepKind } & Timed)
  /** When small calls began and were answered. */
  | { readonly kind: 'pulse'; readonly session: number; readonly calls: readonly (readonly [number, number])[] }
  | { readonly kind: 'done'; readonly calls: number; readonly fetches: number; readonly lobs: number };

/** Milliseconds of the machine's monotonic clock. */
export function machineMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
