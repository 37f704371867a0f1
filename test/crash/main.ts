#!/usr/bin/env node
import { randomInt } from 'node:crypto';
import Table from 'cli-table3';
import { findCriu } from '../../fixtures/lab/criu.js';
import { option, optional } from '../../shim/program/config.js';
import { Random } from '../../shim/program/random.js';
import { runProgram } from '../../shim/program/run.js';
import { choice, count, duration, flag } from '../../shim/program/values.js';
import { plantKinds } from './blows.js';
import { Crash, type CrashResult } from './crash.js';
import { type MovesResult, moveUnderKills } from './moves.js';

await runProgram({
  name: 'holdfast-crash',
  summary:
    'Real drivers in transactions while the workers of their proxy are killed and replaced, and a count of every row in PostgreSQL at the end. Exits 1 when one is lost, repeated or rolled back, or when more sessions end than may.',
  options: {
    kills: option(count(0, 100_000), '200', 'workers killed with SIGKILL, at random moments'),
    others: option(
      count(0, 1_000),
      '4',
      'workers ended in each other way: SIGABRT, an exception, no memory, SIGKILL between reading and putting down',
    ),
    hangs: option(count(0, 1_000), '2', 'workers that hang in each way: SIGSTOP, an endless loop'),
    upgrades: option(count(0, 10_000), '20', 'workers replaced in order, before the others'),
    minutes: option(count(1, 10_080), '3', 'for all kills and other ends together'),
    duration: optional(duration(), 'the same, where a minute is too long'),
    sessions: option(count(1, 500), '50', 'database sessions, each always in a transaction'),
    workloads: option(count(1, 50), '5', 'applications, each with a shim and a link of its own'),
    moves: option(count(0, 1_000), '10', 'moves of an application with a kill in each, by every mover that there is'),
    stall: option(duration(), '120s', 'a session that does nothing for so long is taken for lost'),
    seed: optional(count(1, 2_147_483_647), 'of all that is random; the network and the machine are not in it'),
    journal: option(choice('on', 'off'), 'on', 'off: sessions end with their worker, and the run must fail'),
    fault: option(choice(...plantKinds), 'none', 'what the workers put down is wrong: the run must fail'),
    json: option(flag(), 'false', 'print one JSON object on stdout'),
  },
  examples: [
    ['npm run test:crash', '20 upgrades, 200 kills, in some four minutes'],
    ['npm run --silent test:crash -- --kills 40 --upgrades 4 --duration 45s --json', 'Shorter, for programs'],
  ],
  async main({ settings }) {
    const { kills, others, hangs, upgrades, minutes, sessions, workloads, stall, moves: perMover, json } = settings;
    const seed = settings.seed ?? randomInt(1, 2 ** 31);
    const say = (text: string): void => void process.stderr.write(`${text}\n`);
    const result = await Crash.run({
      sessions,
      workloads,
      kills,
      others: { abort: others, throw: others, memory: others, window: others, stop: hangs, spin: hangs },
      upgrades,
      durationMs: settings.duration ?? minutes * 60_000,
      seed,
      stallMs: stall,
      plant: settings.fault,
      proxyOptions: settings.journal === 'on' ? [] : ['--journal', 'off'],
      say,
    });
    const moves = await moveAll(perMover, seed, say);
    const ok = result.ok && moves.every(({ violations }) => violations.length === 0);
    if (json) process.stdout.write(`${JSON.stringify({ ...result, ok, moves }, undefined, 2)}\n`);
    else
      process.stdout.write(
        `${inWords(result)}${moves.map(movesInWords).join('')}${ok ? 'nothing was lost' : 'FAILED'}\n`,
      );
    return ok ? 0 : 1;
  },
});

/** With CRIU too, where this machine has it. */
async function moveAll(moves: number, seed: number, say: (text: string) => void): Promise<readonly MovesResult[]> {
  const results: MovesResult[] = [];
  if (moves === 0) return results;
  results.push(await moveUnderKills({ world: { mover: 'relink' }, moves, random: new Random(seed), say }));
  const criu = await findCriu();
  if (criu.kind === 'missing') {
    say(`no moves by criu: ${criu.reason}`);
    return results;
  }
  const world = { mover: 'criu', criu: { 'node-a': criu.path, 'node-b': criu.path } } as const;
  results.push(await moveUnderKills({ world, moves, random: new Random(seed), say }));
  return results;
}

function movesInWords({ mover, moved, putBack, killedIn, violations }: MovesResult): string {
  const figures = `moves by ${mover}, with a kill in ${killedIn.join(', ')}: ${moved} moved, ${putBack} put back`;
  return [figures, ...violations.map((violation) => `VIOLATION: ${violation}`), ''].join('\n');
}

function inWords(result: CrashResult): string {
  const table = new Table({ head: ['worker ended by', 'times', 'first answer p50', 'p99', 'max', 'sessions ended'] });
  for (const { kind, count: times, firstAnswerMs: first, ended } of result.hits) {
    table.push([kind, times, `${first.p50} ms`, `${first.p99} ms`, `${first.max} ms`, ended]);
  }
  const { sessions, inTransaction, transactions, transactionsHit, hitsInTransaction, violations } = result;
  const { rows, calls, bigFetches, lobs } = result;
  const lines = [
    table.toString(),
    `${sessions} sessions, ${inTransaction.middle} of them in a transaction as a rule (at least ${inTransaction.least})`,
    `${transactions} transactions committed, ${transactionsHit} of them over ends of workers, one over ${hitsInTransaction}`,
    `${rows} rows, ${calls} calls, ${bigFetches} big fetches, ${lobs} LOBs in ${result.seconds} s, seed ${result.seed}`,
    `under way at an end: ${Object.entries(result.stepsHit)
      .map(([step, times]) => `${times} ${step}`)
      .join(', ')}`,
    `rows lost: ${result.lost}, duplicated: ${result.duplicated}; transactions rolled back: ${result.rolledBack}`,
    `sessions ended: ${result.endedSessions}, at most ${result.endedSessionsMax} may`,
    ...violations.map((violation) => `VIOLATION: ${violation}`),
  ];
  return `${lines.join('\n')}\n`;
}
