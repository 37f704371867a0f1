import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pino } from 'pino';
import t, { type Test } from 'tap';
import { stringify } from 'yaml';
import { freePort } from '../../fixtures/lab/ports.js';
import { Program } from '../../fixtures/lab/program.js';
import { type AgentVerbs, agentContract } from '../../migrate/contract.js';
import type { NodeLoad } from '../../migrate/fleet/messages.js';
import { type MoveRecord, moveRecord } from '../../migrate/record.js';
import { type Handlers, serveControl } from '../../shim/control/rpc-server.js';

/** Agents that only tell a load and note who is to be moved: real ones of one machine all have the same. */
const cli = new URL('../../migrate/cli.js', import.meta.url).pathname;
const log = pino({ level: 'silent' });

async function fleet(t: Test, loads: Readonly<Record<string, NodeLoad>>) {
  const moved: string[] = [];
  const failing = new Set<string>();
  const nodes: Record<string, { agent: string }> = {};
  for (const [name, load] of Object.entries(loads)) {
    const address = { host: '127.0.0.1', port: await freePort('127.0.0.1') };
    nodes[name] = { agent: `${address.host}:${address.port}` };
    const unasked = Object.keys(agentContract.verbs).map((verb) => [verb, () => Promise.reject(new Error(verb))]);
    const handlers: Handlers<AgentVerbs> = {
      ...(Object.fromEntries(unasked) as Handlers<AgentVerbs>),
      load: async () => load,
      move: async ({ name: workload, to }) => {
        moved.push(`${workload} to ${to}`);
        if (failing.has(workload)) throw Object.assign(new Error('no CRIU'), { code: 'criu-missing' });
        return recordOf(workload);
      },
    };
    const server = await serveControl(agentContract, handlers, { address, security: { kind: 'plaintext' } }, { log });
    t.teardown(() => server.close());
  }
  const directory = t.testdir();
  const cluster = join(directory, 'cluster.yaml');
  writeFileSync(cluster, stringify({ nodes, proxy: { data: '127.0.0.1:1', control: '127.0.0.1:1' } }));
  const state = join(directory, 'state/rebalance.json');
  const rebalance = async (...words: string[]) => {
    const files = ['--cluster', cluster, '--state', state, '--insecure-plaintext', '--json'];
    const program = new Program('rebalance', { file: process.execPath, args: [cli, 'rebalance', ...files, ...words] });
    t.teardown(() => program.stop());
    const { code, stdout, stderr } = await program.ended;
    return { code, stderr, reply: JSON.parse(stdout) };
  };
  return { rebalance, moved, failing, state };
}

function recordOf(workload: string): MoveRecord {
  const place = { node: '', address: '' };
  const dark = { total: 1, detach: 0, freeze: 0, transfer: 0, restore: 0, bind: 1 };
  return moveRecord.parse({
    ...{ move: 'm1', workload, mover: 'criu', outcome: 'moved', startedAt: '', endedAt: '', running: 'target' },
    ...{ from: place, to: place, phases: [], blackoutMs: dark, epoch: { before: 1, after: 2 }, resumes: 0 },
    ...{ replayedBytes: { up: 0, down: 0 }, sessions: [], warnings: [], by: { user: '', host: '' } },
  });
}

function nodeWith(node: string, workloads: number): NodeLoad {
  return {
    ...{ node, cpus: 4, cpuBusy: workloads / 8, evacuating: false },
    memory: { totalBytes: 1_000, availableBytes: 900 },
    workloads: Array.from({ length: workloads }, (_, index) => ({
      ...{ name: `w${index}`, labels: {}, memoryBytes: 1, cpus: 0.5 },
    })),
  };
}

t.test(
  'moves are proposed, made when that is asked for and it has lasted, and not again while it cools down',
  async (t) => {
    const { rebalance, moved, state } = await fleet(t, {
      'node-a': nodeWith('node-a', 6),
      'node-b': nodeWith('node-b', 0),
    });
    const first = await rebalance('--do');
    t.match(first, { code: 0, reply: { verdict: 'not-for-long', moves: [{}, {}, {}] } });
    t.match(await rebalance('--for', '0'), { code: 0, reply: { verdict: 'act', moved: [] } });
    t.strictSame(moved, [], 'nobody has asked for it to be done');
    const done = await rebalance('--do', '--for', '0', '--moves-max', '2');
    t.match(done, { code: 0, reply: { verdict: 'act', moved: ['w0', 'w1'] } });
    t.strictSame(moved, ['w0 to node-b', 'w1 to node-b']);
    t.ok(existsSync(state));
    t.match(await rebalance('--do', '--for', '0'), { code: 0, reply: { verdict: 'cooling-down', moved: [] } });
    t.equal(moved.length, 2);
  },
);

t.test('a move that fails ends the round, and cools down too', async (t) => {
  const { rebalance, moved, failing } = await fleet(t, {
    'node-a': nodeWith('node-a', 6),
    'node-b': nodeWith('node-b', 0),
  });
  failing.add('w0');
  const failed = await rebalance('--do', '--for', '0');
  t.match(failed, { code: 1, stderr: /no CRIU/ });
  t.strictSame(moved, ['w0 to node-b']);
  t.match(await rebalance('--do', '--for', '0'), { reply: { verdict: 'cooling-down' } });
});

t.test('an even load, or a node alone, moves nothing', async (t) => {
  const even = await fleet(t, { 'node-a': nodeWith('node-a', 2), 'node-b': nodeWith('node-b', 2) });
  t.match(await even.rebalance('--do', '--for', '0'), { code: 0, reply: { verdict: 'even', moves: [] } });
  const alone = await fleet(t, { 'node-a': nodeWith('node-a', 2) });
  t.match(await alone.rebalance('--do'), { code: 1, reply: { error: { code: 'no-target' } } });
});
