import { stringify } from 'yaml';
import type { RunReport } from '../report/model.js';
import type { Scenario, Step } from '../scenario/schema.js';
import type { Ground } from './ground.js';
import { play } from './play.js';
import { shrink } from './shrink.js';

export interface RehearseOptions {
  readonly ground: Ground;
  readonly scenario: Scenario;
  readonly name: string;
  /** A slow machine comes less far in the schedule: no step is begun after so long. */
  readonly forMs?: number;
  readonly prefix: string;
  /** Trials to make a failing schedule shorter; 0 makes none. */
  readonly shrinkTrialsMax: number;
  readonly say: (text: string) => void;
}

export interface Rehearsal {
  readonly report: RunReport;
  /** Of one that failed: steps that are enough to make it fail, as a scenario file. */
  readonly shortest: { readonly steps: number; readonly trials: number; readonly yaml: string } | undefined;
}

/** Plays a schedule; when it fails, it plays shorter ones until none can be left out. */
export async function rehearse(options: RehearseOptions): Promise<Rehearsal> {
  const { shrinkTrialsMax, forMs, ...common } = options;
  const { scenario, prefix, say } = common;
  const bounded = forMs === undefined ? {} : { forMs };
  const report = await play({ ...common, ...bounded });
  if (report.passed || shrinkTrialsMax === 0) return { report, shortest: undefined };
  say(`failed: ${report.failures[0] ?? report.verdict.anomalies[0]?.name}; looking for a shorter schedule that fails`);
  let trial = 0;
  const fails = async (steps: readonly Step[]): Promise<boolean> => {
    trial += 1;
    const shorter = { ...scenario, steps: [...steps] };
    const again = await play({
      ...common,
      ...bounded,
      scenario: shorter,
      prefix: `${prefix}_${trial}`,
      say: () => undefined,
    });
    const isSame = sameFailure(report, again);
    say(`trial ${trial}: ${steps.length} steps ${isSame ? 'fail too' : 'do not fail so'}`);
    return isSame;
  };
  const { items, trials } = await shrink(scenario.steps, fails, shrinkTrialsMax);
  const yaml = stringify({ ...scenario, steps: items }, { lineWidth: 120 });
  return { report, shortest: { steps: items.length, trials, yaml } };
}

/** A schedule that fails in another way is another failure. */
function sameFailure(one: RunReport, other: RunReport): boolean {
  const names = (report: RunReport) => new Set(report.verdict.anomalies.map(({ name }) => name));
  const wanted = names(one);
  if (wanted.size > 0) return [...names(other)].some((name) => wanted.has(name));
  return one.verdict.rolledBack > 0 ? other.verdict.rolledBack > 0 : !other.passed;
}
