import { type Anomaly, checkPresence, countBy, type Findings } from './anomaly.js';
import { type Operation, ofKind } from './history.js';

export interface QueueContent {
  /** Every item that was ever put there, and whether it is marked as taken. */
  readonly items: readonly { readonly item: number; readonly taken: boolean }[];
  /** What takers have written down in the transaction in which they marked the item. */
  readonly takes: readonly { readonly op: number; readonly item: number }[];
}

/** A queue whose takers lock the row they take: every item is taken once at most, and none is lost. */
export function checkQueue(operations: readonly Operation[], { items, takes }: QueueContent): Findings {
  const puts = checkPresence(
    'put',
    ofKind(operations, 'put'),
    countBy(items, ({ item }) => item),
  );
  // A take that found nothing leaves nothing.
  const takers = ofKind(operations, 'take').filter(({ result }) => result.item !== null);
  const taken = checkPresence(
    'take',
    takers,
    countBy(takes, ({ op }) => op),
  );
  const settled = new Map([...puts.settled, ...taken.settled]);
  const anomalies: Anomaly[] = [...puts.anomalies, ...taken.anomalies];
  const told = new Map(takers.map(({ op, result }) => [op, result.item]));
  const takersOf = new Map<number, Set<number>>();
  const add = (item: number, op: number) => takersOf.set(item, (takersOf.get(item) ?? new Set()).add(op));
  for (const { op, item } of takes) {
    add(item, op);
    const other = told.get(op);
    if (other !== undefined && other !== null && other !== item)
      anomalies.push({ name: 'misreported-take', operations: [op], detail: `item ${item}, and ${other} was told` });
  }
  for (const { op, outcome, result } of takers)
    if (outcome === 'ok' && typeof result.item === 'number') add(result.item, op);
  for (const [item, ops] of takersOf) {
    if (ops.size > 1) anomalies.push({ name: 'double-consumption', operations: [...ops], detail: `item ${item}` });
  }
  const written = new Map(takes.map(({ item, op }) => [item, op]));
  for (const { item, taken } of items) {
    const op = written.get(item);
    if (taken === (op !== undefined)) continue;
    const detail = taken ? `item ${item} is marked, and no take has it` : `item ${item} waits, and this take has it`;
    anomalies.push({ name: 'torn-take', operations: op === undefined ? [] : [op], detail });
  }
  return { anomalies, settled };
}
