import { setTimeout } from 'node:timers/promises';
import type { FaultRule } from '../../proxy/inject/contract.js';
import { parseAddress } from '../../shim/program/address.js';
import { errorText } from '../../shim/program/errors.js';
import { seedOf } from '../../shim/program/random.js';
import { codesIn, judge, type Verdict } from '../judge/judge.js';
import type { FaultCount, RunReport } from '../report/model.js';
import type { Scenario, Step, Until } from '../scenario/schema.js';
import type { AuditLine } from './audit-file.js';
import { type Field, holdfastField } from './field.js';
import type { Ground } from './ground.js';
import { Injector } from './injector.js';
import { Load, type LoadShape } from './load.js';
import { machineMs } from './plan.js';
import { createTables, dropTables, readContent } from './tables.js';
import { timelineOf } from './timeline.js';

export interface PlayOptions {
  readonly ground: Ground;
  /** Through Holdfast, unless another one is named. */
  readonly field?: Field;
  readonly scenario: Scenario;
  readonly name: string;
  /** Tables and workloads are named by it; no other run at the same time has it. */
  readonly prefix: string;
  /** No step is begun after so long. */
  readonly forMs?: number;
  /** Something to tell people while it runs. */
  readonly say: (text: string) => void;
}

/** For the last transactions, once the faults have ended. */
const endMsMax = 90_000;
const pollMs = 30;
/** What a scenario without a load of its own is played with. */
const loadDefault = {
  applications: 1,
  sessions: 5,
  kinds: ['ledger', 'bank', 'batch', 'queue', 'registers'],
  transactions: 0,
  pauseMsMax: 5,
} as const;

/** Plays one scenario to its end, and judges it. What is not as it should be is in the report, not thrown. */
export async function play(options: PlayOptions): Promise<RunReport> {
  const { ground } = options;
  const own = await ground.connect();
  const tables = { prefix: options.prefix };
  try {
    const load = options.scenario.load ?? loadDefault;
    await dropTables(own, tables);
    await createTables(own, tables, load.sessions);
    const run = new Run(options, { ...load, prefix: options.prefix, seed: options.scenario.seed });
    try {
      await run.go();
    } finally {
      await run.end();
    }
    return run.report(judge(run.load.operations(), await readContent(own, tables)));
  } finally {
    await dropTables(own, tables);
    await own.close();
  }
}

class Run {
  readonly #options: PlayOptions;
  readonly #shape: LoadShape;
  readonly #field: Field;
  readonly #injector: Injector;
  readonly #failures: string[] = [];
  readonly #fromMs = machineMs();
  #toMs = 0;
  #refusedBefore: readonly string[] = [];
  #load: Load | undefined;
  #deeds: ReturnType<Field['deeds']> | undefined;

  constructor(options: PlayOptions, shape: LoadShape) {
    this.#options = options;
    this.#shape = shape;
    this.#field = options.field ?? holdfastField(options.ground, keepsImages(options.scenario));
    this.#injector = new Injector(this.#field.injects, this.#field.relay);
  }

  get load(): Load {
    if (this.#load === undefined) throw new Error('there is no load yet');
    return this.#load;
  }

  async go(): Promise<void> {
    const { ground, scenario, say, forMs = Number.POSITIVE_INFINITY } = this.#options;
    this.#load = await Load.start(this.#shape, ground.world.directory, this.#field.launch);
    this.#deeds = this.#field.deeds(this.#load.names);
    this.#refusedBefore = this.#field.refusals(this.#load.names);
    const untilMs = performance.now() + forMs;
    for (const [index, step] of scenario.steps.entries()) {
      if (performance.now() > untilMs) return;
      const name = step.name ?? `step ${index + 1}`;
      try {
        await this.#take(step, name);
      } catch (error) {
        this.#failures.push(`${name}: ${errorText(error)}`);
        return;
      }
      say(`${name}: ${this.#acts().length} faults so far, ${this.load.committed()} transactions`);
    }
  }

  /** Faults end, then applications, so that the last transactions can. */
  async end(): Promise<void> {
    await this.#injector.close().catch((error: unknown) => this.#failures.push(`faults: ${errorText(error)}`));
    const load = this.#load;
    if (load === undefined) return;
    const isBounded = this.#shape.transactions > 0;
    const ending = isBounded && this.#failures.length === 0 ? load.finish(endMsMax) : load.stop(endMsMax);
    await ending.catch((error: unknown) => this.#failures.push(errorText(error)));
    this.#toMs = machineMs();
    for (const name of load.names) await this.#field.stop(name);
  }

  report(verdict: Verdict): RunReport {
    const { scenario, name } = this.#options;
    const deeds = this.#deeds?.done ?? [];
    const lines = this.#lines();
    const faults = countKinds([
      ...this.#acts().map(kindOfAct),
      ...deeds.filter(({ acted }) => acted).map(({ kind }) => kind),
    ]);
    const failures = [...this.#failures, ...this.#unmet(verdict)];
    for (const { kind, detail, acted } of scenario.expect.deeds === 'act' ? deeds : [])
      if (!acted) failures.push(`${kind} has had no effect: ${detail}`);
    const events = this.load.eventsByName();
    const faultsActed = faults.reduce((sum, { acts }) => sum + acts, 0);
    if (faultsActed === 0) failures.push('no fault has acted, so nothing was shown');
    return {
      name,
      about: scenario.about,
      seed: scenario.seed,
      passed: failures.length === 0 && verdict.consistent,
      failures,
      seconds: Math.round((this.#toMs - this.#fromMs) / 100) / 10,
      transactions: verdict.committed + verdict.rolledBackOnPurpose,
      faultsActed,
      faults,
      acts: this.#acts().flatMap(({ fault = '', act }) =>
        act?.session === undefined || act.match === undefined
          ? []
          : [{ rule: fault, session: act.session, match: act.match }],
      ),
      verdict,
      timeline: timelineOf({
        fromMs: this.#fromMs,
        toMs: this.#toMs,
        events,
        operations: this.load.operations(),
        deeds,
        machineMs: this.#field.machineMs,
        lines,
      }),
    };
  }

  async #take(step: Step, name: string): Promise<void> {
    const { ground, scenario } = this.#options;
    const seeded = step.faults.map((rule) => ({
      ...directed(rule, ground),
      seed: seedOf(scenario.seed, rule.seed),
    }));
    const from = this.#lines().length;
    if (seeded.length > 0) await this.#injector.add(seeded);
    for (const deed of step.do) await this.#deeds?.perform(deed);
    const committed = this.load.committed();
    const refused = this.#refused();
    if (step.until !== undefined) await this.#until(step.until, step.faults, { committed, refused });
    const acts = this.#actsOf(step.faults);
    if (acts < (step.expect?.acts ?? 0)) this.#failures.push(`${name}: ${acts} faults acted, not ${step.expect?.acts}`);
    this.#failures.push(...this.#unheard(step, from).map((what) => `${name}: ${what}`));
    await this.#injector.remove(step.remove);
  }

  /** Verdicts and events that a step should have had. @param from how many lines the audit log had before it */
  #unheard({ expect }: Step, from: number): readonly string[] {
    const verdicts = this.#field.refusals(this.load.names);
    const times = (of: readonly string[], code: string): number => of.filter((each) => each === code).length;
    const given = (code: string): boolean => times(verdicts, code) > times(this.#refusedBefore, code);
    const happened = new Set(
      this.#lines()
        .slice(from)
        .map(({ event }) => event),
    );
    return [
      ...(expect?.refused ?? []).filter((code) => !given(code)).map((code) => `nobody was refused ${code}`),
      ...(expect?.events ?? []).filter((event) => !happened.has(event)).map((event) => `there was no ${event}`),
    ];
  }

  async #until(until: Until, faults: readonly FaultRule[], since: Readonly<Record<'committed' | 'refused', number>>) {
    const beganMs = performance.now();
    for (;;) {
      const elapsedMs = performance.now() - beganMs;
      const committed = this.load.committed() - since.committed;
      const acts = this.#actsOf(faults);
      const refused = this.#refused() - since.refused;
      const ends = [
        until.acts !== undefined && acts >= until.acts,
        until.committed !== undefined && committed >= until.committed,
        until.refused !== undefined && refused >= until.refused,
        until.afterMs !== undefined && elapsedMs >= until.afterMs,
        until.done === true && this.load.isDone,
      ];
      if (ends.includes(true)) return;
      if (elapsedMs > until.withinMs) {
        const words = `${acts} faults acted, ${committed} transactions were committed, ${refused} connections refused`;
        throw new Error(`not over after ${until.withinMs} ms: ${words}`);
      }
      await setTimeout(pollMs);
    }
  }

  /** What the scenario says of the end, and is not so. */
  #unmet({ rolledBack, errors }: Verdict): readonly string[] {
    const { expect } = this.#options.scenario;
    const refused = this.#refused();
    const unmet: string[] = [];
    const compare = (what: string, wanted: 'none' | 'some' | 'any', found: number): void => {
      if (wanted === 'none' && found > 0) unmet.push(`${found} ${what}, and there should be none`);
      if (wanted === 'some' && found === 0) unmet.push(`no ${what}, and there should be some`);
    };
    compare('transactions rolled back', expect.rolledBack, rolledBack);
    compare('connections refused', expect.refused, refused);
    const seen = new Set([...Object.keys(errors), ...this.#refusals().flatMap(codesIn)]);
    for (const code of expect.errors)
      if (!seen.has(code)) unmet.push(`applications saw ${[...seen].join(', ')}, not ${code}`);
    return unmet;
  }

  #refusals(): readonly string[] {
    return this.load.events().flatMap((event) => (event.type === 'refused' ? [event.error] : []));
  }

  #refused(): number {
    return this.#refusals().length;
  }

  #lines(): readonly AuditLine[] {
    return this.#field.lines();
  }

  #acts(): readonly AuditLine[] {
    return this.#lines().filter(({ event }) => event === 'fault');
  }

  #actsOf(faults: readonly FaultRule[]): number {
    const ids = new Set(faults.map(({ id }) => id));
    return this.#acts().filter(({ fault = '' }) => ids.has(fault)).length;
  }
}

/** Whether copies of shims are wanted: then shims keep what these need. */
function keepsImages({ steps }: Scenario): boolean {
  return steps.some((step) => step.do.some(({ kind }) => kind === 'copy'));
}

/** A file cannot know where the database will be. */
function directed(rule: FaultRule, ground: Ground): FaultRule {
  if (rule.kind !== 'call' || rule.action.kind !== 'redirect' || rule.action.host !== 'database') return rule;
  const { host, port } = parseAddress(ground.database.address) ?? rule.action;
  return { ...rule, action: { ...rule.action, host, port } };
}

/** What counts as one kind of fault: what is done, and by meaning where. */
function kindOfAct({ act }: AuditLine): string {
  return [act?.action, act?.leg, act?.point, act?.call].filter((each) => each !== undefined).join(' ');
}

export function countKinds(kinds: readonly string[]): readonly FaultCount[] {
  const counts = new Map<string, number>();
  for (const kind of kinds) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  return [...counts].map(([kind, acts]) => ({ kind, acts })).sort((one, other) => other.acts - one.acts);
}
