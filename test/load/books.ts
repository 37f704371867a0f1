import type { FoundId } from '../e2e/witness.js';
import type { LoadEvent } from './plan.js';
import type { Told } from './reports.js';

export interface Verdict {
  /** Rows that were committed and are not there, with wrong content included. */
  readonly lost: number;
  /** Rows that are there more than once, or although they were rolled back. */
  readonly duplicated: number;
  /** Transactions, told as committed, that PostgreSQL has made of more than one of its own, or of which rows are missing. */
  readonly rolledBack: number;
  /** Changes of counters that are missing (or too many), over all shards. */
  readonly countersOff: number;
  /** COMMITs in which a session was lost: all of the transaction is there, or nothing. */
  readonly inDoubt: number;
  /** What is wrong, the first few in words. */
  readonly violations: readonly string[];
}

type Transaction = Told<'transaction'> | Told<'lost'>;

const violationsMax = 20;

/**
 * Compares what the applications say they did with what PostgreSQL has.
 * @param counters the sum that each shard shows
 */
export function judge(
  told: readonly LoadEvent[],
  found: readonly FoundId[],
  counters: ReadonlyMap<number, number>,
): Verdict {
  const books = new Books(found);
  for (const event of told) if (event.kind === 'transaction' || event.kind === 'lost') books.enter(event);
  return books.close(counters);
}

class Books {
  readonly #rows: Map<number, FoundId>;
  readonly #violations: string[] = [];
  /** What each shard must show. */
  readonly #wanted = new Map<number, number>();
  /** The process of PostgreSQL behind each life of a session. */
  readonly #processes = new Map<string, number>();
  #lost = 0;
  #duplicated = 0;
  #rolledBack = 0;
  #inDoubt = 0;

  constructor(found: readonly FoundId[]) {
    this.#rows = new Map(found.map((row) => [row.id, row]));
  }

  enter(transaction: Transaction): void {
    const { session, life, number, firstId, rows, shard } = transaction;
    const name = `session ${session}, transaction ${number}${life > 1 ? ` of life ${life}` : ''}`;
    const ids = Array.from({ length: rows }, (_, index) => firstId + index);
    const outcome = this.#outcome(transaction, ids);
    const isThere = outcome === 'committed';
    let missing = 0;
    const makers = new Set<string>();
    for (const id of ids) {
      const row = this.#rows.get(id);
      this.#rows.delete(id);
      if (isThere && (row === undefined || row.wrong)) {
        missing += 1;
        this.#say(`${name}: row ${id} ${row === undefined ? 'is missing' : 'has another content'}`);
      }
      if (row === undefined) continue;
      this.#duplicated += isThere ? row.copies - 1 : row.copies;
      if (!isThere || row.copies > 1) this.#say(`${name}: row ${id} is there ${row.copies} times, ${outcome}`);
      makers.add(`${row.transaction} of process ${row.process}`);
      if (!this.#isSameProcess(row, `${session}/${life}`)) makers.add('another process than before');
    }
    this.#lost += missing;
    if (makers.size > 1) this.#say(`${name} was made by ${[...makers].join(', ')}`);
    if (missing > 0 || makers.size > 1) this.#rolledBack += 1;
    if (isThere) this.#wanted.set(shard, (this.#wanted.get(shard) ?? 0) + rows);
  }

  close(counters: ReadonlyMap<number, number>): Verdict {
    for (const { id, copies } of this.#rows.values()) {
      this.#duplicated += copies;
      this.#say(`row ${id} is there, and nobody has told of it`);
    }
    let countersOff = 0;
    for (const shard of new Set([...this.#wanted.keys(), ...counters.keys()])) {
      const off = Math.abs((this.#wanted.get(shard) ?? 0) - (counters.get(shard) ?? 0));
      if (off > 0) this.#say(`counter ${shard} is off by ${off}`);
      countersOff += off;
    }
    return {
      lost: this.#lost,
      duplicated: this.#duplicated,
      rolledBack: this.#rolledBack,
      countersOff,
      inDoubt: this.#inDoubt,
      violations: this.#violations,
    };
  }

  /** A COMMIT that nobody has answered is taken for good when there is any row: then all must be there. */
  #outcome(transaction: Transaction, ids: readonly number[]): 'committed' | 'undone' {
    if (transaction.kind === 'transaction') return transaction.committed ? 'committed' : 'undone';
    if (!transaction.committing) return 'undone';
    this.#inDoubt += 1;
    return ids.some((id) => this.#rows.has(id)) ? 'committed' : 'undone';
  }

  #isSameProcess({ process }: FoundId, life: string): boolean {
    const first = this.#processes.get(life) ?? process;
    this.#processes.set(life, first);
    return process === first;
  }

  #say(text: string): void {
    if (this.#violations.length < violationsMax) this.#violations.push(text);
  }
}
