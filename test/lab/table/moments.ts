import type { World } from '../../../fixtures/lab/world.js';
import { backAndForth } from '../../e2e/scenarios/back-and-forth.js';
import { between } from '../../e2e/scenarios/between.js';
import { bulk } from '../../e2e/scenarios/bulk.js';
import { call } from '../../e2e/scenarios/call.js';
import { fetch } from '../../e2e/scenarios/fetch.js';
import { lock } from '../../e2e/scenarios/lock.js';
import { pool } from '../../e2e/scenarios/pool.js';
import { playScenario, type Scenario } from '../../e2e/scenarios/scenario.js';
import { transaction } from '../../e2e/scenarios/transaction.js';
import { Stage } from '../../e2e/stage.js';
import { inWorld } from './installation.js';
import { blackoutOfMoves, type MoveRow } from './row.js';

const scenarios: readonly Scenario[] = [between, transaction, call, fetch, bulk, lock, pool, backAndForth];
/** In these the database stands still at times, or the application looks for itself how long it waits. */
const withoutPulse: ReadonlySet<Scenario> = new Set([bulk, fetch]);

export type Say = (text: string) => void;

/** The scenarios of test/e2e, as rows. */
export function momentRows(mover: World['mover'], waitMs: number, say: Say): Promise<readonly MoveRow[]> {
  return inWorld(mover, async (world, witness) => {
    const rows: MoveRow[] = [];
    for (const scenario of scenarios) {
      say(`node-oracledb ${scenario.moment}, ${mover}`);
      const pulse = !withoutPulse.has(scenario);
      const stage = new Stage({ world, witness, name: scenario.name, waitMs, pulse });
      const violations = await playScenario(scenario, stage);
      const { records, books, rolledBack } = stage;
      rows.push({
        ...{ application: 'node-oracledb', mover, moment: scenario.moment, moves: records.length },
        blackoutMs: blackoutOfMoves(records, stage.waitedMs),
        ...{ lost: books?.lost, duplicated: books?.duplicated },
        rolledBack: books === undefined ? undefined : rolledBack,
        violations,
      });
    }
    return rows;
  });
}
