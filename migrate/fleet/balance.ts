import { z } from 'zod';
import type { NodeLoad } from './messages.js';
import { antiAffinityLabel, compareText, memoryReserveShare } from './placement.js';

/** What is remembered from one look to the next. Wall clock. */
export const balanceState = z.object({
  /** Since when the load has been uneven; it is so until it falls below the lower mark. */
  unevenSinceMs: z.number().optional(),
  /** When the last move was made, and when each workload was moved last. */
  lastMoveMs: z.number().optional(),
  movedMs: z.record(z.string(), z.number()),
});
export type BalanceState = z.infer<typeof balanceState>;

export const neverBalanced: BalanceState = { movedMs: {} };

export interface BalanceOptions {
  /** Uneven when the most and the least loaded node are so far apart, 0 to 1 ... */
  readonly highShare: number;
  /** ... and even again below this. */
  readonly lowShare: number;
  /** It must have been uneven for so long. */
  readonly sustainMs: number;
  /** Between two rounds of moves, and two moves of one workload. */
  readonly coolDownMs: number;
  readonly movesMax: number;
}

export interface BalanceMove {
  readonly workload: string;
  readonly from: string;
  readonly to: string;
  readonly memoryBytes: number;
  readonly cpus: number;
}

export interface Balance {
  readonly state: BalanceState;
  /** act: the moves should be made now. */
  readonly verdict: 'even' | 'not-for-long' | 'cooling-down' | 'no-move-helps' | 'act';
  readonly spread: number;
  /** What would make it even, whatever the verdict. */
  readonly moves: readonly BalanceMove[];
}

/** A move must take at least so much from the more loaded of its two nodes. */
const gainMin = 0.01;

/** The scarcer of processor and memory. */
export function pressureOf({ cpuBusy, memory }: Pick<NodeLoad, 'cpuBusy' | 'memory'>): number {
  return Math.max(cpuBusy, 1 - memory.availableBytes / Math.max(1, memory.totalBytes));
}

export function spreadOf(nodes: readonly NodeLoad[]): number {
  const all = nodes.map(pressureOf);
  return all.length === 0 ? 0 : Math.max(...all) - Math.min(...all);
}

/** Two marks and two times: a load that swings around one mark, or is high for a moment, moves nothing. */
export function judgeBalance(
  state: BalanceState,
  nodes: readonly NodeLoad[],
  options: BalanceOptions,
  nowMs: number,
): Balance {
  const spread = spreadOf(nodes);
  const { unevenSinceMs: before, ...rest } = state;
  const mark = before === undefined ? options.highShare : options.lowShare;
  if (spread < mark) return { state: rest, verdict: 'even', spread, moves: [] };
  const unevenSinceMs = Math.min(before ?? nowMs, nowMs);
  const moves = proposeMoves(state, nodes, options, nowMs);
  const now = { ...state, unevenSinceMs };
  const isCool = state.lastMoveMs === undefined || nowMs - state.lastMoveMs >= options.coolDownMs;
  const verdict =
    nowMs - unevenSinceMs < options.sustainMs
      ? 'not-for-long'
      : !isCool
        ? 'cooling-down'
        : moves.length === 0
          ? 'no-move-helps'
          : 'act';
  return { state: now, verdict, spread, moves };
}

/** To be kept before each move: one that is cut off cools down too. */
export function noteMove(state: BalanceState, workload: string, nowMs: number): BalanceState {
  return { ...state, lastMoveMs: nowMs, movedMs: { ...state.movedMs, [workload]: nowMs } };
}

function proposeMoves(
  { movedMs }: BalanceState,
  nodes: readonly NodeLoad[],
  { lowShare, movesMax, coolDownMs }: BalanceOptions,
  nowMs: number,
): readonly BalanceMove[] {
  const rests = (workload: string) => nowMs - (movedMs[workload] ?? Number.NEGATIVE_INFINITY) < coolDownMs;
  const moves: BalanceMove[] = [];
  let now = nodes.filter(({ evacuating }) => !evacuating);
  while (moves.length < movesMax && spreadOf(now) >= lowShare) {
    const sorted = now.toSorted((a, b) => pressureOf(b) - pressureOf(a) || compareText(a.node, b.node));
    const [from, to] = [sorted[0], sorted.at(-1)];
    if (from === undefined || to === undefined) break;
    const best = bestMove(from, to, (name) => rests(name) || moves.some(({ workload }) => workload === name));
    if (best === undefined) break;
    moves.push(best.move);
    now = now.map((each) => (each === from ? best.from : each === to ? best.to : each));
  }
  return moves;
}

interface Tried {
  readonly move: BalanceMove;
  readonly from: NodeLoad;
  readonly to: NodeLoad;
}

/** The one that leaves the more loaded of the two nodes with least. */
function bestMove(from: NodeLoad, to: NodeLoad, isOut: (workload: string) => boolean): Tried | undefined {
  const groups = new Set(to.workloads.flatMap(({ labels }) => labels[antiAffinityLabel] ?? []));
  const tried = from.workloads.flatMap((workload): Tried[] => {
    const group = workload.labels[antiAffinityLabel];
    if (isOut(workload.name) || (group !== undefined && groups.has(group))) return [];
    const { name, memoryBytes, cpus } = workload;
    const changed = { from: shifted(from, workload, -1), to: shifted(to, workload, 1) };
    if (changed.to.memory.availableBytes < memoryReserveShare * to.memory.totalBytes) return [];
    return [{ move: { workload: name, from: from.node, to: to.node, memoryBytes, cpus }, ...changed }];
  });
  const worse = (each: Tried) => Math.max(pressureOf(each.from), pressureOf(each.to));
  const [best] = tried.toSorted((a, b) => worse(a) - worse(b) || compareText(a.move.workload, b.move.workload));
  return best !== undefined && worse(best) <= pressureOf(from) - gainMin ? best : undefined;
}

/** The node with a workload more, or less. */
function shifted(load: NodeLoad, workload: NodeLoad['workloads'][number], sign: 1 | -1): NodeLoad {
  const { memory } = load;
  const availableBytes = Math.min(memory.totalBytes, memory.availableBytes - sign * workload.memoryBytes);
  const others = load.workloads.filter(({ name }) => name !== workload.name);
  return {
    ...load,
    cpuBusy: Math.max(0, load.cpuBusy + (sign * workload.cpus) / Math.max(1, load.cpus)),
    memory: { ...memory, availableBytes },
    workloads: sign === 1 ? [...others, workload] : others,
  };
}
