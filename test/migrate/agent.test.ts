import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { pino } from 'pino';
import t, { type Test } from 'tap';
import { freePort } from '../../fixtures/lab/ports.js';
import { Program } from '../../fixtures/lab/program.js';
import { startAgent } from '../../migrate/agent.js';
import type { Cluster } from '../../migrate/cluster.js';
import { type AgentVerbs, agentContract } from '../../migrate/contract.js';
import { lookMs } from '../../migrate/limits.js';
import { type Node, ownWorkload, shimOf, workloadInfo } from '../../migrate/node.js';
import { isAlive, processState, readOrNothing, waitUntil } from '../../migrate/workload/process.js';
import { Store } from '../../migrate/workload/store.js';
import type { RequestOf } from '../../shim/control/rpc.js';
import { callControl } from '../../shim/control/rpc-client.js';
import type { Security } from '../../shim/program/security.js';

const security: Security = { kind: 'plaintext' };
const securitySettings = {
  secretFile: undefined,
  tlsCert: undefined,
  tlsKey: undefined,
  tlsCa: undefined,
  insecurePlaintext: true,
};
const proxyProgram = new URL('../../proxy/main.js', import.meta.url).pathname;
const isRoot = process.getuid?.() === 0;

/** Two agents of this process, a real proxy, and shims that the agents start. node-c has no agent. */
async function installation(t: Test) {
  const root = mkdtempSync(join(tmpdir(), 'hf-'));
  t.teardown(() => rmSync(root, { recursive: true, force: true }));
  const at = async (host: string) => ({ host, port: await freePort(host) });
  const proxy = { data: await at('127.0.0.1'), control: await at('127.0.0.1') };
  const nodes = {
    'node-a': { agent: await at('127.0.0.2') },
    'node-b': { agent: await at('127.0.0.3') },
    'node-c': { agent: await at('127.0.0.4') },
  };
  const cluster: Cluster = { nodes, proxy };
  const listen = ['--listen', `127.0.0.1:${proxy.data.port}`, '--control-listen', `127.0.0.1:${proxy.control.port}`];
  const args = [proxyProgram, '--database', '127.0.0.1:1', ...listen, '--insecure-plaintext'];
  const proxyProcess = new Program('holdfast-proxy', { file: process.execPath, args });
  t.teardown(() => proxyProcess.stop());
  await proxyProcess.printed(/ready/);
  const agents = new Map<string, Node>();
  for (const name of ['node-a', 'node-b']) {
    const store = new Store(join(root, 'state'));
    const log = pino({ level: 'silent' });
    const node: Node = {
      name,
      cluster,
      security,
      securitySettings,
      store,
      tools: { criu: '/nonexistent/criu', runc: '/nonexistent/runc', podman: '/nonexistent/podman' },
      log,
      busy: new Set(),
      moves: new Map(),
      hooks: { directory: join(root, 'hooks'), timeoutMs: 20_000 },
    };
    const server = await startAgent(node);
    agents.set(name, node);
    t.teardown(() => server.close());
  }
  const ask = <Name extends keyof AgentVerbs>(
    node: keyof typeof nodes,
    verb: Name,
    request: RequestOf<AgentVerbs[Name]>,
  ) =>
    callControl(agentContract, { address: nodes[node].agent, security, expect: { role: 'agent' } }, verb, request, {
      timeoutMs: 0,
    });
  const run = async (t: Test, name: string, command: string[]) => {
    const started = await ask('node-a', 'run', {
      name,
      command,
      cwd: root,
      env: { NAME: name },
      listen: { host: '127.0.0.1', port: 0 },
    });
    t.teardown(async () => {
      const at = agents.get('node-a')?.store.read(name)?.node;
      if (at === 'node-a' || at === 'node-b') await ask(at, 'stop', { name });
    });
    await proxyProcess.printed(new RegExp(`"workload":"${name}".*"bound"`));
    // The proxy knows it first: a move that begins before the shim has heard of it is refused as not-bound.
    const node = agents.get('node-a');
    if (node === undefined) throw new Error('there is no node-a');
    const hasHeard = () => {
      const { state } = workloadInfo(node, ownWorkload(node, name));
      if (state === 'ended') return true;
      return shimOf(node, name)
        .status()
        .then(
          (status) => status.state === 'bound',
          () => false,
        );
    };
    while (!(await hasHeard())) await setTimeout(lookMs);
    return started;
  };
  return { ask, run, proxyProcess, root };
}

const { ask, run, proxyProcess, root } = await installation(t);
const find = async (node: 'node-a' | 'node-b', wanted: string) =>
  (await ask(node, 'workloads', {})).find(({ name }) => name === wanted);

t.test('a workload runs until its application ends, and its exit code is known', async (t) => {
  const started = await run(t, 'short', ['sh', '-c', 'exit 7']);
  t.match(started, { name: 'short', node: 'node-a', state: 'running', isolated: isRoot });
  const exitFile = join(root, 'state/workloads/short/exit');
  t.ok(await waitUntil(() => readOrNothing(exitFile) !== undefined, 60_000));
  const alive = () => isAlive(started.pid, processState(started.pid)?.startTicks ?? '');
  t.ok(await waitUntil(() => !alive(), 60_000), 'the shim ends with the application');
  t.match(await find('node-a', 'short'), { state: 'ended', exitCode: 7 });
  t.match(
    await ask('node-a', 'run', {
      name: 'short',
      command: ['sleep', '60'],
      cwd: '/',
      env: {},
      listen: { host: '127.0.0.1', port: 0 },
    }),
    { state: 'running' },
    'the name is free again',
  );
});

t.test('an application that takes no notice of SIGTERM at first keeps its own exit code', async (t) => {
  const script = 'trap "echo asked" TERM; echo ready; while [ ! -e go ]; do sleep 0.05; done; exit 5';
  const { pid } = await run(t, 'deaf', ['sh', '-c', script]);
  const directory = join(root, 'state/workloads/deaf');
  const printed = (what: string) =>
    waitUntil(() => readOrNothing(join(directory, 'app.log'))?.includes(what) ?? false, 60_000);
  await printed('ready');
  process.kill(pid, 'SIGTERM');
  t.ok(await printed('asked'));
  writeFileSync(join(root, 'go'), '');
  t.ok(await waitUntil(() => readOrNothing(join(directory, 'exit')) === '5\n', 60_000));
});

t.test('stop hands SIGTERM to the application and waits for the tree', async (t) => {
  await run(t, 'long', ['sh', '-c', 'trap "exit 9" TERM; echo ready; while :; do sleep 0.05; done']);
  const printed = () => readOrNothing(join(root, 'state/workloads/long/app.log')) ?? '';
  t.ok(await waitUntil(() => printed().includes('ready'), 60_000));
  t.same(await ask('node-a', 'stop', { name: 'long' }), { exitCode: 9 });
  t.match(await find('node-a', 'long'), { state: 'ended', exitCode: 9 });
});

t.test('a second workload of the same name, or one whose shim cannot listen, is refused', async (t) => {
  await run(t, 'one', ['sleep', '60']);
  const request = { command: ['sleep', '60'], cwd: root, env: {}, listen: { host: '127.0.0.1', port: 0 } };
  await t.rejects(ask('node-b', 'run', { name: 'one', ...request }), { code: 'workload-exists' });
  const bad = { ...request, listen: { host: '192.0.2.1', port: 1 } };
  await t.rejects(ask('node-a', 'run', { name: 'two', ...bad }), { code: 'start-failed', message: /192\.0\.2\.1/ });
});

t.test('relink binds the same shim again from the address of the other node', async (t) => {
  const started = await run(t, 'orders-3', ['sleep', '60']);
  const record = await ask('node-a', 'move', { name: 'orders-3', to: 'node-b', mover: 'relink' });
  t.match(record, {
    outcome: 'moved',
    from: { node: 'node-a', address: '127.0.0.1' },
    to: { node: 'node-b', address: '127.0.0.3' },
    epoch: { before: 1, after: 2 },
    warnings: [],
  });
  t.same(
    record.phases.map(({ phase }) => phase),
    ['preflight', 'detach', 'bind', 'verify', 'retire'],
  );
  t.match(await find('node-b', 'orders-3'), { node: 'node-b', pid: started.pid, state: 'running' });
  t.equal(await find('node-a', 'orders-3'), undefined);
  const back = await ask('node-b', 'move', { name: 'orders-3', to: 'node-a', mover: 'relink' });
  t.match(back, { outcome: 'moved', to: { address: '127.0.0.2' }, epoch: { before: 2, after: 3 } });

  const { move } = record;
  t.match(await ask('node-a', 'history', { workload: 'orders-3', most: 10 }), [{ move, from: 'node-a', to: 'node-b' }]);
  t.same(await ask('node-a', 'history', { workload: 'another', most: 10 }), []);
  const { sealed } = await ask('node-a', 'showMove', { move });
  t.same(sealed?.record, record, 'as it was given to who asked');
  t.same(await ask('node-b', 'showMove', { move }), {}, 'kept by the agent that made it');
  t.match(await ask('node-a', 'verifyMoves', { move }), { faults: [], seal: { n: sealed?.n, hash: sealed?.hash } });
  t.same(await ask('node-a', 'resumeMove', { move }), record, 'what has ended stays as it is');
  t.same(await ask('node-a', 'abortMove', { move, by: { user: 'u', host: 'h' } }), { state: 'ended' });
  await t.rejects(ask('node-a', 'resumeMove', { move: 'none' }), { code: 'unknown-move' });
});

t.test('what is wrong with the request is said before anything has begun', async (t) => {
  await run(t, 'orders-4', ['sleep', '60']);
  const move = (name: string, to: string) => ask('node-a', 'move', { name, to, mover: 'relink' });
  await t.rejects(move('nothing', 'node-b'), { code: 'unknown-workload' });
  await t.rejects(move('orders-4', 'node-x'), { code: 'unknown-node' });
  await t.rejects(move('orders-4', 'node-a'), { code: 'same-node' });
  const [first, second] = await Promise.allSettled([move('orders-4', 'node-b'), move('orders-4', 'node-b')]);
  t.match(first, { status: 'fulfilled', value: { outcome: 'moved' } });
  t.match(second, { status: 'rejected', reason: { code: 'move-in-progress' } });
  await ask('node-b', 'stop', { name: 'orders-4' });
  await t.rejects(ask('node-b', 'move', { name: 'orders-4', to: 'node-a', mover: 'relink' }), {
    code: 'workload-ended',
  });
});

t.test('preflight finds everything at once, and changes nothing', async (t) => {
  const { pid } = await run(t, 'orders-6', ['sleep', '60']);
  const preflight = (to: string, mover: 'criu' | 'relink') =>
    ask('node-a', 'preflight', { name: 'orders-6', to, mover });
  const relink = await preflight('node-b', 'relink');
  t.match(relink, {
    ok: true,
    workload: 'orders-6',
    from: 'node-a',
    to: 'node-b',
    sessions: 0,
    blackout: { memoryBytes: 0 },
  });
  t.same(relink.findings, []);
  const criu = await preflight('node-b', 'criu');
  t.equal(criu.ok, false);
  t.same(
    criu.findings.filter(({ code }) => code === 'criu-missing').map(({ place }) => place),
    ['source', 'target'],
  );
  t.ok((criu.blackout?.memoryBytes ?? 0) > 2 ** 20, 'the memory of shim and application');
  const silent = await preflight('node-c', 'criu');
  t.match(silent.findings, [
    { code: 'agent-unreachable', place: 'target', severity: 'blocks', advice: /cluster file/ },
  ]);
  t.ok(
    silent.findings.some(({ code }) => code === 'criu-missing'),
    'the source was asked all the same',
  );
  t.match(await find('node-a', 'orders-6'), { state: 'running', pid, moving: undefined });
  await t.rejects(preflight('node-a', 'relink'), { code: 'same-node' });
});

t.test('a target that does not see the shared directory, or other processes, is found', async (t) => {
  const { pid } = await run(t, 'orders-7', ['sleep', '60']);
  const request = { workload: 'orders-7', mover: 'relink' as const, ports: [], files: ['/', '/nonexistent/x'] };
  const startTicks = processState(pid)?.startTicks ?? '';
  const seen = await ask('node-b', 'inspect', { ...request, process: { pid, startTicks } });
  t.match(seen, { sharesState: true, files: [{ kind: 'directory' }, { kind: 'missing' }] });
  const other = await ask('node-b', 'inspect', { ...request, process: { pid, startTicks: 'another' } });
  t.match(other, { sharesState: false });
});

t.test('hooks run at their points with the record, and one that fails before the detach stops the move', async (t) => {
  await run(t, 'orders-7', ['sleep', '60']);
  const directory = join(root, 'hooks');
  const seen = join(root, 'seen');
  mkdirSync(directory);
  const hook = (name: string, script: string) => {
    writeFileSync(join(directory, name), `#!/bin/sh\ncat >>'${seen}'\n${script}\n`, { mode: 0o700 });
  };
  for (const name of ['pre-detach', 'post-bind', 'on-abort']) hook(name, 'exit 0');
  const points = () => {
    const lines = readOrNothing(seen)?.trim().split('\n') ?? [];
    rmSync(seen, { force: true });
    return lines.map((line) => JSON.parse(line));
  };
  const move = (to: string) => ask('node-a', 'move', { name: 'orders-7', to, mover: 'relink' });
  t.match(await move('node-b'), { outcome: 'moved', warnings: [] });
  const names = { workload: 'orders-7', from: { node: 'node-a' }, to: { node: 'node-b' } };
  t.match(points(), [
    { hook: 'pre-detach', ...names, epoch: { before: 1 } },
    { hook: 'post-bind', ...names, epoch: { after: 2 } },
  ]);
  hook('post-bind', 'echo no mail; exit 1');
  const back = await ask('node-b', 'move', { name: 'orders-7', to: 'node-a', mover: 'relink' });
  t.match(back, { outcome: 'moved', warnings: [{ code: 'hook-failed', message: /post-bind: ended with 1: no mail/ }] });
  points();
  hook('pre-detach', 'echo not now >&2; exit 3');
  t.match(await move('node-b'), {
    outcome: 'put-back',
    running: 'source',
    error: { code: 'hook-failed', phase: 'preflight', message: 'pre-detach: ended with 3: not now' },
  });
  t.match(points(), [{ hook: 'pre-detach' }, { hook: 'on-abort', ...names, outcome: 'put-back' }]);
  rmSync(directory, { recursive: true });
});

t.test('what preflight finds leaves the source bound as it was', async (t) => {
  await run(t, 'orders-5', ['sleep', '60']);
  const move = (to: string, mover: 'criu' | 'relink') => ask('node-a', 'move', { name: 'orders-5', to, mover });
  t.match(await move('node-c', 'relink'), {
    outcome: 'put-back',
    error: { code: 'agent-unreachable', phase: 'preflight' },
  });
  t.match(await move('node-b', 'criu'), {
    outcome: 'put-back',
    error: { code: isRoot ? 'criu-missing' : 'not-isolated' },
  });
  const workload = await find('node-a', 'orders-5');
  t.match(workload, { state: 'running', node: 'node-a' });
  t.equal(workload?.moving, undefined);
  t.match(
    await move('node-b', 'relink'),
    { outcome: 'moved', epoch: { before: 1, after: 2 } },
    'and nothing stands in the way later',
  );
  await proxyProcess.stop();
  const record = await ask('node-b', 'move', { name: 'orders-5', to: 'node-a', mover: 'relink' });
  t.match(record, { outcome: 'put-back', error: { code: 'proxy-unreachable', source: 'runs on as before' } });
});
