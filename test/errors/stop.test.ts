import type { Connection } from 'oracledb';
import t from 'tap';
import { type Held, held } from './held.js';
import { logOf, rejection } from './parts.js';

/** SIGTERM to a proxy that holds somebody's transaction. */

const lost = { code: 'proxy-stopping', level: 40, user: 'app', sid: Number, serial: Number, transaction: 'open' };

t.test('drain: what is under way ends first, nothing new begins, and then the proxy is gone', async (t) => {
  const stage = await held(t, { proxy: ['--drain', '60s'] });
  const busy = await inTransaction(stage);
  stage.proxy.child.kill('SIGTERM');
  await stage.proxy.printed(/draining/);
  t.match(
    logOf(stage.proxy).find(({ msg }) => msg.startsWith('draining')),
    { heldWorkloads: 0, calls: 0, transactions: 1, leftMs: Number },
  );
  const refused = await rejection(stage.connect());
  t.match(refused, { code: 'NJS-511', message: /ORA-12528/ }, 'a new session');
  const other = stage.otherShim('another');
  await stage.proxy.printed(/refused-try-later/);
  await busy.execute('INSERT INTO kept VALUES (2)');
  await busy.commit();
  t.match(await stage.proxy.ended, { code: 0 });
  t.notMatch(other.stderr, /"bound"/);
  t.strictSame(
    logOf(stage.proxy).filter(({ msg }) => msg.startsWith('session lost')),
    [],
  );
  t.match(await rejection(busy.execute('SELECT 1 FROM dual')), { isRecoverable: true });
  t.equal(await rowsKept(stage), 2);
});

t.test('drain: an application that is away may come back and commit', async (t) => {
  const stage = await held(t, { proxy: ['--drain', '60s'] });
  const connection = await inTransaction(stage);
  await stage.detach();
  stage.proxy.child.kill('SIGTERM');
  await stage.proxy.printed(/"heldWorkloads":1/);
  await stage.attach();
  await connection.commit();
  t.match(await stage.proxy.ended, { code: 0 });
  t.equal(await rowsKept(stage), 1);
});

t.test('when the time is over, every session that is lost has a line of its own', async (t) => {
  const stage = await held(t, { proxy: ['--drain', '300ms'] });
  const connections = [await inTransaction(stage), await stage.connect()];
  await connections[1]?.execute('INSERT INTO kept VALUES (2)');
  const idle = await stage.connect();
  stage.proxy.child.kill('SIGTERM');
  t.match(await stage.proxy.ended, { code: 0 });
  const lines = logOf(stage.proxy);
  t.match(
    lines.filter(({ msg }) => msg === 'session lost: the proxy stops'),
    [lost, lost],
  );
  t.match(
    lines.filter(({ msg }) => msg === 'session ended: the proxy stops'),
    [{ level: 30, transaction: 'none' }],
  );
  for (const each of [...connections, idle]) {
    t.match(await rejection(each.execute('SELECT 1 FROM dual')), { code: 'NJS-500', isRecoverable: true });
  }
  t.equal(await rowsKept(stage), 0, 'the database has rolled back');
});

t.test('a second SIGTERM waits for nothing, and says what is lost', async (t) => {
  const stage = await held(t, { proxy: ['--drain', '60s'] });
  const connection = await inTransaction(stage);
  stage.proxy.child.kill('SIGTERM');
  await stage.proxy.printed(/draining/);
  const askedMs = performance.now();
  stage.proxy.child.kill('SIGTERM');
  t.match(await stage.proxy.ended, { code: 0 });
  t.ok(performance.now() - askedMs < 30_000, 'not after the minute that a drain may take');
  t.match(
    logOf(stage.proxy).filter(({ msg }) => msg === 'session lost: the proxy stops'),
    [lost],
  );
  t.match(await rejection(connection.commit()), { isRecoverable: true });
});

/** A driver's connection that has a row uncommitted. */
async function inTransaction(stage: Held): Promise<Connection> {
  const connection = await stage.connect();
  await connection.execute('CREATE TABLE kept (id NUMBER)');
  await connection.execute('INSERT INTO kept VALUES (1)');
  return connection;
}

/** Asks the database itself: the proxy is gone. */
async function rowsKept(stage: Held): Promise<number> {
  const direct = await stage.connect(stage.databasePort);
  const { rows } = await direct.execute<[number]>('SELECT COUNT(*) FROM kept');
  await direct.close();
  return rows?.[0]?.[0] ?? -1;
}
