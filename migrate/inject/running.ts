/** Plays a scenario on applications that run already: it sees what the proxy tells, and nothing of the applications themselves. */
import type { SessionRow } from '../../proxy/control/contract.js';
import type { FaultAct, FaultRule } from '../../proxy/inject/contract.js';
import { errorText } from '../../shim/program/errors.js';
import { seedOf } from '../../shim/program/random.js';
import { Injector } from '../rehearse/injector.js';
import type { RunningScenario, RunningStep } from '../scenario/running.js';
import { InjectError } from './errors.js';
import { type FaultTarget, lastActOf } from './targets.js';

export interface RunningOptions {
  readonly proxy: FaultTarget;
  readonly relay: FaultTarget | undefined;
  /** Those that the proxy has now. */
  readonly sessions: () => Promise<readonly SessionRow[]>;
  readonly scenario: RunningScenario;
  /** Each act of the scenario's faults, as it is heard of. */
  readonly onAct: (act: FaultAct) => void;
  readonly say: (text: string) => void;
}

export interface RunningReport {
  readonly about: string;
  readonly seed: number;
  readonly passed: boolean;
  readonly interrupted: boolean;
  readonly failures: readonly string[];
  readonly faultsActed: number;
  readonly faults: readonly { readonly id: string; readonly acts: number }[];
  /** Sessions as it began, those of them that are gone in the end, and those in the end. */
  readonly sessions: { readonly before: number; readonly gone: number; readonly after: number };
}

/** Progress is told, and an interruption heard, at least so often. */
const lookMs = 250;

/** Where the acts of one target are read. */
interface Reading {
  readonly target: FaultTarget;
  after: number;
  run: string | undefined;
}

export class Running {
  readonly #options: RunningOptions;
  readonly #injector: Injector;
  readonly #counts = new Map<string, number>();
  readonly #failures: string[] = [];
  #readings: readonly Reading[] = [];
  #interrupted = false;

  constructor(options: RunningOptions) {
    this.#options = options;
    this.#injector = new Injector(options.proxy, options.relay);
    for (const { id } of options.scenario.steps.flatMap(({ faults }) => faults)) this.#counts.set(id, 0);
  }

  /** The faults are removed, and no further step begins. */
  interrupt(): void {
    this.#interrupted = true;
  }

  /** Removes all of its faults. Harmless when it has ended. */
  close(): Promise<void> {
    return this.#injector.close();
  }

  /** @throws {InjectError} fault-invalid: somebody else has a fault of this name @throws what proxy or relay answer */
  async play(): Promise<RunningReport> {
    const { proxy, relay, scenario, sessions } = this.#options;
    const targets = relay === undefined ? [proxy] : [proxy, relay];
    for (const target of targets) await this.#refuseTaken(target);
    this.#readings = await Promise.all(
      targets.map(async (target) => ({ target, after: await lastActOf(target), run: undefined })),
    );
    const before = (await sessions()).map(keyOf);
    try {
      await this.#steps();
    } finally {
      await this.close();
    }
    await this.#read(0);
    const after = new Set((await sessions()).map(keyOf));
    const gone = before.filter((key) => !after.has(key)).length;
    if (scenario.expect.sessions === 'kept' && gone > 0)
      this.#failures.push(`${gone} of ${before.length} sessions are gone, and all should be kept`);
    const faultsActed = this.#actsOf([...this.#counts.keys()]);
    if (faultsActed === 0) this.#failures.push('no fault has acted, so nothing was shown');
    if (this.#interrupted) this.#failures.push('interrupted');
    return {
      about: scenario.about,
      seed: scenario.seed,
      passed: this.#failures.length === 0,
      interrupted: this.#interrupted,
      failures: this.#failures,
      faultsActed,
      faults: [...this.#counts].map(([id, acts]) => ({ id, acts })),
      sessions: { before: before.length, gone, after: after.size },
    };
  }

  async #steps(): Promise<void> {
    for (const [index, step] of this.#options.scenario.steps.entries()) {
      if (this.#interrupted) return;
      const name = step.name ?? `step ${index + 1}`;
      try {
        await this.#take(step, name);
      } catch (error) {
        this.#failures.push(`${name}: ${errorText(error)}`);
        return;
      }
    }
  }

  async #take(step: RunningStep, name: string): Promise<void> {
    const { scenario } = this.#options;
    const ids = step.faults.map(({ id }) => id);
    const sinceActs = this.#actsOf(ids);
    const seeded: FaultRule[] = step.faults.map((rule) => ({ ...rule, seed: seedOf(scenario.seed, rule.seed) }));
    if (seeded.length > 0) await this.#injector.add(seeded);
    const acts = () => this.#actsOf(ids) - sinceActs;
    if (step.until !== undefined) await this.#until(step.until, name, acts);
    await this.#injector.remove(step.remove);
    if (this.#interrupted) return;
    await this.#read(0);
    if (acts() < (step.expect?.acts ?? 0))
      this.#failures.push(`${name}: ${acts()} faults acted, not ${step.expect?.acts}`);
  }

  async #until(until: NonNullable<RunningStep['until']>, name: string, acts: () => number): Promise<void> {
    const beganMs = performance.now();
    const endMs = Math.min(until.afterMs ?? Number.POSITIVE_INFINITY, until.withinMs);
    while (!this.#interrupted) {
      const leftMs = endMs - (performance.now() - beganMs);
      if (until.acts !== undefined && acts() >= until.acts) return;
      if (leftMs <= 0) {
        if (until.afterMs !== undefined && until.afterMs <= until.withinMs) return;
        throw new InjectError('fault-idle', `not over after ${until.withinMs} ms: ${acts()} faults acted`);
      }
      await this.#read(Math.ceil(Math.min(lookMs, leftMs)));
      this.#options.say(`${name}: ${acts()} faults so far`);
    }
  }

  /** What has acted since; with nothing yet it waits. */
  async #read(waitMs: number): Promise<void> {
    const [, relay] = this.#readings;
    // Both are waited for in turn: together they take no longer than one.
    const shareMs = relay === undefined ? waitMs : Math.ceil(waitMs / 2);
    for (const reading of this.#readings) {
      const { run, acts } = await reading.target.watch(reading.after, shareMs);
      const isAnother = reading.run !== undefined && reading.run !== run;
      reading.run = run;
      // Another worker counts from 1 again.
      if (isAnother) reading.after = 0;
      else for (const act of acts) this.#heard(reading, act);
    }
  }

  #heard(reading: Reading, act: FaultAct): void {
    reading.after = act.seq;
    const count = this.#counts.get(act.rule);
    if (count === undefined) return;
    this.#counts.set(act.rule, count + 1);
    this.#options.onAct(act);
  }

  #actsOf(ids: readonly string[]): number {
    return ids.reduce((sum, id) => sum + (this.#counts.get(id) ?? 0), 0);
  }

  /** Under the same name ours would take the place of somebody else's, and end it. */
  async #refuseTaken(target: FaultTarget): Promise<void> {
    const taken = (await target.list()).find(({ rule }) => this.#counts.has(rule.id));
    if (taken !== undefined)
      throw new InjectError(
        'fault-invalid',
        `${target.name} has a fault ${taken.rule.id} already: remove or rename it`,
      );
  }
}

function keyOf({ workload, instance, stream }: SessionRow): string {
  return `${workload} ${instance} ${stream}`;
}
