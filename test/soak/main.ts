#!/usr/bin/env node
import { randomInt } from 'node:crypto';
import { option, optional } from '../../shim/program/config.js';
import { runProgram } from '../../shim/program/run.js';
import { choice, count, duration, flag } from '../../shim/program/values.js';
import { faultKinds, installFaults } from '../e2e/faults/switch.js';
import { flatMeans } from './resident.js';
import { Soak } from './soak.js';

await runProgram({
  name: 'holdfast-soak',
  summary:
    'Real drivers at work over links that are cut all the time, and a count of every row in PostgreSQL at the end. Exits 1 when one is lost, repeated or rolled back, or when memory grows.',
  options: {
    minutes: option(count(1, 10_080), '2', 'how long'),
    duration: optional(duration(), 'the same, where a minute is too long'),
    sessions: option(count(1, 500), '50', 'database sessions, each always in a transaction'),
    workloads: option(count(1, 50), '5', 'applications, each with a shim and a link of its own'),
    'cuts-per-second': option(count(1, 100), '5', 'links cut a second, over all of them'),
    pause: option(duration(), '60ms', 'longest pause of a session between two calls'),
    stall: option(duration(), '60s', 'an application that does nothing for so long is taken for lost'),
    seed: optional(count(1, 2_147_483_647), 'of all that is random; the network and the machine are not in it'),
    fault: option(choice(...faultKinds), 'none', 'spoil one byte on purpose: the run must fail'),
    json: option(flag(), 'false', 'print one JSON object on stdout'),
  },
  examples: [
    ['npm run soak', 'Two minutes, and what came of it'],
    ['npm run --silent soak -- --minutes 60 --json', 'For programs'],
    ['npm run soak -- --duration 20s --fault drop', 'See it fail'],
  ],
  async main({ settings }) {
    const { minutes, sessions, workloads, cutsPerSecond, pause, stall, fault, json } = settings;
    const faults = fault === 'none' ? undefined : installFaults();
    const result = await Soak.run({
      durationMs: settings.duration ?? minutes * 60_000,
      sessions,
      workloads,
      cutsPerSecond,
      pauseMsMax: pause,
      stallMs: stall,
      seed: settings.seed ?? randomInt(1, 2 ** 31),
      ...(faults === undefined ? {} : { fault: { kind: fault, directory: faults.directory } }),
      say: (text) => process.stderr.write(`${text}\n`),
    });
    faults?.remove();
    if (json) process.stdout.write(`${JSON.stringify({ ...result, flatMeans }, undefined, 2)}\n`);
    else process.stdout.write(inWords(result));
    return result.ok ? 0 : 1;
  },
});

function inWords(result: Awaited<ReturnType<typeof Soak.run>>): string {
  const { cuts, binds, replayedBytes, transactions, rows, calls, memory, violations } = result;
  const lines = [
    `${cuts} cuts, ${binds} binds, ${replayedBytes} bytes sent again in ${result.seconds} s, seed ${result.seed}`,
    `${transactions} transactions committed, ${rows} rows, ${calls} calls`,
    `rows lost: ${result.lost}, duplicated: ${result.duplicated}; transactions rolled back: ${result.rolledBack}`,
    ...memory.map(({ process, firstMiB, lastMiB, slopeMiBPerMinute, isFlat }) => {
      const flat = isFlat === undefined ? 'too short to say' : isFlat ? 'flat' : 'GROWS';
      return `${process}: ${firstMiB} to ${lastMiB} MiB, ${slopeMiBPerMinute} MiB a minute, ${flat}`;
    }),
    ...violations.map((violation) => `VIOLATION: ${violation}`),
    result.ok ? 'nothing was lost' : 'FAILED',
  ];
  return `${lines.join('\n')}\n`;
}
