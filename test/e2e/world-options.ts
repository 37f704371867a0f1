import { findCriu } from '../../fixtures/lab/criu.js';
import type { World, WorldOptions } from '../../fixtures/lab/world.js';

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
