import { type Anomaly, checkPresence, type Findings } from './anomaly.js';
import { type Operation, ofKind } from './history.js';

export interface BatchRow {
  readonly op: number;
  /** 1 to the rows of its batch. */
  readonly row: number;
  /** Its text is not the one it must have. */
  readonly wrong: boolean;
}

/** Long transactions: of each all rows are there or none, and it saw them while they were its own. */
export function checkBatch(operations: readonly Operation[], rows: readonly BatchRow[]): Findings {
  const batches = ofKind(operations, 'batch');
  const byOp = new Map<number, Map<number, number>>();
  const anomalies: Anomaly[] = [];
  for (const { op, row, wrong } of rows) {
    const own = byOp.get(op) ?? new Map<number, number>();
    own.set(row, (own.get(row) ?? 0) + 1);
    byOp.set(op, own);
    if (wrong) anomalies.push({ name: 'wrong-content', operations: [op], detail: `row ${row} of its batch` });
  }
  const copies = new Map([...byOp].map(([op, own]) => [op, Math.max(...own.values())]));
  const presence = checkPresence('batch', batches, copies);
  for (const { op, action, outcome, result } of batches) {
    const there = byOp.get(op)?.size ?? 0;
    const of = `of ${action.rows} rows`;
    if (outcome !== 'fail' && there > 0 && there !== action.rows)
      anomalies.push({ name: 'torn-batch', operations: [op], detail: `${there} ${of} are there` });
    if (result.seen !== undefined && result.seen !== action.rows)
      anomalies.push({ name: 'own-rows-missing', operations: [op], detail: `${result.seen} ${of} were seen` });
  }
  return { anomalies: [...presence.anomalies, ...anomalies], settled: presence.settled };
}
