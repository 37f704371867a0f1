import { isNode, LineCounter, parseDocument } from 'yaml';
import type { z } from 'zod';
import { ScenarioError } from './errors.js';
import { type RunningScenario, runningScenario } from './running.js';
import { type Scenario, scenario } from './schema.js';

/**
 * Reads a scenario.
 * @param name of the file, for what is said of it
 * @throws {ScenarioError} scenario-invalid, with line and column of the first fault and of those after it
 */
export function parseScenario(text: string, name: string): Scenario {
  return parseBy(scenario, text, name);
}

/** The same for one that is played on what runs already. @throws {ScenarioError} scenario-invalid */
export function parseRunning(text: string, name: string): RunningScenario {
  return parseBy(runningScenario, text, name);
}

function parseBy<Output>(schema: z.ZodType<Output>, text: string, name: string): Output {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const at = (offset: number, message: string): string => {
    const { line, col } = lines.linePos(offset);
    return `${name}:${line}:${col}: ${message}`;
  };
  const broken = document.errors.map(({ pos, message }) => at(pos[0], message));
  if (broken.length > 0) throw new ScenarioError('scenario-invalid', broken.join('; '));
  const result = schema.safeParse(document.toJS());
  if (result.success) return result.data;
  const wrong = result.error.issues.map((issue) => {
    const place = placeOf(issue);
    return at(offsetOf(document, place), `${place.join('.') || 'the file'}: ${issue.message}`);
  });
  throw new ScenarioError('scenario-invalid', wrong.join('; '));
}

/** A word that should not be there is the place, not the object around it. */
function placeOf(issue: z.core.$ZodIssue): readonly PropertyKey[] {
  return issue.code === 'unrecognized_keys' ? [...issue.path, issue.keys[0] ?? ''] : issue.path;
}

/** Where in the text a part begins; of what is missing, what should have it. */
function offsetOf(document: ReturnType<typeof parseDocument>, path: readonly PropertyKey[]): number {
  for (let length = path.length; length >= 0; length -= 1) {
    const node = document.getIn(path.slice(0, length), true);
    if (isNode(node) && node.range !== undefined && node.range !== null) return node.range[0];
  }
  return 0;
}
