import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import t, { type Test } from 'tap';
import type { Ended } from '../../fixtures/lab/program.js';
import { node, openWorld } from '../../fixtures/lab/world.js';
import type { MoveErrorCode } from '../../migrate/errors.js';
import { Stage } from '../e2e/stage.js';
import { Witness } from '../e2e/witness.js';
import { secretFile } from './parts.js';

/**
 * One application goes through all of this in one transaction. After each error it must go on inserting, in the same session
 * of Oracle and the same transaction of the same process of PostgreSQL; at the end it commits, and every row is there.
 * What can only go wrong with CRIU is in test/lab/move.lab.ts.
 */

const noCriu = '/nonexistent/criu';
const isRoot = process.getuid?.() === 0;
const world = await openWorld({ mover: 'relink', criu: { 'node-a': noCriu, 'node-b': noCriu } });
t.teardown(() => world.close());
const witness = await Witness.open(world.postgresUrl);
t.teardown(() => witness.close());
const stage = new Stage({ world, witness, name: 'orders', waitMs: 60_000 });
await stage.start(20, [{ do: 'create' }, { do: 'insertUntil', gate: 'enough' }, { do: 'commit' }]);

await stage.event({ begun: 'insertUntil' });
const [first] = await stage.until('transaction', async () => {
  const places = await stage.places();
  return places[0]?.databaseXid ? places : undefined;
});
if (first === undefined) throw new Error('there is no session');

/** One line with the code on stderr, the same in JSON, exit code 1, and the application goes on as if nothing had been. */
async function refused(t: Test, code: MoveErrorCode, about: RegExp, ...words: readonly string[]): Promise<void> {
  const [verb = '', ...rest] = words;
  await checkRefused(t, code, about, verb, await world.holdfast(verb, '--json', ...rest));
}

async function checkRefused(t: Test, code: string, about: RegExp, verb: string, ended: Ended): Promise<void> {
  t.equal(ended.code, 1);
  const { error } = JSON.parse(ended.stdout);
  t.match(error, { code, message: about });
  const lines = ended.stderr.trimEnd().split('\n');
  const isProgress = (line: string) => line.startsWith('{"kind":');
  const [line, ...more] = lines.filter((each) => !isProgress(each));
  t.match(line, new RegExp(`^holdfast ${verb}: ${code}: `));
  t.strictSame(more, [], 'one line');
  await unharmed(t);
}

/** Asks PostgreSQL: it is told of each SID and serial#, and knows when its last statement began. */
async function unharmed(t: Test): Promise<void> {
  const { sid, serial, databasePid, databaseXid } = { ...first };
  const look = () => witness.backend(sid ?? 0, serial ?? 0);
  const now = await look();
  t.match(now, { databasePid, databaseXid }, 'the same session and transaction');
  const next = await stage.until('the next row', async () => {
    const later = await look();
    return later?.queryStart === now?.queryStart ? undefined : later;
  });
  t.match(next, { databasePid, databaseXid }, 'and it goes on');
  t.equal(await witness.visibleRows(stage.table), 0, 'still uncommitted');
}

const relink = ['--mover', 'relink'] as const;
const files = world.files;
/** The options of this installation with one of them changed. */
const others = (flag: string, value: string) => files.map((word, index) => (files[index - 1] === flag ? value : word));
const movesDirectory = join(world.directory, 'state/workloads/orders/moves');
/** Starts a move and waits until it has begun. */
async function beginMove() {
  const known = new Set(existsSync(movesDirectory) ? readdirSync(movesDirectory) : []);
  const words = ['move', 'orders', '--to', 'node-b', ...relink, '--json', ...files];
  const moving = world.start('moving', 'center', node(world.programs.holdfast, ...words));
  await stage.until('a move', () => {
    const names = existsSync(movesDirectory) ? readdirSync(movesDirectory) : [];
    return names.some((name) => !known.has(name)) || undefined;
  });
  return moving;
}

t.test('a workload, a node, or a place that is not as it was asked for', async (t) => {
  await refused(t, 'unknown-workload', /no workload nothing at node-a, node-b/, 'move', 'nothing', '--to', 'node-b');
  await refused(t, 'unknown-node', /no node node-x.*node-a, node-b/, 'move', 'orders', '--to', 'node-x');
  await refused(t, 'same-node', /orders is at node-a already/, 'move', 'orders', '--to', 'node-a', ...relink);
  await refused(t, 'workload-exists', /orders already, at node-a/, 'run', '--name', 'orders', '--', 'true');
  const nothing = ['--name', 'other', '--', 'no-such-program', '--flag'];
  await refused(t, 'start-failed', /there is no program no-such-program/, 'run', ...nothing);
  await refused(t, 'unknown-node', /node-x/, 'run', '--node', 'node-x', '--name', 'other', '--', 'true');
});

t.test('CRIU that does not work, or an agent that may not use it', async (t) => {
  const code = isRoot ? 'criu-missing' : 'not-isolated';
  await refused(
    t,
    code,
    isRoot ? /\/nonexistent\/criu ENOENT/ : /run the agent as root/,
    'move',
    'orders',
    '--to',
    'node-b',
  );
});

/** Moves in the audit log of the proxy, as far as the proxy has seen them begin. */
const auditedMoves = () =>
  readFileSync(join(world.directory, 'audit.log'), 'utf8')
    .split('\n')
    .filter((line) => line.includes('"event":"move"'))
    .map((line) => JSON.parse(line));

t.test('a second move while one runs is refused, and the first one completes', async (t) => {
  world.agent('node-b').child.kill('SIGSTOP');
  const moving = await beginMove();
  // At the same time: the first move does not wait for its target for ever.
  const [second, stop] = await Promise.all([
    world.holdfast('move', '--json', 'orders', '--to', 'node-b', ...relink),
    world.holdfast('stop', '--json', 'orders'),
  ]);
  world.agent('node-b').child.kill('SIGCONT');
  t.match(await moving.ended, { code: 0 });
  await checkRefused(t, 'move-in-progress', /wait until that has ended/, 'move', second);
  t.match(stop, { code: 1, stderr: /^holdfast stop: move-in-progress: / });
  t.match(await world.holdfast('move', 'orders', '--to', 'node-a', ...relink), { code: 0 });
  const [move, back] = auditedMoves().slice(-2);
  t.match(move, {
    workload: 'orders',
    epoch: 2,
    by: { user: String, host: String, peer: 'a peer trusted by secret' },
    move: { mover: 'relink', outcome: 'moved', from: 'node-a', to: 'node-b', epochBefore: 1, epochAfter: 2 },
  });
  t.match(back.move, { outcome: 'moved', from: 'node-b', to: 'node-a', epochBefore: 2, epochAfter: 3 });
  await unharmed(t);
});

t.test('a moment that does not come: nothing is moved, or the move is made all the same', async (t) => {
  const wait = ['--when', 'transaction-end', '--deadline', '300ms', ...relink] as const;
  const ended = await world.holdfast('move', '--json', 'orders', '--to', 'node-b', ...wait, '--then', 'give-up');
  await checkRefused(
    t,
    'deadline-passed',
    /transaction-end has not come within 300 ms: session .* is in a /,
    'move',
    ended,
  );
  t.match(ended.stderr, /"kind":"waiting","sessions":1/);
  t.match(await world.holdfast('move', 'orders', '--to', 'node-b', ...wait, '--then', 'move'), { code: 0 });
  const calm = await world.holdfast('move', '--json', 'orders', '--to', 'node-a', '--when', 'call-end', ...relink);
  t.equal(calm.code, 0, calm.stderr);
  const { phases, sessions } = JSON.parse(calm.stdout);
  t.match(phases[1], { phase: 'quiesce' });
  t.match(sessions, [{ callsInFlight: { before: 0 }, same: true }], 'between two calls');
  await unharmed(t);
});

t.test('a target that dies in mid-move, and one that is down', async (t) => {
  world.agent('node-b').child.kill('SIGSTOP');
  const moving = await beginMove();
  world.agent('node-b').child.kill('SIGKILL');
  await checkRefused(t, 'agent-unreachable', /agent of node-b/, 'move', await moving.ended);
  t.match(auditedMoves().at(-1)?.move, { outcome: 'put-back', code: 'agent-unreachable', to: 'node-b' });
  await refused(t, 'agent-unreachable', /node-b.*ECONNREFUSED/, 'move', 'orders', '--to', 'node-b', ...relink);
  const nodes = await world.holdfast('nodes', '--json');
  t.match(nodes, {
    code: 1,
    stderr: /^holdfast nodes: agent-unreachable: agent of node-b[^\n]*is it running\?[^\n]*\n$/,
  });
  t.match(JSON.parse(nodes.stdout), [
    { node: 'node-a', state: 'up' },
    { node: 'node-b', state: 'agent-unreachable' },
  ]);
  await world.restartAgent('node-b');
});

t.test('a source whose agent dies in mid-move', async (t) => {
  world.agent('node-b').child.kill('SIGSTOP');
  const moving = await beginMove();
  world.agent('node-a').child.kill('SIGKILL');
  const ended = await moving.ended;
  world.agent('node-b').child.kill('SIGCONT');
  await world.restartAgent('node-a');
  await checkRefused(t, 'agent-unreachable', /node-a has gone away \(start it again/, 'move', ended);
});

t.test('an agent that is stopped in order lets its moves end first', async (t) => {
  world.agent('node-b').child.kill('SIGSTOP');
  await beginMove();
  const agent = world.agent('node-a');
  agent.child.kill('SIGTERM');
  await setTimeout(500);
  t.equal(agent.child.exitCode, null, 'it waits');
  world.agent('node-b').child.kill('SIGCONT');
  t.match(await agent.ended, { code: 0 });
  await world.restartAgent('node-a');
  const record = JSON.parse((await world.holdfast('ps', '--json')).stdout)[0];
  t.equal(record.moving, undefined, 'nothing is left of it');
  if (record.node === 'node-b')
    t.match(await world.holdfast('move', 'orders', '--to', 'node-a', ...relink), { code: 0 });
  await unharmed(t);
});

t.test('a proxy that cannot be reached, or does not take who asks', async (t) => {
  const elsewhere = join(world.directory, 'elsewhere.yaml');
  writeFileSync(elsewhere, 'nodes: {}\nproxy: { data: 127.0.0.1:1, control: 127.0.0.1:1 }\n');
  t.teardown(() => rmSync(elsewhere));
  const sessions = (...options: readonly string[]) =>
    world.start('asking', 'center', node(world.programs.holdfast, 'sessions', '--json', ...options)).ended;
  const nobody = await sessions(...others('--cluster', elsewhere));
  await checkRefused(
    t,
    'proxy-unreachable',
    /127\.0\.0\.1:1 cannot be reached: connect ECONNREFUSED/,
    'sessions',
    nobody,
  );
  const stranger = await sessions(...others('--secret-file', secretFile(t)));
  await checkRefused(t, 'not-authorised', /do both sides use the same --secret-file/, 'sessions', stranger);
  const words = ['move', 'orders', '--to', 'node-b', '--json', ...others('--secret-file', secretFile(t))];
  const mover = await world.start('asking', 'center', node(world.programs.holdfast, ...words)).ended;
  await checkRefused(t, 'not-authorised', /node-a.*did not accept/, 'move', mover);

  world.proxy.freeze();
  const hung = await world.holdfast('move', '--json', 'orders', '--to', 'node-b', ...relink);
  world.proxy.thaw();
  await checkRefused(t, 'proxy-unreachable', /did not answer/, 'move', hung);
});

t.test('after all of this the transaction commits, whole', async (t) => {
  const { sid, serial, transaction } = { ...first };
  t.match(await stage.places(), [{ sid, serial, transaction }], 'the proxy says so too');
  stage.openGate('enough');
  const { rows = 0 } = await stage.event({ done: 'insertUntil' });
  t.ok(rows > 0);
  await stage.finish({ firstId: 1, rows });
  t.strictSame(stage.failures, []);
});
