import { option, required } from '../../shim/program/config.js';
import { defineCommand } from '../../shim/program/run.js';
import { choice, flag, name } from '../../shim/program/values.js';
import { agentAddress } from '../cluster.js';
import { criuMsMax } from '../limits.js';
import { Operator, operatorOptions } from '../operator.js';
import { type Column, printJson, printTable, shownBytes, shownMs } from '../output.js';
import type { Blackout, Finding, PreflightReport } from '../preflight/finding.js';
import { wantedMovers } from '../record.js';

/** CRIU's check on both hosts, and the database. */
const preflightMsMax = 2 * criuMsMax;

const columns: readonly Column<Finding>[] = [
  { head: 'severity', cell: ({ severity }) => severity },
  { head: 'code', cell: ({ code }) => code },
  { head: 'where', cell: ({ place }) => place, spare: 1 },
  { head: 'found', cell: ({ found }) => found },
];

export const preflight = defineCommand({
  name: 'preflight',
  summary: 'Says whether a move would work, and what to do where it would not; changes nothing.',
  positional: '<workload>',
  options: {
    to: required(name(), 'node to move to'),
    mover: option(
      { ...choice(...wantedMovers), placeholder: 'MOVER' },
      'own',
      'how it is to be moved, as for holdfast move: own, criu, runc, podman or relink',
    ),
    'allow-unknown': option(flag(), 'false', 'sessions that cannot be watched are no reason against it'),
    'expect-blackout': option(flag(), 'false', 'say also how long the application would wait'),
    json: option(flag(), 'false', 'print everything that was found as JSON'),
    ...operatorOptions,
  },
  examples: [
    ['holdfast preflight orders --to node-b', 'A table of what was found, and what to do'],
    ['holdfast preflight orders --to node-b --expect-blackout', 'Also how long the application would wait'],
    ['holdfast preflight orders --to node-b --json', 'For a program; exit code 1 when a move would fail'],
  ],
  async main({ settings, args }) {
    const operator = new Operator(settings);
    agentAddress(operator.cluster, settings.to);
    const { node, name: workload } = await operator.find(args[0] ?? '');
    const { to, mover, allowUnknown } = settings;
    const request = { name: workload, to, mover, allowUnknown };
    const report = await operator.ask(node, 'preflight', request, { timeoutMs: preflightMsMax });
    if (settings.json) printJson(report);
    else print(report, settings.expectBlackout);
    return report.ok ? 0 : 1;
  },
});

function print(report: PreflightReport, withBlackout: boolean): void {
  const { workload, from, to, ok, findings, sessions, blackout } = report;
  if (findings.length > 0) {
    printTable(columns, findings, '');
    process.stdout.write(`\nWhat it means, and what to do:\n${explained(findings)}\n`);
  }
  if (withBlackout && blackout !== undefined) process.stdout.write(`${blackoutText(blackout)}\n`);
  const verdict = ok ? 'can move' : 'cannot move';
  process.stdout.write(`${workload} ${verdict} from ${from} to ${to}, with ${sessions} database sessions.\n`);
}

/** Each code once, however often it was found. */
function explained(findings: readonly Finding[]): string {
  const byCode = new Map(findings.map((finding) => [finding.code, finding]));
  return [...byCode.values()].map(({ code, means, advice }) => `  ${code}: ${means}.\n    ${advice}.\n`).join('');
}

function blackoutText({ expectedMs, upperMs, memoryBytes, moves }: Blackout): string {
  const basis = moves === 0 ? 'no move to learn from yet' : `learned from ${moves} move${moves === 1 ? '' : 's'}`;
  const range = `about ${shownMs(expectedMs)}, up to ${shownMs(upperMs)}`;
  return `The application would wait ${range} (${shownBytes(memoryBytes)} of memory; ${basis}).`;
}
