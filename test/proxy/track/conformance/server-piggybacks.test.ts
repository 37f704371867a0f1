/** What the database tells in passing: logical transaction ids, and the session that its pool has given out. */
import oracledb from 'oracledb';
import t from 'tap';
import { personalityNames, personalityOf } from '../../../../fixtures/oracle/wire/personality.js';
import { openForTest } from '../../../fixtures/oracle/database-under-test.js';
import { openStage } from './stage.js';

const database = await openForTest(t);
oracledb.connectionClass = 'orders';

for (const name of personalityNames) {
  const personality = personalityOf(name, { transactionGuard: true });

  t.test(`${name}: the LTXID is the driver's after every call`, async (t) => {
    const { connection, track } = await openStage(t, { database, personality });
    const table = `guarded_${personality.protocolVersion}_${name.replace('.', '_')}`;
    const ids = new Set<string>();
    const same = (what: string): void => {
      const ltxid = connection.ltxid?.toString('hex') ?? '';
      t.equal(track().ltxid, ltxid, what);
      ids.add(ltxid);
    };
    same('login');
    await connection.execute(`create table ${table} (id number primary key)`);
    same('DDL');
    await connection.execute(`insert into ${table} values (1)`);
    same('a change');
    await connection.commit();
    same('COMMIT');
    await connection.execute(`insert into ${table} values (2)`, [], { autoCommit: true });
    same('a change with its commit');
    await t.rejects(connection.execute(`insert into ${table} values (2)`));
    same('an error');
    await connection.execute(`insert into ${table} values (3)`);
    await connection.execute(`select id from ${table}`);
    await connection.rollback();
    same('ROLLBACK');
    t.ok(ids.size >= 3, `${ids.size} ids`);
  });

  t.test(`${name}: SID and serial# are those of the session that the pool has given`, async (t) => {
    const pools: oracledb.Pool[] = [];
    const connect = async (login: oracledb.ConnectionAttributes): Promise<oracledb.Connection> => {
      const pool = await oracledb.createPool({ ...login, poolMin: 1, poolMax: 1 });
      t.teardown(() => pool.close(0).catch(() => {}));
      pools.push(pool);
      return pool.getConnection();
    };
    const stage = await openStage(t, { database, personality, more: ':pooled', connect });
    const { connection, login, track } = stage;
    const told = async (of: oracledb.Connection | undefined): Promise<unknown> => {
      const sql = "select sid, serial# from v$session where sid = sys_context('userenv', 'sid')";
      return (await of?.execute<unknown[]>(sql))?.rows?.[0];
    };
    const tracked = (): unknown => [track().identity.sid, track().identity.serial];
    const first = await told(connection);
    t.strictSame(tracked(), first);
    await connection.close();
    while (track().calls.lastFunction !== 'sessionRelease') await new Promise(setImmediate);
    t.match(track(), { movability: { reason: 'released', movable: true }, identity: { stale: true } });
    t.equal(track().calls.inFlight, 0, 'nobody answers a release');
    const thief = await connect(login);
    t.strictSame(await told(thief), first, 'another client has it meanwhile');
    const again = await pools[0]?.getConnection();
    const second = await told(again);
    t.notSame(second, first);
    t.strictSame(tracked(), second);
    t.match(track(), { movability: { reason: 'idle' }, identity: { stale: false } });
    await again?.close();
    await thief.close();
  });
}
