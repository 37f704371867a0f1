/** How long an application will wait, from what it weighs and from how long others waited. Pure. */
import type { MoveRecord, MoverName } from '../record.js';
import type { Blackout } from './finding.js';

/** Without any experience: dump, restore and bind of a small tree, and pages written and read once each. */
const fixedMs: Readonly<Record<string, number>> = { relink: 30 };
const fixedMsOtherwise = 350;
const bytesPerMs = 500_000;
/** With no move to learn from, the upper end is this many times what is expected. */
const doubt = 3;
/** Moves that are looked at: hosts and disks change. */
const recentMax = 20;

function guess(mover: MoverName, memoryBytes: number): number {
  const fixed = fixedMs[mover];
  return fixed ?? fixedMsOtherwise + memoryBytes / bytesPerMs;
}

/**
 * Past moves correct a guess by how far it was off for them: the one in the middle says what is expected, the worst what may
 * be. So one slow move of a big application does not scare away a small one, and a slow disk is learned at once.
 * @param records of whatever moves, oldest first
 */
export function predictBlackout(mover: MoverName, memoryBytes: number, records: readonly MoveRecord[]): Blackout {
  const known = records.filter(
    (record) => record.mover === mover && record.outcome === 'moved' && record.memoryBytes !== undefined,
  );
  const ratios = known
    .slice(-recentMax)
    .map((record) => record.blackoutMs.total / guess(mover, record.memoryBytes ?? 0))
    .toSorted((one, other) => one - other);
  const base = guess(mover, memoryBytes);
  const middle = ratios[Math.floor(ratios.length / 2)] ?? 1;
  const worst = ratios.at(-1) ?? doubt;
  return {
    expectedMs: Math.round(base * middle),
    upperMs: Math.round(base * Math.max(worst, middle)),
    memoryBytes,
    moves: ratios.length,
  };
}
