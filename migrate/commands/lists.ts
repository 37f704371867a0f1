import { option } from '../../shim/program/config.js';
import { defineCommand } from '../../shim/program/run.js';
import { flag } from '../../shim/program/values.js';
import { Operator, operatorOptions } from '../operator.js';
import { printJson, printRows, shownMs } from '../output.js';

const listOptions = {
  json: option(flag(), 'false', 'print everything that is known, as JSON'),
  ...operatorOptions,
} as const;

export const sessions = defineCommand({
  name: 'sessions',
  summary: 'Lists the database sessions that the proxy holds.',
  options: listOptions,
  examples: [
    ['holdfast sessions', 'A table'],
    ['holdfast sessions --json', 'All that is known of each'],
  ],
  async main({ settings }) {
    const rows = await new Operator(settings).proxy.sessions();
    if (settings.json) printJson(rows);
    else {
      const shown = rows.map((row) => ({
        workload: row.workload,
        stream: row.stream,
        user: row.user,
        service: row.service,
        sid: row.sid,
        'serial#': row.serial,
        calls: row.callsInFlight,
        transaction:
          row.transactionMs === undefined ? row.transaction : `${row.transaction} ${shownMs(row.transactionMs)}`,
        state: row.state,
        from: row.address,
        movable: row.movable === true ? 'yes' : `${row.movable === false ? 'no' : 'unknown'}: ${row.reason}`,
      }));
      printRows(shown, false, 'the proxy holds no sessions');
    }
    return 0;
  },
});

export const workloads = defineCommand({
  name: 'workloads',
  alias: 'ps',
  summary: 'Lists the workloads of all nodes, and what the proxy says of each.',
  options: listOptions,
  examples: [['holdfast workloads', 'A table']],
  async main({ settings }) {
    const operator = new Operator(settings);
    const [answers, bound] = await Promise.all([operator.askAll('workloads', {}), operator.proxy.workloads()]);
    const local = answers.flatMap(({ reply }) => reply ?? []);
    const rows = local.map((workload) => ({ ...workload, link: bound.find(({ name }) => name === workload.name) }));
    if (settings.json) printJson(rows);
    else {
      const shown = rows.map(({ name, node, state, exitCode, pid, link, command }) => ({
        name,
        node,
        state: exitCode === undefined ? state : `${state} ${exitCode}`,
        pid,
        link: link?.state,
        from: link?.address,
        epoch: link?.epoch,
        sessions: link?.sessions,
        command,
      }));
      printRows(shown, false, 'no node that answers has a workload');
    }
    for (const { node, error } of answers) if (error !== undefined) process.stderr.write(`${node}: ${error}\n`);
    return answers.some(({ error }) => error !== undefined) ? 1 : 0;
  },
});

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
      state: error ?? 'up',
      workloads: reply?.workloads,
      criu: reply?.criu.version ?? reply?.criu.missing,
    }));
    printRows(rows, settings.json, 'the cluster file names no nodes');
    return answers.some(({ error }) => error !== undefined) ? 1 : 0;
  },
});
