/** Requests of many messages: piggybacks in front of a call, and calls that nobody answers. */
import oracledb from 'oracledb';
import t from 'tap';
import { payloadOf } from '../../../../proxy/tns/index.js';
import { readRequestHead } from '../../../../proxy/ttc/index.js';
import { openForTest } from '../../../fixtures/oracle/database-under-test.js';
import { dialects, openStage } from './stage.js';

const database = await openForTest(t);

for (const personality of dialects) {
  t.test(`${personality.name}: a chain of piggybacks is one call, by the function behind them`, async (t) => {
    const stage = await openStage(t, { database, personality });
    const { connection, track } = stage;
    await connection.execute(`create table chained_${personality.protocolVersion} (id number)`);
    const { resultSet } = await connection.execute('select level from dual connect by level < 50', [], {
      resultSet: true,
      prefetchRows: 2,
      fetchArraySize: 2,
    });
    await resultSet?.getRow();
    await resultSet?.close();
    const before = track().calls.total;
    const heads: ReturnType<typeof readRequestHead>[] = [];
    stage.interceptor = {
      fromDriver: (packet, wire) => {
        const capabilities = { ...track().protocol, endOfCallStatus: true, plainTexts: false, wideScales: false };
        heads.push(readRequestHead(payloadOf(packet), capabilities));
        wire.toDatabase(packet);
      },
    };
    connection.currentSchema = 'SCOTT';
    connection.module = 'chain';
    connection.clientId = 'anna';
    await connection.beginSessionlessTransaction({ transactionId: `chain ${personality.name}`, deferRoundTrip: true });
    await connection.execute(`insert into chained_${personality.protocolVersion} values (1)`);
    stage.interceptor = {};
    const [head] = heads;
    t.match(head, { kind: 'call', functionCode: 94, oneWay: false });
    t.strictSame(
      head?.kind === 'call' && [...new Set(head.piggybacks)].sort((a, b) => a - b),
      [103, 120, 135, 152],
      'transaction switch, cancel cursors, end-to-end attributes, schema',
    );
    t.match(track(), {
      calls: { total: before + 1, inFlight: 0, lastFunction: 'execute' },
      transaction: { kind: 'open' },
      movability: { reason: 'in-transaction' },
    });
    await connection.commit();
    t.match(track(), { transaction: { kind: 'none' }, calls: { lastFunction: 'commit' } });
    t.equal(connection.transactionInProgress, false);
  });

  t.test(`${personality.name}: a one-way function is not waited for, alone or behind piggybacks`, async (t) => {
    const connect = async (login: oracledb.ConnectionAttributes): Promise<oracledb.Connection> => {
      const pool = await oracledb.createPool({ ...login, poolMin: 1, poolMax: 1 });
      t.teardown(() => pool.close(0).catch(() => {}));
      return pool.getConnection();
    };
    const { connection, track } = await openStage(t, { database, personality, more: ':pooled', connect });
    await connection.ping();
    const before = track().calls.total;
    connection.module = 'last words';
    await connection.close();
    while (track().calls.lastFunction !== 'sessionRelease') await new Promise(setImmediate);
    t.match(track(), {
      calls: { inFlight: 0, total: before },
      movability: { reason: 'released', movable: true },
      identity: { stale: true },
    });
  });

  t.test(
    `${personality.name}: transactions that come and go without COMMIT are told as the driver tells them`,
    async (t) => {
      const { connection, track } = await openStage(t, { database, personality });
      const table = `went_${personality.protocolVersion}`;
      await connection.execute(`create table ${table} (id number)`);
      const same = (what: string): void => {
        const driver = connection.transactionInProgress ? 'open' : 'none';
        t.equal(track().transaction.kind, driver, `${what}: ${driver}`);
      };
      const id = await connection.beginSessionlessTransaction({ transactionId: `gone ${personality.name}` });
      same('begin');
      await connection.execute(`insert into ${table} values (1)`);
      await connection.suspendSessionlessTransaction();
      same('suspend');
      await connection.execute(`insert into ${table} values (2)`);
      same('a change of its own');
      await connection.rollback();
      await connection.resumeSessionlessTransaction(id);
      same('resume');
      await connection.commit();
      same('commit');
      const xid = { formatId: 1, globalTransactionId: `x ${personality.name}`, branchQualifier: 'b' };
      await connection.tpcBegin(xid);
      same('tpcBegin');
      await connection.execute(`insert into ${table} values (3)`);
      await connection.tpcEnd(xid);
      same('tpcEnd');
      await connection.tpcPrepare(xid);
      same('tpcPrepare');
      await connection.tpcCommit(xid);
      same('tpcCommit');
      t.equal(track().calls.lastFunction, 'transactionChangeState');
    },
  );
}

t.test('a temporary LOB that the driver frees goes in front of its next call', async (t) => {
  const [personality] = dialects;
  if (personality === undefined) throw new Error('no dialect');
  const { connection, track } = await openStage(t, { database, personality });
  const lob = await connection.createLob(oracledb.CLOB);
  lob.end('text');
  await new Promise((resolve) => lob.once('finish', resolve));
  lob.destroy();
  await connection.ping();
  t.match(track(), { calls: { inFlight: 0, lastFunction: 'ping' }, movability: { reason: 'idle' } });
});
