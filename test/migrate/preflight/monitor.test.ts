import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { loadMonitor, readDatabase } from '../../../migrate/preflight/monitor.js';
import { startServed } from '../../fixtures/oracle/served-harness.js';

const served = await startServed(t);
const connectString = `127.0.0.1:${served.port}/freepdb1`;
const monitor = { connectString, user: 'admin', password: 'secret' };

async function identityOf(connection: Awaited<ReturnType<typeof served.connect>>) {
  const { rows } = await connection.execute<[string]>("select sys_context('USERENV', 'SID') from dual");
  return Number(rows?.[0]?.[0]);
}

t.test('a new database limits nothing, and every view is read', async (t) => {
  const connection = await served.connect();
  const sid = await identityOf(connection);
  const facts = await readDatabase(monitor, [sid]);
  t.same(facts.unseen, []);
  t.match(facts.sessions, [{ sid, instance: 'holdfast', user: 'SCOTT', pooled: false, consumerGroup: 'OTHER_GROUPS' }]);
  t.ok((facts.sessions[0]?.connectedMs ?? -1) >= 0);
  t.ok(facts.profilesCount);
  t.same(facts.profiles.get('SCOTT'), {});
  t.same(facts.parameters, { maxIdleMinutes: 0, maxIdleBlockerMinutes: 0 });
  t.same(facts.waiters, []);
});

t.test('limits are read from profiles, parameters and the active plan', async (t) => {
  const connection = await served.connect();
  await identityOf(connection);
  await served.look("insert into oracle.users_ values ('SCOTT', 'APPS')");
  await served.look(
    "insert into oracle.profiles_ values ('APPS', 'IDLE_TIME', '15'), ('APPS', 'CONNECT_TIME', 'DEFAULT')",
  );
  await served.look(
    "update oracle.profiles_ set \"limit\" = '480' where profile = 'DEFAULT' and resource_name = 'CONNECT_TIME'",
  );
  await served.look("update oracle.parameter_ set value = '30' where name = 'max_idle_blocker_time'");
  await served.look(
    "insert into oracle.rsrc_plan_directives_ values ('DAYTIME', 'OLTP', 600, null, 'CANCEL_SQL', null, 120)",
  );
  await served.look(
    "insert into oracle.rsrc_plan_directives_ values ('DAYTIME', 'BATCH', null, 60, 'LOW_GROUP', 5, null)",
  );
  const facts = await readDatabase(monitor, []);
  t.same(facts.profiles.get('SCOTT'), { idleMinutes: 15, connectMinutes: 480 });
  t.same(facts.parameters, { maxIdleMinutes: 0, maxIdleBlockerMinutes: 30 });
  t.same(facts.directives.get('OLTP'), { maxIdleSeconds: 600, callSeconds: 120 });
  t.same(facts.directives.get('BATCH'), { maxIdleBlockerSeconds: 60 }, 'a call that changes its group goes on');
  t.same(facts.pool, { thinkSeconds: 120, transactionThinkSeconds: 0 });
});

t.test('who waits for whom is seen', async (t) => {
  const [holder, waiter] = [await served.connect(), await served.connect()];
  const [holding, waiting] = [await identityOf(holder), await identityOf(waiter)];
  await holder.execute('create table contended (id number)');
  await holder.execute('insert into contended values (1)');
  await holder.commit();
  await holder.execute('update contended set id = 2');
  const update = waiter.execute('update contended set id = 3');
  const deadlineMs = performance.now() + 30_000;
  let facts = await readDatabase(monitor, [holding]);
  while (facts.waiters.length === 0 && performance.now() < deadlineMs) facts = await readDatabase(monitor, [holding]);
  t.match(facts.waiters, [{ sid: waiting, user: 'SCOTT', blocker: { sid: holding, instance: 'holdfast' } }]);
  await holder.rollback();
  await update;
});

t.test('a view that the account may not read is named, and the rest is read', async (t) => {
  await served.look('drop view oracle.dba_cpool_info');
  const facts = await readDatabase(monitor, []);
  t.match(facts.unseen, [{ view: 'DBA_CPOOL_INFO', why: /ORA-00942/ }]);
  t.ok(facts.profilesCount);
});

t.test('an account that cannot log in is an error', async (t) => {
  await t.rejects(readDatabase({ ...monitor, password: 'wrong' }, []), { message: /ORA-01017/ });
});

t.test('the file of the account is for its owner alone', async (t) => {
  const file = join(t.testdir(), 'monitor.yaml');
  writeFileSync(file, 'connect-string: db/orders\nuser: watch\npassword: secret\n', { mode: 0o600 });
  t.same(loadMonitor(file), { connectString: 'db/orders', user: 'watch', password: 'secret' });
  chmodSync(file, 0o644);
  t.throws(() => loadMonitor(file), { code: 'bad-option', message: /--monitor-file/ });
});
