/** Breaks of the real driver through real shim and proxy, with the link there and without it. */
import oracledb from 'oracledb';
import t, { type Test } from 'tap';
import { openChain } from '../../../../fixtures/captures/chain.js';
import { openDatabase } from '../../../../fixtures/oracle/postgres.js';
import { startOracleServer } from '../../../../fixtures/oracle/server.js';
import { formatAddress } from '../../../../shim/program/address.js';

const db = await openDatabase({ services: ['orders'], users: { app: 'app' } });
const server = await startOracleServer({
  database: db,
  host: '127.0.0.1',
  port: 0,
  log: { info: () => {}, warn: (fields, message) => t.comment(message, fields) },
});
const chain = await openChain(formatAddress(server));
t.teardown(async () => {
  await chain.close();
  await server.close();
  await db.close();
});

const connect = (address = formatAddress(chain)): Promise<oracledb.Connection> =>
  oracledb.getConnection({ user: 'app', password: 'app', connectString: `${address}/orders` });
const sleep = 'begin dbms_session.sleep(20); end;';

async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition()));
}

const inFlight = async (): Promise<number> => (await chain.sessions())[0]?.callsInFlight ?? 0;

/** The session is whole: it has its transaction, and says so. */
async function usable(t: Test, connection: oracledb.Connection): Promise<void> {
  const { rows } = await connection.execute<[number]>('select count(*) from held');
  t.strictSame(rows, [[1]], 'the row of the open transaction is there');
  t.match((await chain.sessions())[0], { transaction: 'open', callsInFlight: 0 });
  await connection.rollback();
  await connection.execute('drop table held');
  await connection.close();
}

async function inTransaction(): Promise<oracledb.Connection> {
  const connection = await connect();
  await connection.execute('create table held (id number)');
  await connection.execute('insert into held values (1)');
  return connection;
}

t.test('a break ends the call, and the transaction goes on', async (t) => {
  const connection = await inTransaction();
  const call = connection.execute(sleep).catch((error: Error) => error);
  await until(async () => (await inFlight()) === 1);
  await connection.break();
  t.match(await call, /ORA-01013/);
  await usable(t, connection);
});

t.test('a call timeout of the driver during a hold is delivered after the bind, in order', async (t) => {
  const connection = await inTransaction();
  // Longer than a busy machine takes from the call to the hold.
  connection.callTimeout = 3_000;
  const call = connection.execute(sleep).catch((error: Error) => error);
  await until(async () => (await inFlight()) === 1);
  await chain.detach();
  const state = await Promise.race([call, new Promise((resolve) => setTimeout(resolve, 3_500, 'waits'))]);
  t.equal(state, 'waits', 'nobody answers the break while there is no link');
  t.match((await chain.sessions())[0], { state: 'held', callsInFlight: 1, reason: 'in-call' });
  connection.callTimeout = 0;
  await chain.attach();
  t.match(await call, /NJS-123|ORA-01013/);
  await usable(t, connection);
});

t.test('a break that is sent during a hold hits the call that it was meant for, and no later one', async (t) => {
  const connection = await inTransaction();
  const call = connection.execute(sleep).catch((error: Error) => error);
  await until(async () => (await inFlight()) === 1);
  await chain.detach();
  const broken = connection.break();
  await chain.attach();
  await broken;
  t.match(await call, /ORA-01013/);
  for (let round = 0; round < 5; round++) await connection.execute('select 1 from dual');
  await usable(t, connection);
});

t.test('a break with no call running does what it does without the proxy', async (t) => {
  const afterBreak = async (address: string): Promise<string[]> => {
    const connection = await connect(address);
    const seen: string[] = [];
    await connection.break();
    for (let round = 0; round < 3; round++) {
      const call = connection.execute<[number]>('select 1 from dual');
      seen.push(
        await call.then(
          ({ rows }) => JSON.stringify(rows),
          (error: Error) => error.message,
        ),
      );
    }
    await connection.close();
    return seen;
  };
  t.strictSame(await afterBreak(formatAddress(chain)), await afterBreak(formatAddress(server)));
});
