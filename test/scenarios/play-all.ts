import { readdirSync, readFileSync } from 'node:fs';
import { Ground } from '../../migrate/rehearse/ground.js';
import { play } from '../../migrate/rehearse/play.js';
import type { RunReport } from '../../migrate/report/model.js';
import { parseScenario } from '../../migrate/scenario/parse.js';
import type { Scenario } from '../../migrate/scenario/schema.js';
import { openStraight } from './straight.js';

const directory = new URL('../../../fixtures/scenarios/', import.meta.url);

export interface Named {
  readonly name: string;
  readonly scenario: Scenario;
}

/** Every scenario of the project, or those whose names contain a word. */
export function scenarios(only = ''): readonly Named[] {
  const files = readdirSync(directory).filter((file) => file.endsWith('.yaml') && file.includes(only));
  return files.sort().map((file) => ({
    name: file.replace('.yaml', ''),
    scenario: parseScenario(readFileSync(new URL(file, directory), 'utf8'), file),
  }));
}

/** Plays each through Holdfast, then straight. Those that need no options of their own share one installation. */
export async function playAll(all: readonly Named[], say: (text: string) => void): Promise<readonly RunReport[]> {
  const runs: RunReport[] = [];
  const groups = new Map<string, Named[]>();
  for (const each of all) {
    const key = JSON.stringify(each.scenario.proxy);
    groups.set(key, [...(groups.get(key) ?? []), each]);
  }
  for (const [options, group] of groups) {
    const ground = await Ground.open(undefined, ['--allow-faults', ...JSON.parse(options)]);
    try {
      for (const each of group) {
        const run = await playBoth(ground, each, `S${runs.length + 1}`);
        runs.push(run);
        const { name, passed, seconds, faultsActed } = run;
        say(
          `${runs.length}/${all.length} ${passed ? 'passed' : 'FAILED'} ${name}, ${faultsActed} faults, ${seconds} s`,
        );
      }
    } finally {
      await ground.close();
    }
  }
  return runs.sort((one, other) => (one.name < other.name ? -1 : 1));
}

async function playBoth(ground: Ground, { name, scenario }: Named, prefix: string): Promise<RunReport> {
  const run = await play({ ground, scenario, name, prefix, say: () => undefined });
  const wanted = scenario.expect.straight;
  if (wanted === 'not-played') return run;
  const straight = await openStraight(ground);
  try {
    // What must hold through Holdfast need not hold here.
    const steps = scenario.steps.map((step) => ({ ...step, expect: undefined }));
    const expect: Scenario['expect'] = {
      rolledBack: 'any',
      refused: 'any',
      errors: [],
      deeds: 'act',
      straight: 'not-played',
    };
    const free = { ...scenario, steps, expect };
    const control = await play({
      ground,
      field: straight.field,
      scenario: free,
      name,
      prefix: `${prefix}_C`,
      say: () => undefined,
    });
    const { rolledBack, unknown, unknownCommitted, unknownAsked } = control.verdict;
    const failures = [...run.failures, ...control.failures.map((failure) => `straight: ${failure}`)];
    const broken = rolledBack + unknownCommitted;
    if (!control.verdict.consistent) failures.push('straight: history and database contradict each other');
    if (wanted === 'loses' && broken === 0) failures.push('straight: no transaction was broken off');
    if (wanted === 'holds' && broken > 0) failures.push(`straight: ${broken} transactions were broken off`);
    if (unknown > 0 && unknownAsked === 0)
      failures.push(`straight: nobody has asked what became of ${unknown} COMMITs`);
    const { faultsActed, verdict } = control;
    return { ...run, failures, passed: run.passed && failures.length === 0, control: { faultsActed, verdict } };
  } finally {
    await straight.close();
  }
}
