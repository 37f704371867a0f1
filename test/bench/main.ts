#!/usr/bin/env node
/** `npm run bench`: what two hops of Holdfast cost, beside what people would put there instead. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Column, printJson, printTable } from '../../migrate/output.js';
import { ConfigError, option, optional } from '../../shim/program/config.js';
import { runProgram } from '../../shim/program/run.js';
import { choice, count, duration, flag, list, path } from '../../shim/program/values.js';
import { fullPlan, quickPlan, runPlan } from './bench.js';
import { chart } from './chart.js';
import { measureChurn, measureMemory, measureRebind } from './holdfast.js';
import { pathNames } from './paths.js';
import { type Hot, measureProfile } from './profile.js';
import { publish } from './publish.js';
import type { Report } from './report.js';
import { goalColumns, rowColumns } from './tables.js';

const whats = ['all', 'memory', 'rebind', 'churn', 'profile', 'publish'] as const;
const resultFile = 'results.json';

await runProgram({
  name: 'bench',
  summary:
    'Measures the same load straight to a database, through HAProxy, and through Holdfast, in turns. What else: memory (of held sessions), rebind, churn (sessions that come and go), profile (where shim and proxy spend their time), publish (the tables of the documents from the last result).',
  positional: '[what]',
  options: {
    quick: option(flag(), 'false', 'less than four minutes: everything that has a goal'),
    paths: option(list(choice(...pathNames)), pathNames.join(','), 'ways to measure'),
    rounds: option(count(1, 100), '3', 'of each point, interleaved'),
    measure: option(duration(), '2s', 'each point of each round'),
    sessions: optional(count(1, 10_000_000), 'of memory and rebind (10000), of churn (100000)'),
    path: option(
      choice('holdfast', 'holdfast-tls', 'holdfast-no-journal'),
      'holdfast',
      'the way of memory, rebind, churn and profile',
    ),
    load: option(choice('small', 'fetch', 'bulkd', 'bulku', 'blind'), 'small', 'of profile'),
    connections: option(count(1, 10_000), '256', 'of profile'),
    out: option(path('DIRECTORY'), 'bench-results', 'where results.json and results.svg are written'),
    json: option(flag(), 'false', 'print one JSON object on stdout'),
  },
  examples: [
    ['npm run bench', 'Everything, about half an hour; nothing else should run on the machine'],
    ['npm run --silent bench -- --quick --json', 'For programs, less than four minutes'],
    ['npm run bench -- --quick --paths direct,haproxy-2,holdfast', 'Fewer ways'],
    ['npm run bench -- memory --sessions 10000', 'Resident memory of held sessions'],
    ['npm run bench -- churn --sessions 1000000', 'A million sessions that come and go: does memory grow?'],
    ['npm run bench -- profile --load bulkd --connections 16', 'Which functions take the time'],
    ['npm run bench -- publish', 'Writes README.md and docs/performance.* from bench-results'],
  ],
  async main({ settings, args }) {
    const { quick, paths, rounds, measure, sessions, out, json } = settings;
    const what = whats.find((each) => each === (args[0] ?? 'all'));
    const say = progress();
    switch (what) {
      case 'all': {
        const report = await runPlan(quick ? quickPlan(paths) : fullPlan(paths, rounds, measure), say);
        await write(out, report);
        if (json) printJson(report);
        else print(report);
        return report.failures.length === 0 ? 0 : 1;
      }
      case 'memory':
        printJson(await measureMemory(settings.path, sessions ?? 10_000, say));
        return 0;
      case 'rebind':
        printJson(await measureRebind(settings.path, sessions ?? 10_000, 5, say));
        return 0;
      case 'churn':
        printJson(await measureChurn(settings.path, sessions ?? 100_000, say));
        return 0;
      case 'profile': {
        const point = { level: 'wire', load: settings.load, connections: settings.connections } as const;
        const result = await measureProfile(settings.path, point, say);
        if (json) printJson(result);
        else for (const { role, hot } of result.processes) printHot(role, hot);
        return 0;
      }
      case 'publish':
        await publish(read(out));
        return 0;
      case undefined:
        throw new ConfigError('bad-option', `${args[0]}: there is only ${whats.join(', ')}`);
    }
  },
});

function print({ rows, goals, missing, failures }: Report): void {
  printTable(rowColumns, rows, 'nothing was measured');
  process.stdout.write('\n');
  printTable(goalColumns, goals, 'no goals');
  for (const { path: name, reason } of missing) process.stdout.write(`${name}: ${reason}\n`);
  for (const { what, reason } of failures) process.stdout.write(`FAILED: ${what}: ${reason}\n`);
}

function printHot(role: string, hot: readonly Hot[]): void {
  process.stdout.write(`\n${role}\n`);
  const columns: readonly Column<Hot>[] = [
    { head: 'percent', cell: ({ percent }) => percent, align: 'right' },
    { head: 'where', cell: ({ where }) => where },
  ];
  printTable(columns, hot, 'nothing');
}

async function write(directory: string, report: Report): Promise<void> {
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, resultFile), `${JSON.stringify(report, undefined, 2)}\n`);
  writeFileSync(join(directory, 'results.svg'), await chart(report));
}

function read(directory: string): Report {
  return JSON.parse(readFileSync(join(directory, resultFile), 'utf8'));
}

/** A line that is written over on a terminal; a line every ten seconds elsewhere. */
function progress(): (text: string) => void {
  const { isTTY } = process.stderr;
  let lastMs = Number.NEGATIVE_INFINITY;
  return (text) => {
    if (!isTTY && performance.now() - lastMs < 10_000) return;
    lastMs = performance.now();
    process.stderr.write(isTTY ? `\r\x1b[K${text}` : `${text}\n`);
  };
}
