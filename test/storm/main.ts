#!/usr/bin/env node
import { option } from '../../shim/program/config.js';
import { runProgram } from '../../shim/program/run.js';
import { count, duration, flag } from '../../shim/program/values.js';
import { Storm, type StormResult } from './storm.js';

await runProgram({
  name: 'holdfast-storm',
  summary:
    'Cuts the links of a thousand workloads at once, as a switch does that boots, and shows how they come back. Exits 1 when one is lost or late.',
  options: {
    workloads: option(count(1, 4_000), '1000', 'shims, 250 of them in a process'),
    outage: option(duration(), '2s', 'how long the network is away'),
    sessions: option(count(1, 100), '20', 'workloads with a real driver in a transaction'),
    within: option(duration(), '15s', 'all must be bound so soon after the network is back'),
    'binds-per-second': option(count(1, 100_000), '500', 'what the proxy is told'),
    json: option(flag(), 'false', 'print one JSON object on stdout'),
  },
  examples: [
    ['npm run storm', 'A thousand'],
    ['npm run --silent storm -- --workloads 2000 --json', 'For programs'],
  ],
  async main({ settings }) {
    const { workloads, outage, sessions, within, bindsPerSecond, json } = settings;
    const result = await Storm.run({
      workloads,
      outageMs: outage,
      sessions: Math.min(sessions, workloads),
      withinMs: within,
      proxyOptions: ['--binds-per-second', String(bindsPerSecond)],
      say: (text) => process.stderr.write(`${text}\n`),
    });
    process.stdout.write(json ? `${JSON.stringify(result, undefined, 2)}\n` : inWords(result));
    return result.ok ? 0 : 1;
  },
});

function inWords({ workloads, boundMs, tries, tryLater, lost, violations, bindsPerSecondMax }: StormResult): string {
  const lines = [
    `${workloads} workloads bound again: half of them in ${boundMs.p50} ms, 99 % in ${boundMs.p99} ms, all in ${boundMs.max} ms`,
    `at most ${bindsPerSecondMax} in a second; tries of a workload: ${tries.p50} as a rule, at most ${tries.max}; told to come later: ${tryLater}`,
    ...violations.map((violation) => `VIOLATION: ${violation}`),
    lost === 0 && violations.length === 0 ? 'none was lost' : 'FAILED',
  ];
  return `${lines.join('\n')}\n`;
}
