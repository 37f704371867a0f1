import { type Anomaly, type AnomalyClass, anomalies, type Findings } from './anomaly.js';
import { type BankContent, checkBank } from './bank.js';
import { type BatchRow, checkBatch } from './batch.js';
import type { Operation } from './history.js';
import { checkLedger, type LedgerContent } from './ledger.js';
import { checkQueue, type QueueContent } from './queue.js';
import { checkRegisters, type RegisterContent } from './registers.js';

/** Everything that the workloads have left in the database, read when all of them have ended. */
export interface Content {
  readonly ledger: LedgerContent;
  readonly bank: BankContent;
  readonly batch: readonly BatchRow[];
  readonly queue: QueueContent;
  readonly registers: RegisterContent;
}

/** How the operations ended, and what became of those of which nobody knew. */
export interface Tally {
  readonly operations: number;
  /** Certainly in the database: `ok`, or found there. */
  readonly committed: number;
  /** Rolled back by the program on purpose. */
  readonly rolledBackOnPurpose: number;
  /** Broken off: the session ended, or the database refused, before or in the COMMIT, and nothing is there. */
  readonly rolledBack: number;
  /** Nobody was told how they ended; the database's content says. */
  readonly unknown: number;
  readonly unknownCommitted: number;
  /** Of those the database itself has said how they ended, when it was asked by their logical ids. */
  readonly unknownAsked: number;
}

export interface Verdict extends Tally {
  /** Whether history and database agree. Transactions that were broken off, and are not there, agree too. */
  readonly consistent: boolean;
  /** Operations, or holes, with an anomaly of this class. */
  readonly lost: number;
  readonly duplicated: number;
  readonly wrong: number;
  readonly anomalies: readonly Anomaly[];
  /** Errors that programs have seen, and how often. */
  readonly errors: Readonly<Record<string, number>>;
}

/** Compares a history with the database. Nothing else is asked: a program that saw no error proves nothing. */
export function judge(operations: readonly Operation[], content: Content): Verdict {
  const findings: readonly Findings[] = [
    checkLedger(operations, content.ledger),
    checkBank(operations, content.bank),
    checkBatch(operations, content.batch),
    checkQueue(operations, content.queue),
    checkRegisters(operations, content.registers),
  ];
  const found = findings.flatMap((each) => each.anomalies);
  return {
    consistent: found.length === 0,
    lost: countOf(found, 'lost'),
    duplicated: countOf(found, 'duplicated'),
    wrong: countOf(found, 'wrong'),
    ...tallyOf(operations, new Map(findings.flatMap(({ settled }) => [...settled]))),
    anomalies: found,
    errors: errorsOf(operations),
  };
}

function tallyOf(operations: readonly Operation[], settled: ReadonlyMap<number, boolean>): Tally {
  let [committed, rolledBackOnPurpose, rolledBack, unknown, unknownCommitted, unknownAsked] = [0, 0, 0, 0, 0, 0];
  for (const { op, outcome, intended, told } of operations) {
    const isThere = outcome === 'ok' || settled.get(op) === true;
    if (isThere) committed += 1;
    else if (intended) rolledBackOnPurpose += 1;
    else rolledBack += 1;
    if (outcome !== 'info') continue;
    unknown += 1;
    if (isThere) unknownCommitted += 1;
    if (told !== undefined) unknownAsked += 1;
  }
  const counts = { committed, rolledBackOnPurpose, rolledBack, unknown, unknownCommitted, unknownAsked };
  return { operations: operations.length, ...counts };
}

/** An operation that contradicts the database in more than one way is one. */
function countOf(found: readonly Anomaly[], wanted: AnomalyClass): number {
  const own = found.filter(({ name }) => anomalies[name].class === wanted);
  const operations = new Set(own.flatMap((anomaly) => anomaly.operations));
  return operations.size + own.filter((anomaly) => anomaly.operations.length === 0).length;
}

function errorsOf(operations: readonly Operation[]): Readonly<Record<string, number>> {
  const errors = new Map<string, number>();
  for (const { error, intended } of operations) {
    if (error === undefined || intended) continue;
    for (const code of codesIn(error)) errors.set(code, (errors.get(code) ?? 0) + 1);
  }
  return Object.fromEntries([...errors].sort(([, one], [, other]) => other - one));
}

/** A driver's own code, and the database's behind it where it tells. */
export function codesIn(error: string): readonly string[] {
  const codes = error.match(/\b(?:ORA|NJS|DPI|DPY|TNS)-\d+/g);
  return codes === null ? [error.slice(0, 60)] : [...new Set(codes)];
}
