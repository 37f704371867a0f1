#!/usr/bin/env node
import { type Column, printJson, printTable } from '../../migrate/output.js';
import { option, optional } from '../../shim/program/config.js';
import { runProgram } from '../../shim/program/run.js';
import { count, flag } from '../../shim/program/values.js';
import { campaign, type Result } from './campaign.js';
import { noCounts, runOnce } from './run.js';

interface Line {
  readonly what: string;
  readonly count: number;
}

const columns: readonly Column<Line>[] = [
  { head: 'what happened', cell: ({ what }) => what },
  { head: 'times', cell: ({ count: times }) => times, align: 'right' },
];

await runProgram({
  name: 'sim',
  summary: 'Leads shims, copies of them and the proxy through random schedules of faults, and checks every step.',
  options: {
    runs: option(count(1, 1_000_000_000), '10000', 'schedules to play'),
    seed: option(count(0, 0x7fff_ffff), '1', 'where chance begins: the same seed plays the same schedules'),
    run: optional(count(0, 1_000_000_000), 'play this one schedule of the seed, and tell what happens in it'),
    failures: option(count(1, 1_000_000), '10', 'stop after so many schedules in which a rule was broken'),
    json: option(flag(), 'false', 'print one JSON object on stdout'),
  },
  examples: [
    ['npm run sim', 'Ten thousand schedules, in some seconds'],
    ['npm run --silent sim -- --runs 1000000 --seed 7 --json', 'A million, for a program'],
    ['npm run sim -- --seed 7 --run 1234', 'Schedule 1234 of seed 7 again, step by step'],
  ],
  async main({ settings }) {
    const { seed, run, json, runs } = settings;
    if (run !== undefined) return repeat(seed, run, json);
    const startedMs = performance.now();
    const rate = (done: number): string => `${Math.round((done / (performance.now() - startedMs)) * 1_000)} a second`;
    let shownAtMs = startedMs + 1_000;
    const progress = (done: number): void => {
      if (!process.stderr.isTTY || performance.now() < shownAtMs) return;
      shownAtMs = performance.now() + 1_000;
      process.stderr.write(`\r\x1b[K${done} of ${runs} schedules, ${rate(done)}`);
    };
    const result = await campaign({ seed, runs, failuresMax: settings.failures, progress });
    // Not part of the object: that is the same on every machine.
    process.stderr.write(`${process.stderr.isTTY ? '\r\x1b[K' : ''}${result.runs} schedules, ${rate(result.runs)}\n`);
    if (json) printJson(result);
    else show(result);
    return result.violations > 0 || result.missing.length > 0 ? 1 : 0;
  },
});

function repeat(seed: number, run: number, json: boolean): number {
  const failure = runOnce(seed, run, noCounts(), (line) => void process.stderr.write(`${line}\n`));
  if (json) printJson({ seed, run, violations: failure === undefined ? 0 : 1, failure });
  else if (failure === undefined) process.stdout.write('no rule was broken\n');
  else process.stdout.write(`${failure.rule}: ${failure.message}\n${failure.stack ?? ''}\n`);
  return failure === undefined ? 0 : 1;
}

function show({ refusals, actions, missing, failures, ...result }: Result): void {
  const lines = [
    ...Object.entries({ ...result, seed: undefined }),
    ...Object.entries(refusals).map(([verdict, times]) => [`refused: ${verdict}`, times] as const),
    ...Object.entries(actions),
  ].flatMap(([what, times]) => (typeof times === 'number' ? [{ what, count: times }] : []));
  printTable(columns, lines, 'nothing happened');
  for (const what of missing) process.stdout.write(`never happened: ${what}\n`);
  for (const { rule, message, repeat: command } of failures) {
    process.stdout.write(`\n${rule}: ${message}\n  again, with every step: ${command}\n`);
  }
}
