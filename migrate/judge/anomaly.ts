import type { Operation } from './history.js';

/**
 * Every way in which history and database can contradict each other, and what it means. These names are all that a report says of
 * its kind, and stand in docs/failure-injection.md.
 */
export const anomalies = {
  'lost-append': { class: 'lost', means: 'the COMMIT was answered, and the entry is not there' },
  'lost-transfer': { class: 'lost', means: 'the COMMIT was answered, and the transfer is not there' },
  'lost-batch': { class: 'lost', means: 'the COMMIT was answered, and none of its rows is there' },
  'lost-put': { class: 'lost', means: 'the COMMIT was answered, and the item is neither waiting nor taken' },
  'lost-take': { class: 'lost', means: 'the COMMIT was answered, and nothing was taken' },
  'lost-write': { class: 'lost', means: 'the COMMIT was answered, and the register has an older value' },
  'missing-position': { class: 'lost', means: 'a ledger has a hole: the head has counted an entry that is not there' },
  'torn-batch': { class: 'lost', means: 'some of the rows of a transaction are there, others are not' },
  'torn-take': { class: 'lost', means: 'an item is marked as taken and no take has it, or the other way round' },
  'duplicate-append': { class: 'duplicated', means: 'one transaction has left more than one entry' },
  'duplicate-transfer': { class: 'duplicated', means: 'one transfer is there more than once' },
  'duplicate-batch': { class: 'duplicated', means: 'a row of a transaction is there more than once' },
  'duplicate-put': { class: 'duplicated', means: 'an item is there more than once' },
  'duplicate-take': { class: 'duplicated', means: 'one take has taken more than one item' },
  'duplicate-write': { class: 'duplicated', means: 'one write was done more than once' },
  'double-consumption': { class: 'duplicated', means: 'two takes have the same item' },
  'position-twice': { class: 'duplicated', means: 'two entries have the same position in a ledger' },
  'phantom-append': { class: 'duplicated', means: 'the transaction was not committed, and its entry is there' },
  'phantom-transfer': { class: 'duplicated', means: 'the transaction was not committed, and its transfer is there' },
  'phantom-batch': { class: 'duplicated', means: 'the transaction was not committed, and rows of it are there' },
  'phantom-put': { class: 'duplicated', means: 'the transaction was not committed, and its item is there' },
  'phantom-take': { class: 'duplicated', means: 'the transaction was not committed, and its item is gone' },
  'phantom-write': { class: 'duplicated', means: 'the transaction was not committed, and its value is there' },
  'unknown-append': { class: 'duplicated', means: 'there is an entry of an operation that nobody has invoked' },
  'unknown-transfer': { class: 'duplicated', means: 'there is a transfer that nobody has invoked' },
  'unknown-batch': { class: 'duplicated', means: 'there are rows of an operation that nobody has invoked' },
  'unknown-put': { class: 'duplicated', means: 'there is an item that nobody has put there' },
  'unknown-take': { class: 'duplicated', means: 'there is a take that nobody has invoked' },
  'unknown-write': { class: 'duplicated', means: 'there is a write that nobody has invoked' },
  'out-of-order-append': { class: 'wrong', means: 'an entry stands before one that was committed before it began' },
  'misreported-append': { class: 'wrong', means: 'the program was told another position than the entry has' },
  'misreported-take': { class: 'wrong', means: 'the program was told another item than the one it has taken' },
  'misreported-outcome': {
    class: 'wrong',
    means: 'asked by its logical id, the database said of the transaction what is not so',
  },
  'wrong-content': { class: 'wrong', means: 'what is there is not what was written' },
  'sum-changed': { class: 'wrong', means: 'a query saw money made or gone: part of a transfer' },
  'balance-off': { class: 'wrong', means: 'an account has not what its transfers add up to: half of one was done' },
  'own-rows-missing': { class: 'wrong', means: 'a transaction did not see what it had written itself' },
  'stale-read': { class: 'wrong', means: 'a session read an older value than the one it had committed' },
  'aborted-read': { class: 'wrong', means: 'a session read a value that was never committed' },
  'unknown-read': { class: 'wrong', means: 'a session read a value that nobody has written' },
} as const satisfies Readonly<Record<string, { readonly class: AnomalyClass; readonly means: string }>>;

/** lost: what was promised is not there. duplicated: more is there than was done. wrong: what was read or is there is another. */
export type AnomalyClass = 'lost' | 'duplicated' | 'wrong';
export type AnomalyName = keyof typeof anomalies;

export interface Anomaly {
  readonly name: AnomalyName;
  /** Which operations contradict the database, or each other; none when the database alone is wrong. */
  readonly operations: readonly number[];
  /** What is there and what should be, in words. */
  readonly detail: string;
}

/** What the checker of one workload has found. */
export interface Findings {
  readonly anomalies: readonly Anomaly[];
  /** Of each operation that has ended `info`: whether its effect is there. */
  readonly settled: ReadonlyMap<number, boolean>;
}

/** The kinds of effects that are counted, by what they are called. */
type Effect = 'append' | 'transfer' | 'batch' | 'put' | 'take' | 'write';

/**
 * Compares which operations have left something with what is known of their end.
 * @param left how often the effect of each operation is there
 */
export function checkPresence(
  effect: Effect,
  operations: readonly Operation[],
  left: ReadonlyMap<number, number>,
): { readonly anomalies: Anomaly[]; readonly settled: Map<number, boolean> } {
  const anomalies: Anomaly[] = [];
  const settled = new Map<number, boolean>();
  const known = new Set<number>();
  for (const { op, outcome, intended, told } of operations) {
    known.add(op);
    const count = left.get(op) ?? 0;
    const say = (name: AnomalyName, detail: string) => anomalies.push({ name, operations: [op], detail });
    if (outcome === 'ok' && count === 0) say(`lost-${effect}`, 'committed, and not there');
    if (outcome === 'fail' && count > 0)
      say(`phantom-${effect}`, `${intended ? 'rolled back' : 'broken off'}, and there`);
    if (outcome !== 'fail' && count > 1) say(`duplicate-${effect}`, `there ${count} times`);
    if (outcome !== 'info') continue;
    settled.set(op, count > 0);
    if (told !== undefined && told !== count > 0)
      say('misreported-outcome', `said to be ${told ? '' : 'not '}committed, and ${count > 0 ? '' : 'not '}there`);
  }
  for (const [op, count] of left) {
    if (known.has(op)) continue;
    anomalies.push({ name: `unknown-${effect}`, operations: [op], detail: `there ${count} times, and never invoked` });
  }
  return { anomalies, settled };
}

export function countBy<Item>(items: readonly Item[], key: (item: Item) => number): Map<number, number> {
  const counts = new Map<number, number>();
  for (const item of items) counts.set(key(item), (counts.get(key(item)) ?? 0) + 1);
  return counts;
}
