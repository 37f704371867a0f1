/**
 * Draws what a rehearsal does to an installation: a scenario like any other, whose steps can be left out one by one. Nothing in it
 * may end a session: whatever a link, a process or a move can suffer, Holdfast promises to survive.
 */
import type { FaultRuleInput } from '../../proxy/inject/contract.js';
import { Random } from '../../shim/program/random.js';
import { type Deed, type Scenario, scenario } from '../scenario/schema.js';

export interface ScheduleOptions {
  readonly seed: number;
  readonly durationMs: number;
  readonly applications: number;
  readonly sessions: number;
  readonly pauseMsMax: number;
  /** A relay is there for faults of transport. */
  readonly hasRelay: boolean;
}

type Toxic = Extract<FaultRuleInput, { kind: 'transport' }>['toxic'];

const stepMsMin = 350;
const stepMsMax = 900;
const deedChance = 0.3;
/** Another worker needs about a second before it serves. */
const slowDeedChance = 0.12;

export function drawSchedule({ seed, durationMs, hasRelay, ...load }: ScheduleOptions): Scenario {
  const random = new Random(seed);
  const steps: object[] = [];
  for (let leftMs = durationMs, number = 1; leftMs > 0; number += 1) {
    const afterMs = random.between(stepMsMin, stepMsMax);
    leftMs -= afterMs;
    const id = `f${number}`;
    const rule = hasRelay && random.chance(0.4) ? drawTransport(random, id) : drawRule(random, id);
    const deeds = random.chance(deedChance) ? [drawDeed(random, load.applications)] : [];
    steps.push({ faults: [rule], do: deeds, until: { afterMs }, remove: [id] });
  }
  const about = `Faults and moves, drawn with seed ${seed}.`;
  return scenario.parse({
    about,
    seed,
    load,
    steps,
    expect: { rolledBack: 'none', refused: 'none', deeds: 'may-fail' },
  });
}

const points = [
  'before-request',
  'in-request',
  'after-request',
  'before-response',
  'in-response',
  'after-response',
] as const;
const calls = ['commit', 'commit', 'execute', 'execute', 'rollback', 'any'] as const;

function drawRule(random: Random, id: string): FaultRuleInput {
  const at = random.pick(points);
  const inside = at === 'in-request' || at === 'in-response' ? { fraction: random.between(1, 9) / 10 } : {};
  const when = { call: random.pick(calls), at, ...inside };
  const common = {
    id,
    kind: 'call',
    when,
    seed: random.below(0xffff_ffff),
    times: { total: random.between(1, 3) },
  } as const;
  const kind = random.pick(['cut', 'cut', 'cut', 'delay', 'stall'] as const);
  if (kind === 'cut') return { ...common, action: { kind, leg: 'link' } };
  if (kind === 'delay') return { ...common, action: { kind, ms: random.between(5, 120), jitterMs: 40 } };
  const direction = random.pick(['to-database', 'to-driver', 'both'] as const);
  return { ...common, action: { kind, direction, forMs: random.between(50, 400) } };
}

/** What ends connections is for the link alone: a driver or a database that is cut off is told so, and that is right. */
function drawTransport(random: Random, id: string): FaultRuleInput {
  const leg = random.pick(['link', 'link', 'link', 'database'] as const);
  const gentle: readonly [Toxic, ...Toxic[]] = [
    { type: 'latency', attributes: { latency: random.between(1, 40), jitter: random.between(0, 20) } },
    { type: 'bandwidth', attributes: { rate: random.between(40, 400) } },
    { type: 'slicer', attributes: { average_size: random.between(8, 80), size_variation: 7, delay: 20 } },
    { type: 'stall', attributes: {} },
  ];
  const harsh: readonly [Toxic, ...Toxic[]] = [
    { type: 'reset_peer', attributes: { timeout: random.between(0, 100) } },
    { type: 'limit_data', attributes: { bytes: random.between(500, 20_000) } },
    { type: 'timeout', attributes: { timeout: random.between(10, 200) } },
    { type: 'down', attributes: {} },
    { type: 'flap', attributes: { up: random.between(50, 300), down: random.between(20, 150) } },
    { type: 'slow_close', attributes: { delay: random.between(10, 300) } },
  ];
  const toxic = leg === 'link' && random.chance(0.7) ? random.pick(harsh) : random.pick(gentle);
  const direction = random.pick(['to-database', 'to-driver'] as const);
  return { id, kind: 'transport', leg, direction, toxic, seed: random.below(0xffff_ffff) };
}

function drawDeed(random: Random, applications: number): Deed {
  const application = random.between(1, applications);
  if (random.chance(slowDeedChance)) return { kind: 'upgrade' };
  const kind = random.pick(['move', 'move', 'detach', 'freeze', 'freeze', 'two-moves'] as const);
  if (kind === 'detach') return { kind, application, forMs: random.between(20, 600) };
  if (kind !== 'freeze') return { kind, application };
  const what = random.pick(['proxy', 'shim', 'application', 'agent'] as const);
  return { kind, what, application, forMs: random.between(50, 500) };
}
