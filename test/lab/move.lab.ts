import { readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { Proof } from '../../fixtures/demo/proof.js';
import { findCriu } from '../../fixtures/lab/criu.js';
import { account, node, openWorld, type World } from '../../fixtures/lab/world.js';
import type { MoveRecord } from '../../migrate/record.js';
import type { SessionRow } from '../../proxy/control/contract.js';
import { faultyProgram } from './faulty-program.js';

/**
 * Moves with CRIU between hosts, and every way in which they can fail. One application goes through all of it in one
 * transaction; at the end every row must be there.
 */
const application = new URL('../../fixtures/apps/insert-rows.js', import.meta.url).pathname;

async function until(what: string, condition: () => boolean): Promise<void> {
  const deadlineMs = performance.now() + 60_000;
  while (!condition()) {
    if (performance.now() > deadlineMs) throw new Error(`${what} did not happen in time`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

const found = await findCriu();
if (found.kind === 'missing') throw new Error(found.reason);
const atA = faultyProgram(t, found.path);
const atB = faultyProgram(t, found.path);
const world: World = await openWorld({ mover: 'criu', criu: { 'node-a': atA.path, 'node-b': atB.path } });
t.teardown(() => world.close());
const proof = new Proof(world.postgresUrl);
await proof.open();
t.teardown(() => proof.close());

const inserted = () =>
  Number(
    world
      .output('orders')
      .match(/^inserted (\d+)$/gm)
      ?.at(-1)
      ?.split(' ')[1] ?? 0,
  );
const goesOn = async (t: Test) => {
  const now = inserted();
  await until('the next row', () => inserted() > now);
  t.pass('the application goes on');
};
/** What a command printed for programs; it may have failed. */
const ask = async (verb: string, ...words: string[]) => {
  const { stdout, stderr } = await world.holdfast(verb, '--json', ...words);
  if (stdout === '') throw new Error(`holdfast ${verb}: ${stderr}`);
  return JSON.parse(stdout);
};
const move = async (to: string, workload = 'orders'): Promise<MoveRecord> => {
  const record: MoveRecord = await ask('move', '--to', to, workload);
  if (record.error !== undefined) t.comment(record.error.code, record.error.message);
  return record;
};
const session = async (): Promise<SessionRow | undefined> =>
  (await ask('sessions')).find((row: SessionRow) => row.workload === 'orders');
const identity = async () => {
  const row = await session();
  const { sid = 0, serial = 0 } = row ?? {};
  return { sid, serial, transaction: row?.transaction, ...(await proof.of(sid, serial)) };
};

const login = [`${world.shimAddress}/${account.service}`, account.user, account.password];
const command = node(application, ...login, '1000000');
await world.holdfast('run', '--name', 'orders', '--listen', world.shimAddress, '--', command.file, ...command.args);
await until('the transaction is under way', () => inserted() > 0);
const first = await identity();

t.test('preflight finds nothing that blocks, and says how long the application would wait', async (t) => {
  const report = await ask('preflight', 'orders', '--to', 'node-b');
  t.match(report, { ok: true, sessions: 1, blackout: { moves: 0 } });
  t.same(report.findings, []);
  t.ok(report.blackout.memoryBytes > 2 ** 20);
});

t.test('a move keeps session, database process and transaction, and the address changes', async (t) => {
  const record = await move('node-b');
  t.match(record, {
    outcome: 'moved',
    from: { node: 'node-a', address: '10.77.0.2' },
    to: { node: 'node-b', address: '10.77.0.3' },
    epoch: { before: 1, after: 2 },
    sessions: [{ sid: first.sid, serial: first.serial, transaction: { before: 'open', after: 'open' }, same: true }],
    warnings: [],
  });
  t.same(await identity(), first);
  await goesOn(t);
});

t.test('and back, and there again', async (t) => {
  t.match(await move('node-a'), { outcome: 'moved', epoch: { after: 3 } });
  await goesOn(t);
  t.match(await move('node-b'), { outcome: 'moved', epoch: { after: 4 } });
  await goesOn(t);
  t.match(await move('node-a'), { outcome: 'moved', epoch: { after: 5 } });
  await goesOn(t);
  t.same(await identity(), first);
});

t.test('the next blackout is foretold from the last ones', async (t) => {
  const { blackout } = await ask('preflight', 'orders', '--to', 'node-b');
  t.ok(blackout.moves >= 4, `${blackout.moves}`);
  const record = await move('node-b');
  const memory = record.memoryBytes ?? 0;
  t.ok(memory > blackout.memoryBytes / 2 && memory < blackout.memoryBytes * 2, `${memory} of ${blackout.memoryBytes}`);
  t.match(await move('node-a'), { outcome: 'moved' });
});

t.test('a target without CRIU is found before anything is touched', async (t) => {
  atB.set('check', 'exit 1');
  const record = await move('node-b');
  atB.clear('check');
  t.match(record, { outcome: 'put-back', error: { code: 'criu-missing', phase: 'preflight', message: /node-b/ } });
  t.equal((await session())?.address, '10.77.0.2');
  await goesOn(t);
});

t.test('a port that is taken at the target is found before anything is touched', async (t) => {
  const listen = `require('net').createServer().listen(1521, () => console.log('ready'))`;
  const squatter = world.start('squatter', 'node-b', node('-e', listen));
  await squatter.printed(/ready/);
  const record = await move('node-b');
  await squatter.stop();
  t.match(record, { outcome: 'put-back', error: { code: 'port-taken', phase: 'preflight' } });
  await goesOn(t);
});

t.test('when the dump fails the source is put back', async (t) => {
  atA.set('dump', 'exit 1');
  const record = await move('node-b');
  atA.clear('dump');
  t.match(record, {
    outcome: 'put-back',
    error: { code: 'dump-failed', phase: 'freeze', source: 'runs on as before' },
  });
  t.same(await identity(), first);
  await goesOn(t);
});

t.test('when the restore fails the source is put back', async (t) => {
  atB.set('restore', 'exit 1');
  const record = await move('node-b');
  atB.clear('restore');
  t.match(record, { outcome: 'put-back', error: { code: 'restore-failed', phase: 'restore' } });
  t.same(await identity(), first);
  await goesOn(t);
});

t.test('a copy that was made before the restore failed does not stay', async (t) => {
  atB.set('restore', '"$program" "$@"; exit 1');
  const record = await move('node-b');
  atB.clear('restore');
  t.match(record, { outcome: 'put-back', error: { code: 'restore-failed' } });
  await goesOn(t);
  t.match(await move('node-b'), { outcome: 'moved' }, 'its port is free');
  t.match(await move('node-a'), { outcome: 'moved' });
});

t.test('when the agent of the target dies the source is put back', async (t) => {
  atB.set('restore', 'kill -KILL $PPID; exit 1');
  const record = await move('node-b');
  atB.clear('restore');
  t.match(record, { outcome: 'put-back', error: { code: 'agent-unreachable', phase: 'restore' } });
  await goesOn(t);
  t.match(await move('node-b'), { outcome: 'put-back', error: { code: 'agent-unreachable', phase: 'preflight' } });
  await world.restartAgent('node-b');
  t.same(await identity(), first);
});

t.test('when the agent of the source dies in mid-move, it puts the source back when it is started again', async (t) => {
  atA.set('dump', '"$program" "$@"; kill -KILL $PPID; exit 1');
  const answer = await move('node-b');
  atA.clear('dump');
  t.match(answer, { error: { code: 'agent-unreachable', message: /start it again/ } });
  t.equal((await session())?.state, 'held');
  await world.restartAgent('node-a');
  t.same(await identity(), first);
  await goesOn(t);
});

t.test('a move goes on when the command that asked for it is gone', async (t) => {
  atB.set('restore', 'sleep 1');
  const words = ['move', 'orders', '--to', 'node-b', ...world.files];
  const asking = world.start('asking', 'center', node(world.programs.holdfast, ...words));
  await asking.printed(/freeze/);
  asking.child.kill('SIGKILL');
  await goesOn(t);
  atB.clear('restore');
  t.equal((await session())?.address, '10.77.0.3');
  t.match(await move('node-a'), { outcome: 'moved' });
});

t.test('Ctrl-C takes a move back in the middle of a restore, and the application goes on', async (t) => {
  atB.set('restore', 'sleep 30');
  const words = ['move', 'orders', '--to', 'node-b', ...world.files];
  const asking = world.start('interrupted', 'center', node(world.programs.holdfast, ...words));
  // Lines come when a phase has ended: the next one is under way.
  await asking.printed(/transfer/);
  asking.child.kill('SIGINT');
  t.match(await asking.ended, { code: 1, stderr: /taking it back.*aborted.*runs on as before/s });
  atB.clear('restore');
  await goesOn(t);
  t.same(await identity(), first);
});

t.test('a move whose blackout becomes too long is taken back by itself', async (t) => {
  atB.set('restore', 'sleep 30');
  const record: MoveRecord = await ask('move', '--to', 'node-b', 'orders', '--max-blackout', '2s');
  atB.clear('restore');
  t.match(record, { outcome: 'put-back', error: { code: 'blackout-exceeded', phase: 'restore' } });
  t.ok(record.blackoutMs.total < 20_000, `${record.blackoutMs.total} ms`);
  await goesOn(t);
  t.same(await identity(), first);
});

t.test('what the processes hold besides the shim cannot move, and is named', async (t) => {
  const [host = '', port = ''] = world.databaseAddress.split(':');
  const hold = `require('net').connect(${port}, '${host}').on('connect', () => console.log('connected')).resume()`;
  await world.holdfast(
    'run',
    '--name',
    'direct',
    '--listen',
    '127.0.0.1:1621',
    '--',
    ...Object.values(node('-e', hold)).flat(),
  );
  await until('it has connected', () => world.output('direct').includes('connected'));
  t.match(await move('node-b', 'direct'), {
    outcome: 'put-back',
    error: { code: 'foreign-connection', message: /10\.77\.0\.1:1521/ },
  });
  await world.holdfast('stop', 'direct');
});

t.test("applications are moved at the same moment, and do not get in each other's way", async (t) => {
  const names = ['first', 'second', 'third'];
  for (const [index, name] of names.entries()) {
    const idle = Object.values(node('-e', 'setInterval(() => {}, 1000)')).flat();
    await world.holdfast('run', '--name', name, '--listen', `127.0.0.1:${1631 + index}`, '--', ...idle);
  }
  const pidFile = (name: string) => join(world.directory, 'state/workloads', name, 'pid');
  const workingDirectory = (name: string) => readlinkSync(`/proc/${readFileSync(pidFile(name), 'utf8').trim()}/cwd`);
  t.equal(new Set(names.map(workingDirectory)).size, names.length, 'CRIU makes a directory in each of them');
  for (const to of ['node-b', 'node-a']) {
    const records = await Promise.all([...names, 'orders'].map((name) => move(to, name)));
    t.strictSame(new Set(records.map(({ outcome }) => outcome)), new Set(['moved']), `to ${to}`);
  }
  for (const name of names) await world.holdfast('stop', name);
});

t.test('after all of this it is the same transaction, and nobody has seen a row of it', async (t) => {
  t.same(await identity(), first);
  t.equal(await proof.visibleRows('app.orders'), 0);
  t.match(await world.holdfast('stop', 'orders'), { code: 0 });
});
