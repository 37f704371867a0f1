/**
 * The real driver, through real shim and proxy, to a database that may be a real Oracle (see target.ts). It needs no more than the
 * right to log in and to create a table, asks nothing of V$ views, and drops what it has made. The link is taken away and brought back where
 * a move would do it; a second session, straight to the database, is the witness.
 */
import { randomBytes } from 'node:crypto';
import oracledb from 'oracledb';
import t, { type Test } from 'tap';
import { openChain } from '../../../fixtures/captures/chain.js';
import { parseConnectString } from '../../../migrate/doctor/connect-string.js';
import { probe } from '../../../migrate/doctor/probe.js';
import { reportOn } from '../../../migrate/doctor/report.js';
import type { SessionRow } from '../../../proxy/control/contract.js';
import { openTarget } from './target.js';

t.setTimeout(240_000);
const target = await openTarget();
t.comment(target.isReal ? 'against the database of HOLDFAST_TEST_ORACLE' : 'against holdfast-oracle');
const table = `holdfast_${randomBytes(5).toString('hex')}`;
const chain = await openChain(target.database);
t.teardown(() => chain.close());
const { user, password, connectString } = target;
const witness = await oracledb.getConnection({ user, password, connectString });
await witness.execute(`create table ${table} (id number(10) primary key, note varchar2(1000))`);
t.teardown(async () => {
  await witness.execute(`drop table ${table}`);
  await witness.close();
});

const rowBusy = /ORA-00054/;
const noSuchProcedure = /ORA-06550|PLS-00201/;

/** A session through shim and proxy on an empty table. */
async function begin(t: Test): Promise<oracledb.Connection> {
  await witness.execute(`delete from ${table}`);
  await witness.commit();
  const connection = await oracledb.getConnection({ user, password, connectString: target.through(chain) });
  t.teardown(() => connection.close().catch(() => {}));
  return connection;
}

async function insert(connection: oracledb.Connection, from: number, rows: number): Promise<void> {
  const binds = Array.from({ length: rows }, (_, index) => [from + index, `note ${from + index} ${'x'.repeat(200)}`]);
  await connection.executeMany(`insert into ${table} values (:1, :2)`, binds);
}

async function one<T>(connection: oracledb.Connection, sql: string): Promise<T | undefined> {
  const { rows } = await connection.execute<[T]>(sql);
  return rows?.[0]?.[0];
}
const count = (connection: oracledb.Connection) => one<number>(connection, `select count(*) from ${table}`);
const sid = (connection: oracledb.Connection) =>
  one<string>(connection, `select sys_context('userenv', 'sid') from dual`);

/** What the proxy says of the session; of those that tests before have left, none is open. */
async function seen(): Promise<SessionRow> {
  const row = (await chain.sessions()).find(({ phase }) => phase !== 'logged-off');
  if (row === undefined) throw new Error('the proxy holds no session');
  return row;
}

async function agrees(t: Test, connection: oracledb.Connection, what: string): Promise<void> {
  const row = await seen();
  const inTransaction = connection.transactionInProgress === true;
  t.equal(
    row.transaction,
    inTransaction ? 'open' : 'none',
    `${what}: the proxy says of the transaction what the driver says`,
  );
  t.equal(row.callsInFlight, 0, `${what}: no call is in flight`);
}

/** Off the link and on it again, as a move does it. */
async function relink(whileHeld: () => Promise<void> = async () => {}): Promise<void> {
  await chain.detach();
  await whileHeld();
  await chain.attach();
}

t.test('the database is one that can be watched', async (t) => {
  const at = parseConnectString(connectString);
  if (at === undefined) throw new Error('no connect string');
  const report = reportOn(await probe(at, { timeoutMs: 10_000 }));
  t.comment(JSON.stringify(report, undefined, 1));
  t.ok(report.rows.length > 5);
});

t.test('a session is who it says it is', async (t) => {
  const connection = await begin(t);
  const row = await seen();
  t.equal(String(row.sid), await sid(connection), 'the SID that the database tells is the one the proxy has read');
  t.equal(row.user?.toUpperCase(), user.toUpperCase());
  t.match(row.driver, /node-oracledb/);
});

t.test('an open transaction outlives the link: its rows, its locks, its session', async (t) => {
  const connection = await begin(t);
  await insert(connection, 1, 10);
  await connection.commit();
  await insert(connection, 100, 300);
  await connection.execute(`update ${table} set note = 'mine' where id = 1`);
  const before = await sid(connection);
  await relink(async () => {
    t.equal(await count(witness), 10, 'nobody sees the uncommitted rows while the session is held');
    const lock = witness.execute(`select id from ${table} where id = 1 for update nowait`);
    await t.rejects(lock, { message: rowBusy }, 'its lock is held');
  });
  await agrees(t, connection, 'after the bind');
  t.equal(await sid(connection), before, 'the same session');
  await insert(connection, 500, 300);
  t.equal(await count(connection), 610);
  t.equal(await count(witness), 10);
  await connection.commit();
  t.equal(await count(witness), 610, 'all rows are there, once');
  await witness.execute(`select id from ${table} where id = 1 for update nowait`);
  await witness.rollback();
});

t.test('a rollback after the bind takes back what was before it', async (t) => {
  const connection = await begin(t);
  await insert(connection, 1, 50);
  await relink();
  await insert(connection, 100, 50);
  await connection.rollback();
  await agrees(t, connection, 'rollback');
  t.equal(await count(connection), 0);
});

t.test('a result that is being fetched goes on behind the bind, without a row lost or twice', async (t) => {
  const connection = await begin(t);
  const rows = 3_000;
  await insert(connection, 1, rows);
  const sql = `select id from ${table} order by id`;
  const { resultSet } = await connection.execute<[number]>(sql, [], {
    resultSet: true,
    fetchArraySize: 100,
    prefetchRows: 100,
  });
  const ids: number[] = [];
  for (let part = 0; ids.length < rows; part++) {
    if (part % 10 === 5) await relink();
    const fetched = (await resultSet?.getRows(100)) ?? [];
    if (fetched.length === 0) break;
    ids.push(...fetched.map(([id]) => id));
  }
  await resultSet?.close();
  t.strictSame(
    ids,
    Array.from({ length: rows }, (_, index) => index + 1),
  );
  await connection.rollback();
});

t.test('a call that runs while the link is away ends after the bind', async (t) => {
  const connection = await begin(t);
  await insert(connection, 1, 1);
  let ended = false;
  const call = connection.execute('begin dbms_session.sleep(3); end;').then(
    () => 'done',
    (error: Error) => error.message,
  );
  void call.then(() => {
    ended = true;
  });
  while ((await seen()).callsInFlight === 0 && !ended);
  if (ended && noSuchProcedure.test(await call)) {
    t.comment('this database has no DBMS_SESSION.SLEEP (before 18c): no call that lasts');
    return;
  }
  await relink(async () => {
    t.equal(ended, false, 'it runs');
    t.match(await seen(), { state: 'held', callsInFlight: 1, transaction: 'open' });
  });
  t.equal(await call, 'done');
  await agrees(t, connection, 'after the call');
  await connection.rollback();
});

t.test('after every statement the proxy says of the transaction what the driver says', async (t) => {
  const connection = await begin(t);
  const run = (sql: string) => connection.execute(sql).catch((error: Error) => error.message);
  const statements = [
    'select 1 from dual',
    `insert into ${table} values (1, 'one')`,
    `insert into ${table} values (1, 'again')`,
    'savepoint here',
    `update ${table} set note = 'two'`,
    'rollback to savepoint here',
    'commit',
    `select id from ${table} for update`,
    'rollback',
    'select * from no_such_table_of_anybody',
    'selec 1',
    'begin null; end;',
    `delete from ${table}`,
    `begin insert into ${table} values (7, 'block'); end;`,
    'commit',
  ];
  const states = new Set<string>();
  for (const [index, sql] of statements.entries()) {
    await run(sql);
    if (index % 4 === 3) await relink();
    await agrees(t, connection, sql);
    states.add((await seen()).transaction);
  }
  t.equal(states.size, 2, 'both states were seen');
});

t.test('errors are those of the database, with the link and after it was away', async (t) => {
  const connection = await begin(t);
  for (const sql of ['select * from no_such_table_of_anybody', 'selec 1', `insert into ${table} values ('x', 'y')`]) {
    const straight = await witness.execute(sql).catch((error: Error) => error.message);
    await relink();
    t.equal(await connection.execute(sql).catch((error: Error) => error.message), straight);
  }
});

t.test('a call timeout leaves a session that works', async (t) => {
  const connection = await begin(t);
  await insert(connection, 1, 5);
  connection.callTimeout = 300;
  const failed = await connection.execute('begin dbms_session.sleep(20); end;').catch((error: Error) => error.message);
  connection.callTimeout = 0;
  t.match(failed, /NJS-123|ORA-01013|DPI-1067|ORA-06550|PLS-00201/);
  t.equal(await count(connection), 5, 'the transaction goes on');
  await agrees(t, connection, 'call timeout');
  await connection.rollback();
});
