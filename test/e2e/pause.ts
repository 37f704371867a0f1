import type { World } from '../../fixtures/lab/world.js';

const pauses = new WeakMap<World, number>();

/** Stops the database's process, so that it neither reads nor answers; it goes on when the last pause has ended. */
export function pauseDatabase(world: World): { end(): void } {
  const { child } = world.database;
  const change = (by: 1 | -1): number => {
    const count = (pauses.get(world) ?? 0) + by;
    pauses.set(world, count);
    return count;
  };
  if (change(1) === 1) child.kill('SIGSTOP');
  return {
    end: () => {
      if (change(-1) === 0) child.kill('SIGCONT');
    },
  };
}
