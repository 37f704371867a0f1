import { setTimeout } from 'node:timers/promises';
import type { StatusRow } from '../../proxy/control/contract.js';
import { option } from '../../shim/program/config.js';
import { defineCommand, defineGroup } from '../../shim/program/run.js';
import { duration, flag } from '../../shim/program/values.js';
import { MoveError } from '../errors.js';
import { Operator, operatorOptions } from '../operator.js';
import { type Column, printJson, printTable, reportMissing } from '../output.js';
import type { ProxyView } from '../proxy.js';

type WorkerRow = NonNullable<StatusRow['workers']>[number] | StatusRow;

const columns: readonly Column<WorkerRow>[] = [
  { head: 'version', cell: ({ version }) => version },
  { head: 'keeper', cell: ({ keeperPid }) => keeperPid, align: 'right' },
  { head: 'worker', cell: ({ workerPid }) => workerPid, align: 'right' },
  { head: 'since', cell: ({ startedAt }) => startedAt.slice(0, 19).replace('T', ' ') },
  { head: 'one before', cell: ({ before }) => before },
  { head: 'sessions', cell: ({ sessions }) => sessions, align: 'right' },
  { head: 'protected', cell: ({ protectedSessions }) => protectedSessions, align: 'right' },
  { head: 'journal', cell: journalText },
  { head: 'alarm', cell: ({ alarm }) => (alarm === undefined ? '-' : `${alarm.alarm}: ${alarm.why}`), spare: 1 },
];

function journalText({ journal }: WorkerRow): string {
  if (journal === undefined) return 'off';
  return journal.broken === undefined ? `${Math.ceil(journal.bytes / 2 ** 20)} MiB` : 'broken';
}

const status = defineCommand({
  name: 'status',
  summary:
    'Shows the processes of the proxy, a row for each worker, and how many sessions would outlive a crash of it.',
  options: { json: option(flag(), 'false', 'print everything that is known, as JSON'), ...operatorOptions },
  examples: [['holdfast proxy status', 'A table; holdfast sessions says of each session whether it is protected']],
  async main({ settings }) {
    const found = await new Operator(settings).proxy.status();
    if (settings.json) printJson(found);
    else printTable(columns, found.workers ?? [found], '');
    return reportMissing('proxy status', found.missing);
  },
});

const lookMs = 50;

const upgrade = defineCommand({
  name: 'upgrade',
  summary:
    'Replaces the workers of the proxy by those of the program that is installed now; its options and certificates are read again. Sessions go on, also in the middle of a call.',
  options: {
    wait: option(duration(), '60s', 'how long the new worker may take'),
    json: option(flag(), 'false', 'print the state after it, as JSON'),
    ...operatorOptions,
  },
  examples: [
    [
      'npm install --global holdfast && holdfast proxy upgrade',
      'On the host of the proxy; exit code 1: the old worker goes on',
    ],
    ['holdfast proxy upgrade', 'After a change of the configuration file'],
  ],
  async main({ settings }) {
    const { proxy } = new Operator(settings);
    const before = await wholeStatus(proxy);
    await proxy.upgrade();
    const after = await replaced(proxy, before, settings.wait);
    if (settings.json) printJson(after);
    else {
      for (const { workerPid, version, taken } of workersOf(after)) {
        process.stdout.write(`worker ${workerPid} of version ${version} serves, with ${taken.sessions} sessions\n`);
      }
    }
    return 0;
  },
});

function workersOf(status: StatusRow): readonly WorkerRow[] {
  return status.workers ?? [status];
}

/** @throws {MoveError} upgrade-failed: a worker that does not answer cannot be seen to be replaced */
async function wholeStatus(proxy: ProxyView): Promise<StatusRow> {
  const status = await proxy.status();
  const [silent] = status.missing ?? [];
  if (silent !== undefined) throw new MoveError('upgrade-failed', silent.why);
  return status;
}

/** @throws {MoveError} upgrade-failed */
async function replaced(proxy: ProxyView, before: StatusRow, waitMs: number): Promise<StatusRow> {
  const deadlineMs = performance.now() + waitMs;
  const former = new Set(workersOf(before).map(({ workerPid }) => workerPid));
  while (performance.now() < deadlineMs) {
    const now = await proxy.status();
    const isWhole = now.missing === undefined;
    if (isWhole && workersOf(now).every(({ workerPid }) => !former.has(workerPid))) return now;
    for (const { workerPid, alarm } of workersOf(now)) {
      const known = workersOf(before).find((row) => row.workerPid === workerPid);
      if (known !== undefined && alarm !== undefined && alarm.at !== known.alarm?.at) {
        throw new MoveError('upgrade-failed', `the worker before goes on: ${alarm.why}`);
      }
    }
    await setTimeout(lookMs);
  }
  throw new MoveError('upgrade-failed', `no other worker within ${waitMs} ms; the log of the proxy says why`);
}

export const proxy = defineGroup('Shows the processes of the proxy, and replaces its worker.', { status, upgrade });
