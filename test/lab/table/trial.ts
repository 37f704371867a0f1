import { idsPerConnection } from '../../../fixtures/apps/rows.js';
import type { World } from '../../../fixtures/lab/world.js';
import type { MoveRecord } from '../../../migrate/record.js';
import type { Witness } from '../../e2e/witness.js';
import { judge, type Verdict } from '../../load/books.js';
import type { LoadEvent } from '../../load/plan.js';
import type { Application } from './applications.js';
import { type Line, noteBytes, Orders } from './orders.js';
import { blackoutOfMoves, type MoveRow } from './row.js';

/** An application from its start to its end, moved once, in the second of its three transactions, while orders come in. */
export async function moveUnderLoad(
  application: Application,
  world: World,
  witness: Witness,
  waitMs: number,
): Promise<MoveRow> {
  const orders = new Orders({ application, name: /^\w+/.exec(application.name)?.[0] ?? '', world, witness, waitMs });
  const records: MoveRecord[] = [];
  const violations: string[] = [];
  let verdict: Verdict | undefined;
  try {
    await orders.start();
    await orders.commit(1);
    await orders.comeIn();
    records.push(await move(application, orders, violations));
    await orders.comeIn();
    await orders.commit(2);
    await orders.comeIn();
    await orders.end();
    for (const { failed } of orders.lines()) if (failed !== undefined) violations.push(failed);
    const told = transactionsOf(orders.lines());
    const rows = told.reduce((sum, each) => sum + each.rows, 0);
    verdict = judge(told, await witness.everyId(orders.table, noteBytes), new Map([[0, rows]]));
    violations.push(...verdict.violations);
  } catch (error) {
    violations.push(error instanceof Error ? error.message : String(error));
    await world.holdfast('stop', orders.name);
  }
  return {
    ...{ application: application.name, mover: application.mover, moment: 'in a transaction, with load' },
    ...{ moves: records.length, blackoutMs: blackoutOfMoves(records, longestGap(orders.lines())) },
    ...{ lost: verdict?.lost, duplicated: verdict?.duplicated, rolledBack: verdict?.rolledBack },
    violations,
  };
}

async function move({ mover, lanes }: Application, orders: Orders, violations: string[]): Promise<MoveRecord> {
  const told = await orders.holdfast('move', orders.name, '--to', 'node-b', '--mover', mover, '--json');
  const record: MoveRecord = JSON.parse(told);
  const { outcome, sessions, error } = record;
  if (outcome !== 'moved') throw new Error(`the move is ${outcome}: ${error?.code} ${error?.message}`);
  const open = sessions.filter(({ transaction }) => transaction.before === 'open' && transaction.after === 'open');
  if (open.length !== lanes) violations.push(`${open.length} of ${lanes} transactions were open over the move`);
  return record;
}

/** A lane's transactions are the rows between its commits. */
function transactionsOf(lines: readonly Line[]): readonly (LoadEvent & { kind: 'transaction' })[] {
  const before = new Map<number, { rows: number; number: number }>();
  return lines.flatMap(({ lane, committed, time }) => {
    if (committed === undefined) return [];
    const { rows, number } = before.get(lane) ?? { rows: 0, number: 0 };
    before.set(lane, { rows: committed, number: number + 1 });
    return {
      ...({ kind: 'transaction', session: lane, life: 1, number: number + 1, shard: 0, committed: true } as const),
      ...{ firstId: lane * idsPerConnection + rows + 1, rows: committed - rows, beganMs: time, endedMs: time },
    };
  });
}

function longestGap(lines: readonly Line[]): number | undefined {
  const last = new Map<number, number>();
  const gaps = lines.map(({ lane, time }) => {
    const gap = time - (last.get(lane) ?? time);
    last.set(lane, time);
    return gap;
  });
  return gaps.length === 0 ? undefined : Math.max(...gaps);
}
