import type { Verdict } from '../../shim/link/index.js';
import { Random, seedOf } from '../../shim/program/random.js';
import { Actions } from './actions.js';
import { noRefusals } from './auditor.js';
import { checkStep } from './checks.js';
import { type Action, actions as allActions, Dice, drawFaults } from './faults.js';
import { settle } from './settle.js';
import { type Rule, Violation } from './violation.js';
import { World } from './world.js';

/** What happened in a run, or in many. */
export interface Counts {
  steps: number;
  binds: number;
  cuts: number;
  resumes: number;
  replayedBytes: number;
  deliveredBytes: number;
  /** Workers of the proxy that died, and sessions that could not be taken over: their worker had read what it had not put down. */
  workersDied: number;
  sessionsLost: number;
  /** Ranges whose hash both ends had, and the same. */
  ranges: number;
  refusals: Record<Verdict, number>;
  actions: Record<Action, number>;
}

export interface Failure {
  readonly rule: Rule;
  readonly message: string;
  readonly stack: string | undefined;
}

/** One run: faults, then none, then everything must be as it should. @returns what was violated, or undefined */
export function runOnce(
  seed: number,
  index: number,
  counts: Counts,
  trace?: (line: string) => void,
): Failure | undefined {
  const random = new Random(seedOf(seed, index));
  const faults = drawFaults(random);
  const world = new World(faults, random, trace);
  try {
    const actions = new Actions(world);
    const dice = new Dice(faults.weights);
    const check = (): void => checkStep(world);
    for (let step = 0; step < faults.steps; step += 1) {
      const action = dice.draw(random);
      world.say(`- ${action}`);
      actions.take(action);
      counts.actions[action] += 1;
      check();
      const pauseMs = random.chance(0.05) ? faults.pauseMs * 20 : random.below(faults.pauseMs + 1);
      world.timeline.runUntil(world.timeline.nowMs + pauseMs, check);
    }
    // What is under way may begin something more.
    while (actions.busyUntilMs > world.timeline.nowMs) world.timeline.runUntil(actions.busyUntilMs, check);
    settle(world, check);
  } catch (error) {
    return failureOf(error);
  } finally {
    add(counts, world);
  }
  return undefined;
}

export function noCounts(): Counts {
  return {
    steps: 0,
    binds: 0,
    cuts: 0,
    resumes: 0,
    replayedBytes: 0,
    deliveredBytes: 0,
    workersDied: 0,
    sessionsLost: 0,
    ranges: 0,
    refusals: noRefusals(),
    actions: Object.fromEntries(allActions.map((action) => [action, 0])) as Record<Action, number>,
  };
}

function add(counts: Counts, world: World): void {
  counts.steps += world.timeline.happened;
  counts.binds += world.auditor.binds;
  counts.cuts += world.counts.cuts;
  counts.workersDied += world.counts.workersDied;
  counts.sessionsLost += world.counts.sessionsLost;
  counts.ranges += world.counts.ranges;
  counts.resumes += world.auditor.resumes;
  for (const [verdict, count] of Object.entries(world.auditor.refusals)) counts.refusals[verdict as Verdict] += count;
  for (const app of world.apps) counts.replayedBytes += app.dialer.link.counters.replayedBytes;
  for (const workload of world.gate.registry.workloads) counts.replayedBytes += workload.counters.replayedBytes;
  for (const { database } of world.auditor.sessions.values()) counts.deliveredBytes += database.received;
}

function failureOf(error: unknown): Failure {
  if (error instanceof Violation) return { rule: error.rule, message: error.message, stack: undefined };
  if (error instanceof Error) return { rule: 'crash', message: error.message, stack: error.stack };
  throw error;
}
