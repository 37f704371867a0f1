#!/usr/bin/env node
import { option } from '../../shim/program/config.js';
import { runProgram } from '../../shim/program/run.js';
import { count, duration, flag } from '../../shim/program/values.js';
import { runTrial, seconds, type TrialResult } from './trial.js';

await runProgram({
  name: 'holdfast-evacuation',
  summary:
    'Empties a node whose applications all have a transaction open into two others, by CRIU, and counts every row. Exits 1 when anything is lost.',
  options: {
    workloads: option(count(1, 100), '50', 'applications at the node, each with its shim'),
    concurrency: option(count(1, 8), '2', 'moves at the same time'),
    wait: option(duration(), '2m', 'longest wait for any one application'),
    lose: option(count(0, 100), '0', 'the database ends so many sessions in the midst of it: it must fail'),
    json: option(flag(), 'false', 'print one JSON object on stdout'),
  },
  examples: [
    ['npm run evacuation', 'Fifty applications, as root'],
    ['npm run --silent evacuation -- --workloads 6 --json', 'What CI runs'],
    ['npm run evacuation -- --workloads 6 --lose 1', 'That it would see a loss'],
  ],
  async main({ settings }) {
    const { workloads, concurrency, lose, json } = settings;
    const say = (text: string) => process.stderr.write(`${text}\n`);
    const result = await runTrial({ workloads, concurrency, lose, waitMs: settings.wait, say });
    process.stdout.write(json ? `${JSON.stringify(result, undefined, 2)}\n` : inWords(result));
    return result.ok ? 0 : 1;
  },
});

function inWords(result: TrialResult): string {
  const { workloads, moved, at, lost, duplicated, rolledBack, evacuationMs, blackoutMs, violations, ok } = result;
  const places = Object.entries(at).map(([name, number]) => `${number} at ${name}`);
  const lines = [
    `${moved} of ${workloads} moved in ${seconds(evacuationMs)}, ${result.concurrency} at a time: now ${places.join(', ')}`,
    `an application waited ${blackoutMs.p50} ms as a rule, at most ${blackoutMs.max} ms`,
    `rows lost ${lost}, duplicated ${duplicated}; transactions rolled back ${rolledBack}`,
    ...violations.map((violation) => `VIOLATION: ${violation}`),
    ok ? 'every transaction is the one it was' : 'FAILED',
  ];
  return `${lines.join('\n')}\n`;
}
