import { z } from 'zod';
import { assertNever } from '../../shim/program/errors.js';
import { moveConditions, wantedMovers } from '../record.js';
import type { Placements } from './placement.js';

const failure = z.object({ code: z.string(), message: z.string() });

/**
 * One workload of an evacuation. `waiting → moving → moved | put-back | lost | left`; put-back: it runs at the source as before;
 * lost: a session was, or nobody knows what became of it; left: its move never began (it had ended, or somebody else moves it).
 */
const evacuationMove = z.object({
  workload: z.string(),
  to: z.string(),
  memoryBytes: z.number(),
  sessions: z.number(),
  transactions: z.number(),
  waiters: z.number(),
  state: z.enum(['waiting', 'moving', 'moved', 'put-back', 'lost', 'left']),
  /** Name of the record that its move has left. */
  move: z.string().optional(),
  ms: z.number().optional(),
  blackoutMs: z.number().optional(),
  error: failure.optional(),
});

/** What is left of an evacuation, and what it goes on from. Times are milliseconds. */
export const evacuationRecord = z.object({
  node: z.string(),
  /** planned: only asked for; stopped: not all was tried, `stopped` says why; done: all was, which need not mean moved. */
  state: z.enum(['planned', 'running', 'stopped', 'done']),
  startedAt: z.string(),
  ms: z.number(),
  by: z.object({ user: z.string(), host: z.string() }),
  mover: z.enum(wantedMovers),
  allowUnknown: z.boolean(),
  conditions: moveConditions.optional(),
  concurrency: z.number(),
  targets: z.array(
    z.object({
      node: z.string(),
      memoryAvailableBytes: z.number(),
      workloads: z.number(),
      /** Why it takes none. */
      out: failure.optional(),
    }),
  ),
  moves: z.array(evacuationMove),
  unplaced: z.array(z.object({ workload: z.string(), code: z.string(), message: z.string() })),
  stopped: failure.optional(),
});

export type EvacuationRecord = z.infer<typeof evacuationRecord>;
export type EvacuationMove = z.infer<typeof evacuationMove>;

/** Sent while an evacuation runs: the whole plan when it begins, then each move as it begins and ends. */
export const evacuationEvent = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('plan'), evacuation: evacuationRecord }),
  z.object({ kind: z.literal('move'), move: evacuationMove }),
]);
export type EvacuationEvent = z.infer<typeof evacuationEvent>;

/** How the move of one workload ended. */
export type MoveEnd = Pick<EvacuationMove, 'move' | 'ms' | 'blackoutMs' | 'error'> & {
  readonly state: 'moved' | 'put-back' | 'lost' | 'left';
};

export type EvacuationStep =
  | { readonly kind: 'started' }
  | { readonly kind: 'begun'; readonly workload: string }
  | { readonly kind: 'ended'; readonly workload: string; readonly end: MoveEnd }
  /** The agent is being stopped, or somebody has asked for it. */
  | { readonly kind: 'interrupted'; readonly why: string }
  | { readonly kind: 'resumed'; readonly stays: (workload: string) => boolean };

/** So many moves in a row are put back before it is taken for a fault that the next ones would meet too. */
export const putBacksMax = 3;

/** Rows of a plan, before anything has begun. */
export function waitingMoves(
  { moves }: Placements,
  facts: ReadonlyMap<string, Pick<EvacuationMove, 'memoryBytes' | 'sessions' | 'transactions' | 'waiters'>>,
): EvacuationMove[] {
  return moves.flatMap(({ workload, to }) => {
    const found = facts.get(workload);
    if (found === undefined) return [];
    const { memoryBytes, sessions, transactions, waiters } = found;
    return [{ workload, to, memoryBytes, sessions, transactions, waiters, state: 'waiting' as const }];
  });
}

/**
 * The machine of an evacuation: `planned → running → stopped | done`, and by `resumed` back to `running`. At the first loss nothing more
 * begins; what is under way then goes on to its end.
 */
export function stepEvacuation(now: EvacuationRecord, step: EvacuationStep): EvacuationRecord {
  switch (step.kind) {
    case 'started':
      return settled({ ...now, state: 'running' });
    case 'begun':
      return change(now, step.workload, { state: 'moving' });
    case 'ended':
      return settled(stopAtLoss(change(now, step.workload, step.end), step));
    case 'interrupted':
      return settled({ ...now, stopped: now.stopped ?? { code: 'evacuation-interrupted', message: step.why } });
    case 'resumed': {
      const { stopped: _stopped, ...rest } = now;
      return settled({ ...rest, state: 'running', moves: now.moves.map((move) => taken(move, step.stays)) });
    }
    default:
      return assertNever(step);
  }
}

/** The workloads whose moves begin now, in the order of the plan. */
export function toBegin({ state, stopped, concurrency, moves }: EvacuationRecord): readonly EvacuationMove[] {
  if (state !== 'running' || stopped !== undefined) return [];
  const under = moves.filter((move) => move.state === 'moving').length;
  return moves.filter((move) => move.state === 'waiting').slice(0, Math.max(0, concurrency - under));
}

/** Workloads that are still at the node. */
export function leftBehind({ moves, unplaced }: EvacuationRecord): readonly string[] {
  return [...moves.filter(({ state }) => state !== 'moved'), ...unplaced].map(({ workload }) => workload);
}

function change(now: EvacuationRecord, workload: string, fields: Partial<EvacuationMove>): EvacuationRecord {
  return { ...now, moves: now.moves.map((move) => (move.workload === workload ? { ...move, ...fields } : move)) };
}

function stopAtLoss(now: EvacuationRecord, { workload, end }: EvacuationStep & { kind: 'ended' }): EvacuationRecord {
  if (now.stopped !== undefined) return now;
  if (end.state === 'lost') {
    const message = `${workload}: ${end.error?.message ?? 'its move was lost'}; look at it before you go on`;
    return { ...now, stopped: { code: 'evacuation-loss', message } };
  }
  const tried = now.moves.filter(({ state }) => state === 'moved' || state === 'put-back' || state === 'lost');
  const last = tried.slice(-putBacksMax);
  if (last.length < putBacksMax || last.some(({ state }) => state !== 'put-back')) return now;
  const message = `${putBacksMax} moves in a row were put back, the last one: ${end.error?.message ?? 'no reason'}`;
  return { ...now, stopped: { code: 'evacuation-put-backs', message } };
}

/** What was put back or cut off is tried again; what was lost is for people; what has gone meanwhile has moved. */
function taken(move: EvacuationMove, stays: (workload: string) => boolean): EvacuationMove {
  if (move.state === 'moved' || move.state === 'lost') return move;
  const { error: _error, ...rest } = move;
  return { ...rest, state: stays(move.workload) ? 'waiting' : 'moved' };
}

function settled(now: EvacuationRecord): EvacuationRecord {
  if (now.moves.some(({ state }) => state === 'moving')) return now;
  if (now.stopped !== undefined) return { ...now, state: 'stopped' };
  return now.moves.some(({ state }) => state === 'waiting') ? now : { ...now, state: 'done' };
}
