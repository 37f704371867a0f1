import type { SessionRow, WorkloadRow } from '../../proxy/control/contract.js';
import { option } from '../../shim/program/config.js';
import { defineCommand } from '../../shim/program/run.js';
import { flag } from '../../shim/program/values.js';
import type { WorkloadInfo } from '../contract.js';
import type { MoveError } from '../errors.js';
import { Operator, operatorOptions } from '../operator.js';
import { type Column, printJson, printTable, reportMissing, shownMs } from '../output.js';

const listOptions = {
  json: option(flag(), 'false', 'print everything that is known, as JSON'),
  ...operatorOptions,
} as const;

export const sessionColumns: readonly Column<SessionRow>[] = [
  { head: 'workload', cell: ({ workload }) => workload },
  { head: 'sid', cell: ({ sid, stale }) => (stale ? `${sid}?` : sid), align: 'right' },
  { head: 'serial#', cell: ({ serial }) => serial, align: 'right' },
  { head: 'user', cell: ({ user }) => user, spare: 1 },
  { head: 'service', cell: ({ service }) => service, spare: 2 },
  { head: 'program', cell: ({ program }) => program, spare: 6 },
  { head: 'driver', cell: ({ driver }) => driver, spare: 7 },
  { head: 'doing', cell: activity },
  { head: 'transaction', cell: transaction, align: 'right' },
  { head: 'link', cell: ({ state }) => state },
  { head: 'from', cell: ({ address }) => address, spare: 3 },
  { head: 'calls', cell: ({ callsTotal }) => callsTotal, align: 'right', spare: 5 },
  { head: 'protected', cell: protection, spare: 4 },
  { head: 'movable', cell: movability },
];

function activity({ phase, callsInFlight, callMs, lastFunction }: SessionRow): string {
  if (phase !== 'ready') return phase;
  if (callsInFlight === 0) return 'idle';
  const call = `in ${lastFunction ?? 'a call'}${callMs === undefined ? '' : ` ${shownMs(callMs)}`}`;
  return callsInFlight === 1 ? call : `${call} +${callsInFlight - 1}`;
}

function transaction(row: SessionRow): string {
  if (row.transaction === 'open' && row.transactionMs !== undefined) return `open ${shownMs(row.transactionMs)}`;
  return row.transaction === 'none' ? '-' : row.transaction;
}

function movability({ movable, reason, callsInFlight }: SessionRow): string {
  const why = reason === 'pipelined' ? `pipelined(${callsInFlight})` : reason;
  return `${movable === true ? 'yes' : movable === false ? 'no' : 'unknown'}: ${why}`;
}

/** Whether it would outlive a crash of the proxy's worker, or why not. */
function protection({ protection: state }: SessionRow): string {
  return state === 'protected' ? 'yes' : `no: ${state}`;
}

export const sessions = defineCommand({
  name: 'sessions',
  summary: 'Lists the database sessions that the proxy holds.',
  options: listOptions,
  examples: [
    ['holdfast sessions', 'A table; a narrow terminal gets fewer columns'],
    ['holdfast sessions --json', 'All that is known of each'],
    [
      `holdfast sessions --json | jq '.[] | select(.protection != "protected")'`,
      'Sessions that are not protected against a worker crash, with the reason',
    ],
  ],
  async main({ settings }) {
    const { sessions: rows, missing } = await new Operator(settings).proxy.sessionList();
    if (settings.json) printJson(rows);
    else printTable(sessionColumns, rows, 'the proxy holds no sessions');
    return reportMissing('sessions', missing);
  },
});

/** A workload as its node and the proxy know it; a shim that no agent has started has no node. */
type WorkloadView = Partial<WorkloadInfo> & { readonly name: string; readonly link?: WorkloadRow };

const workloadColumns: readonly Column<WorkloadView>[] = [
  { head: 'workload', cell: ({ name }) => name },
  { head: 'node', cell: ({ node }) => node ?? '-' },
  { head: 'state', cell: workloadState },
  { head: 'pid', cell: ({ pid }) => pid, align: 'right', spare: 2 },
  { head: 'sessions', cell: ({ link }) => link?.sessions, align: 'right' },
  { head: 'link', cell: linkState },
  { head: 'from', cell: ({ link }) => link?.address, spare: 1 },
  { head: 'moves', cell: ({ link }) => link && link.epoch - 1, align: 'right', spare: 3 },
  { head: 'command', cell: ({ command }) => command?.join(' ') },
];

function workloadState({ state, exitCode, moving }: WorkloadView): string {
  if (state === undefined) return '-';
  if (moving !== undefined) return `moving to ${moving}`;
  return exitCode === undefined ? state : `${state} (${exitCode})`;
}

function linkState({ link }: WorkloadView): string {
  if (link === undefined) return '-';
  if (link.state === 'held' && link.pinned) return 'held, pinned';
  if (link.expiresMs === undefined) return `${link.state} ${shownMs(link.sinceMs)}`;
  return `${link.state}, ${shownMs(link.expiresMs)} left`;
}

export const workloads = defineCommand({
  name: 'workloads',
  alias: 'ps',
  summary: 'Lists the workloads of all nodes, and what the proxy says of each.',
  options: listOptions,
  examples: [['holdfast workloads', 'A table']],
  async main({ settings }) {
    const operator = new Operator(settings);
    const [answers, proxy] = await Promise.all([operator.askAll('workloads', {}), operator.askProxy()]);
    const local = answers.flatMap(({ reply }) => reply ?? []);
    const rows = joined(local, proxy.reply?.workloads ?? []);
    if (settings.json) printJson(rows);
    else printTable(workloadColumns, rows, 'there are no workloads');
    return reportMissing('workloads', proxy.reply?.missing) || reportSilent('workloads', [...answers, proxy]);
  },
});

/** An older life of a workload may still be held under the same name: the one that is bound goes first. */
function joined(local: readonly WorkloadInfo[], links: readonly WorkloadRow[]): readonly WorkloadView[] {
  const bound = [...links].sort((one, other) => one.state.localeCompare(other.state));
  const managed = local.map((workload) => {
    const link = bound.find(({ name }) => name === workload.name);
    return link === undefined ? workload : { ...workload, link };
  });
  const others = links.filter(({ name }) => !local.some((workload) => workload.name === name));
  return [...managed, ...others.map((link) => ({ name: link.name, link }))];
}

export const nodes = defineCommand({
  name: 'nodes',
  summary: 'Lists the nodes of the cluster file, and whether they can take a workload.',
  options: listOptions,
  examples: [['holdfast nodes', 'A table']],
  async main({ settings }) {
    const operator = new Operator(settings);
    const answers = await operator.askAll('info', {});
    const rows = answers.map(({ node, reply, error }) => ({
      node,
      agent: operator.cluster.nodes[node]?.agent.host,
      state: error?.code ?? 'up',
      workloads: reply?.workloads,
      criu: shownTool(reply?.carriers.criu),
      runc: shownTool(reply?.carriers.runc),
      podman: shownTool(reply?.carriers.podman),
    }));
    if (settings.json) printJson(rows);
    else printTable(nodeColumns, rows, 'the cluster file names no nodes');
    return reportSilent('nodes', answers);
  },
});

function shownTool(
  state: { version?: string | undefined; missing?: string | undefined } | undefined,
): string | undefined {
  return state?.version ?? (state?.missing && `no: ${state.missing}`);
}

interface NodeView {
  readonly node: string;
  readonly agent: string | undefined;
  readonly state: string;
  readonly workloads: number | undefined;
  readonly criu: string | undefined;
  readonly runc: string | undefined;
  readonly podman: string | undefined;
}

const nodeColumns: readonly Column<NodeView>[] = [
  { head: 'node', cell: ({ node }) => node },
  { head: 'agent', cell: ({ agent }) => agent },
  { head: 'state', cell: ({ state }) => state },
  { head: 'workloads', cell: ({ workloads }) => workloads, align: 'right' },
  { head: 'criu', cell: ({ criu }) => criu ?? '-' },
  { head: 'runc', cell: ({ runc }) => runc ?? '-', spare: 1 },
  { head: 'podman', cell: ({ podman }) => podman ?? '-', spare: 2 },
];

/** The list is not whole: a line for each part that gave no answer. @returns the exit code */
export function reportSilent(command: string, answers: readonly { readonly error?: MoveError }[]): number {
  const errors = answers.flatMap(({ error }) => error ?? []);
  for (const { code, message } of errors) process.stderr.write(`holdfast ${command}: ${code}: ${message}\n`);
  return errors.length === 0 ? 0 : 1;
}
