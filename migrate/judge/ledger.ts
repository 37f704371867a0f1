import { type Anomaly, checkPresence, countBy, type Findings } from './anomaly.js';
import { type Operation, type OperationOf, ofKind } from './history.js';

export interface Entry {
  readonly ledger: number;
  readonly position: number;
  readonly op: number;
  /** Its text is not the one of its operation. */
  readonly wrong: boolean;
}

export interface LedgerContent {
  readonly entries: readonly Entry[];
  /** The last position that each ledger has given away. */
  readonly heads: ReadonlyMap<number, number>;
}

/** Append-only ledgers: every committed entry once, without holes, in an order that agrees with the clock. */
export function checkLedger(operations: readonly Operation[], { entries, heads }: LedgerContent): Findings {
  const appends = ofKind(operations, 'append');
  const { anomalies, settled } = checkPresence(
    'append',
    appends,
    countBy(entries, ({ op }) => op),
  );
  const byOp = new Map(appends.map((append) => [append.op, append]));
  for (const { op, position, ledger, wrong } of entries) {
    const told = byOp.get(op)?.result.position;
    const at = `position ${position} of ledger ${ledger}`;
    if (wrong) anomalies.push({ name: 'wrong-content', operations: [op], detail: at });
    if (told !== undefined && told !== position)
      anomalies.push({ name: 'misreported-append', operations: [op], detail: `${at}, and ${told} was told` });
  }
  for (const ledger of new Set([...heads.keys(), ...entries.map(({ ledger }) => ledger)])) {
    const own = entries.filter((entry) => entry.ledger === ledger).sort((one, other) => one.position - other.position);
    anomalies.push(...checkPositions(ledger, own, heads.get(ledger) ?? 0), ...checkOrder(own, byOp));
  }
  return { anomalies, settled };
}

function checkPositions(ledger: number, entries: readonly Entry[], head: number): readonly Anomaly[] {
  const anomalies: Anomaly[] = [];
  const say = (name: 'missing-position' | 'position-twice', position: number, operations: readonly number[]) =>
    anomalies.push({ name, operations, detail: `position ${position} of ledger ${ledger}` });
  let expected = 1;
  let before: Entry | undefined;
  for (const entry of entries) {
    if (entry.position === before?.position) say('position-twice', entry.position, [before.op, entry.op]);
    for (; expected < entry.position; expected += 1) say('missing-position', expected, []);
    expected = entry.position + 1;
    before = entry;
  }
  for (; expected <= head; expected += 1) say('missing-position', expected, []);
  return anomalies;
}

/** An entry whose COMMIT was answered before another was begun stands before it. */
function checkOrder(entries: readonly Entry[], byOp: ReadonlyMap<number, OperationOf<'append'>>): readonly Anomaly[] {
  const anomalies: Anomaly[] = [];
  let latest: OperationOf<'append'> | undefined;
  for (const { op, position, ledger } of entries) {
    const append = byOp.get(op);
    if (append === undefined) continue;
    if (latest !== undefined && append.endedMs < latest.beganMs) {
      const detail = `ledger ${ledger}: at position ${position} the second, which had ended before the first began`;
      anomalies.push({ name: 'out-of-order-append', operations: [latest.op, op], detail });
    }
    if (latest === undefined || append.beganMs > latest.beganMs) latest = append;
  }
  return anomalies;
}
