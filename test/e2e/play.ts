import t from 'tap';
import { findCriu } from '../../fixtures/lab/criu.js';
import { openWorld, type World, type WorldOptions } from '../../fixtures/lab/world.js';
import { playScenario, type Scenario } from './scenarios/scenario.js';
import { Stage } from './stage.js';
import { Witness } from './witness.js';

/** Longest wait for any one thing; a healthy machine needs a small part of it. */
const waitMs = 60_000;
/** For a whole file: its tests share one installation. */
export const fileMsMax = 300_000;

/** An installation with a witness, closed at the end of the file. */
export async function openStage(options: WorldOptions): Promise<{ world: World; witness: Witness }> {
  t.setTimeout(fileMsMax);
  const world = await openWorld(options);
  t.teardown(() => world.close());
  const witness = await Witness.open(world.postgresUrl);
  t.teardown(() => witness.close());
  return { world, witness };
}

/** Plays scenarios one after the other; each is a test. */
export async function playAll(mover: World['mover'], scenarios: readonly Scenario[]): Promise<void> {
  const options = await worldOptions(mover);
  if ('missing' in options) {
    t.pass(`moves with CRIU`, { skip: options.missing });
    return;
  }
  const { world, witness } = await openStage(options);
  for (const scenario of scenarios) {
    await t.test(`${mover}: ${scenario.rule}`, async (t) => {
      const stage = new Stage({ world, witness, name: scenario.name, waitMs });
      t.strictSame(await playScenario(scenario, stage), []);
    });
  }
}

/**
 * The one place that decides what a machine without root or CRIU does about it: it leaves these tests out and says why,
 * unless HOLDFAST_TEST_REQUIRE_CRIU=1 makes that a failure.
 */
export async function worldOptions(mover: World['mover']): Promise<WorldOptions | { readonly missing: string }> {
  if (mover === 'relink') return { mover };
  const criu = await findCriu();
  if (criu.kind === 'found') return { mover, criu: { 'node-a': criu.path, 'node-b': criu.path } };
  if (process.env.HOLDFAST_TEST_REQUIRE_CRIU === '1') throw new Error(criu.reason);
  return { missing: criu.reason };
}
