/** How long an application will wait, from what it weighs and from how long others waited. Pure. */
import type { Mover } from '../movers/mover.js';
import type { MoveRecord } from '../record.js';
import type { Blackout } from './finding.js';

/** With no move to learn from, the upper end is this many times what is expected. */
const doubt = 3;
/** Moves that are looked at: hosts and disks change. */
const recentMax = 20;

/** What of a mover a prediction needs. */
type Predictable = Pick<Mover, 'name' | 'guess'>;

function guessMs({ guess }: Predictable, memoryBytes: number): number {
  return guess.fixedMs + memoryBytes / guess.bytesPerMs;
}

/**
 * Past moves correct a guess by how far it was off for them: the one in the middle says what is expected, the worst what may
 * be. So one slow move of a big application does not scare away a small one, and a slow disk is learned at once.
 * @param records of whatever moves, oldest first
 */
export function predictBlackout(mover: Predictable, memoryBytes: number, records: readonly MoveRecord[]): Blackout {
  const known = records.filter(
    (record) => record.mover === mover.name && record.outcome === 'moved' && record.memoryBytes !== undefined,
  );
  const ratios = known
    .slice(-recentMax)
    .map((record) => record.blackoutMs.total / guessMs(mover, record.memoryBytes ?? 0))
    .toSorted((one, other) => one - other);
  const base = guessMs(mover, memoryBytes);
  const middle = ratios[Math.floor(ratios.length / 2)] ?? 1;
  const worst = ratios.at(-1) ?? doubt;
  return {
    expectedMs: Math.round(base * middle),
    upperMs: Math.round(base * Math.max(worst, middle)),
    memoryBytes,
    moves: ratios.length,
  };
}
