import { z } from 'zod';
import { errorText } from '../../shim/program/errors.js';
import { readTextFile } from '../../shim/program/values.js';
import { ScenarioError } from './errors.js';
import type { RunningScenario } from './running.js';
import type { Scenario } from './schema.js';

/** At which calls of which sessions the rules of an earlier run have acted. */
const acts = z.array(z.object({ rule: z.string(), session: z.int(), match: z.int() }));
export type Act = z.infer<typeof acts>[number];

/** Of a report, or the acts alone: as a list, or as the lines of a log. @throws {ScenarioError} replay-mismatch */
export function readActs(file: string): readonly Act[] {
  try {
    const text = readTextFile(file);
    if (file.endsWith('.jsonl')) return acts.parse(byMeaning(text));
    const content = JSON.parse(text);
    return acts.parse(Array.isArray(content) ? content : (content.acts ?? content.runs?.[0]?.acts));
  } catch (cause) {
    throw new ScenarioError('replay-mismatch', `${file} is no log of acts: ${errorText(cause).split('\n')[0]}`, {
      cause,
    });
  }
}

/** What a relay has done names no session, and is not repeated by one. */
function byMeaning(lines: string): readonly unknown[] {
  const told = lines.split('\n').filter((line) => line !== '');
  return told.map((line) => JSON.parse(line)).filter(({ relay }) => relay === undefined);
}

/**
 * The same scenario, whose faults by meaning act where they have acted, and only there, whatever they would draw.
 * @throws {ScenarioError} replay-mismatch
 */
export function applyReplay<Kind extends Scenario | RunningScenario>(scenario: Kind, done: readonly Act[]): Kind {
  const known = new Set(scenario.steps.flatMap(({ faults }) => faults.map(({ id }) => id)));
  const strange = done.find(({ rule }) => !known.has(rule));
  if (strange !== undefined)
    throw new ScenarioError('replay-mismatch', `there is no fault ${strange.rule} in the scenario`);
  const steps = scenario.steps.map((step) => ({
    ...step,
    faults: step.faults.map((rule) => {
      if (rule.kind !== 'call') return rule;
      const picks = done.filter((act) => act.rule === rule.id).map(({ session, match }) => ({ session, match }));
      return { ...rule, picks };
    }),
  }));
  return { ...scenario, steps };
}
