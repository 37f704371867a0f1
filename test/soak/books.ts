import type { FoundId } from '../e2e/witness.js';
import type { WorkerEvent } from './worker.js';

type Transaction = Extract<WorkerEvent, { kind: 'transaction' }>;

export interface Verdict {
  /** Rows that were committed and are not there, with wrong content included. */
  readonly lost: number;
  /** Rows that are there more than once, or although they were rolled back. */
  readonly duplicated: number;
  /** Transactions, told as committed, that PostgreSQL has made of more than one of its own, or of which rows are missing. */
  readonly rolledBack: number;
  /** Changes of counters that are missing (or too many), over all shards. */
  readonly countersOff: number;
  /** What is wrong, the first few in words. */
  readonly violations: readonly string[];
}

const violationsMax = 20;

/**
 * Compares what the applications say they did with what PostgreSQL has.
 * @param counters the sum that each shard shows
 */
export function judge(
  told: readonly Transaction[],
  found: readonly FoundId[],
  counters: ReadonlyMap<number, number>,
): Verdict {
  const rows = new Map(found.map((row) => [row.id, row]));
  const violations: string[] = [];
  const say = (text: string): void => {
    if (violations.length < violationsMax) violations.push(text);
  };
  let [lost, duplicated, rolledBack] = [0, 0, 0];
  const wanted = new Map<number, number>();
  const processes = new Map<number, number>();
  for (const transaction of told) {
    const { session, number, firstId, committed, shard } = transaction;
    const name = `session ${session}, transaction ${number}`;
    let missing = 0;
    const makers = new Set<string>();
    for (let id = firstId; id < firstId + transaction.rows; id += 1) {
      const row = rows.get(id);
      rows.delete(id);
      if (committed && (row === undefined || row.wrong)) {
        missing += 1;
        say(`${name}: row ${id} ${row === undefined ? 'is missing' : 'has another content'}`);
      }
      if (row === undefined) continue;
      duplicated += committed ? row.copies - 1 : row.copies;
      if (!committed || row.copies > 1) say(`${name}: row ${id} is there ${row.copies} times, committed: ${committed}`);
      makers.add(`${row.transaction} of process ${row.process}`);
      const process = processes.get(session) ?? row.process;
      processes.set(session, process);
      if (process !== row.process) makers.add('another process than before');
    }
    lost += missing;
    if (makers.size > 1) say(`${name} was made by ${[...makers].join(', ')}`);
    if (missing > 0 || makers.size > 1) rolledBack += 1;
    if (committed) wanted.set(shard, (wanted.get(shard) ?? 0) + transaction.rows);
  }
  for (const { id, copies } of rows.values()) {
    duplicated += copies;
    say(`row ${id} is there, and nobody has told of it`);
  }
  let countersOff = 0;
  for (const shard of new Set([...wanted.keys(), ...counters.keys()])) {
    const off = Math.abs((wanted.get(shard) ?? 0) - (counters.get(shard) ?? 0));
    if (off > 0) say(`counter ${shard} is off by ${off}`);
    countersOff += off;
  }
  return { lost, duplicated, rolledBack, countersOff, violations };
}
