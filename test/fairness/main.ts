#!/usr/bin/env node
import { option } from '../../shim/program/config.js';
import { runProgram } from '../../shim/program/run.js';
import { count, duration, flag, size } from '../../shim/program/values.js';
import { type Beside, Fairness } from './fairness.js';

await runProgram({
  name: 'holdfast-fairness',
  summary:
    'Measures what a connection that moves a gigabyte does to the round trips of another one of the same application. Exits 1 when they take too long.',
  options: {
    bytes: option(size(), '1GiB', 'what the busy connection moves, once in each direction'),
    quiet: option(duration(), '3s', 'how long the quiet connection is looked at alone'),
    factor: option(count(1, 1_000), '10', 'most times as long as alone that half of the round trips may take'),
    'link-window': option(size(), '256KiB', 'window of the link, at both ends'),
    json: option(flag(), 'false', 'print one JSON object on stdout'),
  },
  examples: [
    ['npm run fairness', 'A table'],
    ['npm run --silent fairness -- --json', 'For programs'],
  ],
  async main({ settings }) {
    const { bytes, quiet, factor, linkWindow, json } = settings;
    const say = (text: string) => void process.stderr.write(`${text}\n`);
    const result = await Fairness.run({ bytes, quietMs: quiet, factorMax: factor, windowBytes: linkWindow, say });
    if (json) process.stdout.write(`${JSON.stringify(result, undefined, 2)}\n`);
    else {
      const { alone, straight } = result;
      const lines = [
        `alone:       p50 ${alone.p50Ms} ms, p99 ${alone.p99Ms} ms`,
        `beside down: ${inWords(result.besideDown)}`,
        `beside up:   ${inWords(result.besideUp)}`,
        `the same with nothing between: p50 ${straight.alone.p50Ms} ms, beside down ${inWords(straight.besideDown)}, beside up ${inWords(straight.besideUp)}`,
        result.ok ? `no more than ${result.factorMax} times` : `FAILED: more than ${result.factorMax} times`,
      ];
      process.stdout.write(`${lines.join('\n')}\n`);
    }
    return result.ok ? 0 : 1;
  },
});

function inWords({ p50Ms, p99Ms, ratio, mebibytesPerSecond }: Beside): string {
  return `p50 ${p50Ms} ms (${ratio.p50} times), p99 ${p99Ms} ms (${ratio.p99} times), at ${mebibytesPerSecond} MiB/s`;
}
