import t from 'tap';
import { openWorld, type World, type WorldOptions } from '../../fixtures/lab/world.js';
import { playScenario, type Scenario } from './scenarios/scenario.js';
import { Stage } from './stage.js';
import { Witness } from './witness.js';
import { worldOptions } from './world-options.js';

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
