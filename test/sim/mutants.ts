#!/usr/bin/env node
import { execFile } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Column, printJson, printTable } from '../../migrate/output.js';
import { option, optional } from '../../shim/program/config.js';
import { runProgram } from '../../shim/program/run.js';
import { count, flag, text } from '../../shim/program/values.js';
import type { Result } from './campaign.js';
import { type Mutation, mutated, mutations } from './mutations.js';

const dist = new URL('../../', import.meta.url).pathname;
/** Of the copy, which is made in the project since that is where its libraries are found. */
const prefix = 'mutants-';
/** Schedules that the product itself must stand first. */
const soundRuns = 500;
/** A mutant may also make the code run for ever. All schedules take some seconds. */
const childMsMax = 60_000;

/** What became of one mutant. */
interface Outcome {
  readonly name: string;
  readonly file: string;
  readonly found: boolean;
  /** Schedules until it was found, or all there were. */
  readonly runs: number;
  /** The rule that was broken, and how. */
  readonly rule?: string;
  readonly message?: string;
}

const columns: readonly Column<Outcome>[] = [
  { head: 'mutant', cell: ({ name }) => name },
  { head: 'found', cell: ({ found }) => (found ? 'yes' : 'NO') },
  { head: 'runs', cell: ({ runs }) => runs, align: 'right' },
  { head: 'rule', cell: ({ rule }) => rule },
];

await runProgram({
  name: 'sim-mutants',
  summary:
    'Puts known faults into a copy of the compiled product, one at a time, and looks whether the simulation finds them.',
  options: {
    runs: option(count(1, 1_000_000), '20000', 'schedules until a mutant counts as not found'),
    seed: option(count(0, 0x7fff_ffff), '1', 'where chance begins'),
    only: optional(text(), 'try the mutants whose names contain this'),
    json: option(flag(), 'false', 'print one JSON object on stdout'),
  },
  examples: [
    ['npm run sim:mutants', 'All mutants, in about a minute'],
    ['npm run --silent sim:mutants -- --json', 'For programs'],
  ],
  async main({ settings, onStop }) {
    const project = mkdtempSync(join(dist, prefix));
    onStop('copy', () => rmSync(project, { recursive: true }));
    const copy = join(project, 'dist');
    const filter = (path: string): boolean => !/\.(map|ts)$/.test(path);
    // Everything: a list of what the simulation imports would be wrong one day.
    for (const name of readdirSync(dist).filter((each) => !each.startsWith(prefix)))
      cpSync(join(dist, name), join(copy, name), { recursive: true, filter });
    const sound = await play(copy, { ...settings, runs: soundRuns });
    if (sound === undefined || sound.violations > 0)
      throw new Error('the simulation finds faults in the product itself: run npm run sim first');
    const outcomes: Outcome[] = [];
    const chosen = mutations.filter(({ name }) => name.includes(settings.only ?? ''));
    for (const mutation of chosen) {
      const outcome = await tryMutant(copy, mutation, settings);
      outcomes.push(outcome);
      const { name, runs, rule } = outcome;
      process.stderr.write(`${outcomes.length}/${chosen.length} ${name}: ${rule ?? 'NOT FOUND'}, ${runs} schedules\n`);
    }
    const survived = outcomes.filter(({ found }) => !found).map(({ name }) => name);
    if (settings.json) printJson({ mutants: outcomes, found: outcomes.length - survived.length, survived });
    else printTable(columns, outcomes, 'no mutants');
    return survived.length === 0 ? 0 : 1;
  },
});

async function tryMutant(copy: string, mutation: Mutation, settings: { runs: number; seed: number }): Promise<Outcome> {
  const { name, file } = mutation;
  const path = join(copy, file);
  const original = readFileSync(path, 'utf8');
  writeFileSync(path, mutated(original, mutation));
  try {
    const result = await play(copy, settings);
    if (result === undefined) return { name, file, found: true, runs: 0, rule: 'crash', message: 'runs for ever' };
    const { violations, runs, failures } = result;
    const [first] = failures;
    return {
      name,
      file,
      found: violations > 0,
      runs,
      ...(first === undefined ? {} : { rule: first.rule, message: first.message }),
    };
  } finally {
    writeFileSync(path, original);
  }
}

/** Undefined when it did not come to its end: the code under test runs for ever, which is as good as a broken rule. */
function play(copy: string, { runs, seed }: { runs: number; seed: number }): Promise<Result | undefined> {
  const words = [join(copy, 'test/sim/play.js'), String(seed), String(runs)];
  return new Promise((resolve, reject) => {
    execFile(process.execPath, words, { timeout: childMsMax, killSignal: 'SIGKILL' }, (error, stdout, stderr) => {
      if (stdout !== '') resolve(JSON.parse(stdout));
      else if (error?.killed === true) resolve(undefined);
      else reject(new Error(`the simulation said nothing: ${stderr}`, { cause: error }));
    });
  });
}
