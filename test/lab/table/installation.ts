import { openWorld, type World } from '../../../fixtures/lab/world.js';
import { Witness } from '../../e2e/witness.js';
import { worldOptions } from '../../e2e/world-options.js';

/** Does something in an installation of its own. Rejects where it cannot be had: without root, or without CRIU. */
export async function inWorld<Result>(
  mover: World['mover'],
  work: (world: World, witness: Witness) => Promise<Result>,
): Promise<Result> {
  const options = await worldOptions(mover);
  if ('missing' in options) throw new Error(options.missing);
  const world = await openWorld(options);
  try {
    const witness = await Witness.open(world.postgresUrl);
    try {
      return await work(world, witness);
    } finally {
      await witness.close();
    }
  } finally {
    await world.close();
  }
}
