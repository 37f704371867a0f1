import t from 'tap';
import { reasonCharactersMax } from '../../proxy/limits.js';
import { held } from './held.js';
import { logOf, portOf, rejection, warning } from './parts.js';

/** What a DBA does about a hold, with a real driver whose session it is. */

t.test('a hold is listed, extended, pinned, and its session goes on as if nothing had been', async (t) => {
  const stage = await held(t, {
    proxy: ['--hold-owner', 'dba', '--hold-transaction', '2h', '--hold-at-end', 'alert-and-keep'],
  });
  t.match(await stage.holdfast('holds'), { code: 0, stdout: 'nothing is held: all applications are there\n' });
  const connection = await stage.connect();
  await connection.execute('CREATE TABLE held (id NUMBER)');
  await connection.execute('INSERT INTO held VALUES (1)');
  t.match(await stage.holdfast('hold', 'extend', 'orders', '--by', '30m'), {
    code: 1,
    stderr: /^holdfast hold: not-held: the application of orders is there: [^\n]*\n$/,
  });
  await stage.detach();
  const listed = JSON.parse((await stage.holdfast('holds', '--json')).stdout);
  t.match(listed, [
    {
      workload: 'orders',
      state: 'held',
      doing: 'transaction',
      rule: 'default',
      owner: 'dba',
      atEnd: 'alert-and-keep',
      sessions: 1,
      storedBytes: Number,
      why: 'detached',
      until: String,
    },
  ]);
  t.ok(Math.abs(listed[0].leftMs - 7_200_000) < 60_000, `${listed[0].leftMs} ms left`);
  const table = (await stage.holdfast('holds')).stdout;
  t.match(table, /^WORKLOAD +STATE +LEFT +DOING +SESSIONS +AT END/);
  t.match(table, /\norders +held +(1h 59m|2h 00m) +transaction +1 +alert-and-keep .* dba /);

  t.match(await stage.holdfast('hold', 'extend', 'orders', '--by', '30m'), {
    code: 0,
    stdout: /^orders: held, (2h 29m|2h 30m) left\n$/,
  });
  t.match(await stage.holdfast('hold', 'pin', 'orders'), { code: 0, stdout: 'orders: held without an end\n' });
  t.match(await stage.holdfast('hold', 'pin', 'orders'), { code: 0, stdout: 'orders: held without an end\n' });
  t.match((await stage.holdfast('holds')).stdout, /\norders +pinned +no end /);
  const unpinned = JSON.parse((await stage.holdfast('hold', 'unpin', 'orders', '--json')).stdout);
  t.match(unpinned, { workloads: 1, holds: [{ state: 'held' }] });
  t.match(await stage.holdfast('hold', 'extend', 'nothing', '--by', '1m'), {
    code: 1,
    stderr: /^holdfast hold: unknown-workload: the proxy has no workload nothing\n$/,
  });
  t.match(await stage.holdfast('hold', 'extend', 'orders'), { code: 2, stderr: /--by is missing/ });
  t.match(await stage.holdfast('hold', 'extend', 'orders', '--by', '31d'), {
    code: 1,
    stderr: /^holdfast hold: bad-request: extendHold: byMs: more than 30 days at a time\n$/,
  });
  const long = 'x'.repeat(reasonCharactersMax + 1);
  t.match(await stage.holdfast('hold', 'release', 'orders', '--reason', long), { code: 1, stderr: /bad-request.*why/ });

  await stage.attach();
  await connection.execute('INSERT INTO held VALUES (2)');
  await connection.commit();
  t.same((await connection.execute('SELECT COUNT(*) FROM held')).rows, [[2]]);
  await connection.close();
});

t.test('a released hold is rolled back at once, and its driver gets a recoverable error when it is back', async (t) => {
  const stage = await held(t);
  const connection = await stage.connect();
  await connection.execute('CREATE TABLE held (id NUMBER)');
  await connection.execute('INSERT INTO held VALUES (1)');
  await stage.detach();
  const released = await stage.holdfast('hold', 'release', 'orders', '--reason', 'blocks the month-end run');
  t.match(released, { code: 0, stdout: 'orders: ended, with 1 sessions\n' });
  t.match(await stage.holdfast('hold', 'release', 'orders'), { code: 0, stdout: 'orders: had been ended before\n' });
  const line = logOf(stage.proxy).find(({ msg }) => msg === 'hold released');
  t.match(line, { workload: 'orders', why: 'blocks the month-end run', by: { user: String, host: String } });
  t.match(await rejection(stage.attach() as Promise<unknown>), { code: 'refused-unknown-workload' });
  t.match(await rejection(connection.execute('SELECT 1 FROM dual')), { code: 'NJS-500', isRecoverable: true });
  await stage.shim.printed(/"bound"(.|\n)*"bound"/);
  const next = await stage.connect();
  t.same((await next.execute('SELECT COUNT(*) FROM held')).rows, [[0]], 'Oracle has rolled back');
  await next.close();
});

t.test('a hold that runs out ends in the same way, after its warnings', async (t) => {
  const stage = await held(t, { proxy: ['--hold-transaction', '1500ms', '--hold-warn', '1s,500ms'] });
  const connection = await stage.connect();
  await connection.execute('CREATE TABLE held (id NUMBER)');
  await connection.execute('INSERT INTO held VALUES (1)');
  await stage.detach();
  await stage.proxy.printed(/hold expired/);
  const told = logOf(stage.proxy).filter(({ code, level }) => code?.startsWith('hold-') && level >= warning);
  // On a machine that is too slow for both warnings one stands for the two.
  t.match(told[0], { code: 'hold-expiring', level: 40, workload: 'orders', rule: 'default', doing: 'transaction' });
  t.match(told.at(-1), { code: 'hold-expired', level: 40, atEnd: 'close' });
  t.ok(told.length <= 3);
  t.match(await rejection(stage.attach() as Promise<unknown>), { code: 'refused-hold-expired' });
  t.match(await rejection(connection.commit()), { code: 'NJS-500', isRecoverable: true });
});

t.test(
  'a database that dies during a hold: the shim is told when it binds, the driver gets a recoverable error',
  async (t) => {
    const stage = await held(t);
    const connection = await stage.connect();
    await connection.execute('CREATE TABLE held (id NUMBER)');
    await connection.execute('INSERT INTO held VALUES (1)');
    await stage.detach();
    const call = rejection(connection.execute('INSERT INTO held VALUES (2)'));
    stage.oracle.child.kill('SIGKILL');
    await stage.proxy.printed(/session lost/);
    const lost = logOf(stage.proxy).find(({ msg }) => msg === 'session lost');
    t.match(lost, { code: /^database-(ended|lost)$/, transaction: 'open', user: 'app' });
    t.match(JSON.parse((await stage.holdfast('holds', '--json')).stdout), [{ state: 'held', doing: 'idle' }]);
    t.match(await stage.attach(), { epoch: 2 }, 'the workload itself is bound as ever');
    t.match(await call, { code: 'NJS-500', isRecoverable: true });
    t.match(await rejection(connection.commit()), { code: /NJS-500|DPI-1010|NJS-003/ });
  },
);

t.test('sessions that are held count: their places are theirs when they come back', async (t) => {
  const stage = await held(t, { proxy: ['--sessions-max', '1'] });
  const connection = await stage.connect();
  await stage.detach();
  const other = stage.otherShim('another');
  await other.printed(/"bound"/);
  t.match(await rejection(stage.connect(await portOf(other))), { code: 'NJS-511', message: /ORA-12516/ });
  await stage.attach();
  t.same((await connection.execute('SELECT 1 FROM dual')).rows, [[1]]);
  await connection.close();
});

t.test('whatever its sessions are doing, a released hold leaves none of them in the database', async (t) => {
  const stage = await held(t);
  const connections = [await stage.connect(), await stage.connect(), await stage.connect(), await stage.connect()];
  const [idle, busy, calling, fetching] = connections;
  await idle?.execute('SELECT 1 FROM dual');
  await busy?.execute('CREATE TABLE held (id NUMBER)');
  await busy?.execute('INSERT INTO held VALUES (1)');
  const cursor = await fetching?.execute('SELECT LEVEL FROM dual CONNECT BY LEVEL <= 100000', [], { resultSet: true });
  const call = rejection(calling?.execute('BEGIN DBMS_SESSION.SLEEP(60); END;') ?? Promise.resolve());
  await stage.detach();
  // A request that is on its way to the proxy, and an answer on its way to the driver, when the hold ends.
  const fetch = rejection(cursor?.resultSet?.getRows(100_000) ?? Promise.resolve());
  const direct = await stage.connect(stage.databasePort);
  const count = async () => (await direct.execute<[number]>('SELECT COUNT(*) FROM v$session')).rows?.[0]?.[0] ?? 0;
  const before = await count();
  t.equal(before, 5);
  t.match(await stage.holdfast('hold', 'release', 'orders'), { code: 0, stdout: /with 4 sessions/ });
  const deadline = performance.now() + 60_000;
  while ((await count()) > 1 && performance.now() < deadline);
  t.equal(await count(), 1, 'this one alone');
  t.same((await direct.execute('SELECT COUNT(*) FROM held')).rows, [[0]]);
  t.match(JSON.parse((await stage.holdfast('sessions', '--json')).stdout), []);
  t.match(await rejection(stage.attach() as Promise<unknown>), { code: 'refused-unknown-workload' });
  for (const error of [await call, await fetch]) t.match(error, { code: 'NJS-500', isRecoverable: true });
  await direct.close();
});
