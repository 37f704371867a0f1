import { createServer, type Socket } from 'node:net';
import oracledb from 'oracledb';
import t, { type Test } from 'tap';
import { freePort } from '../../fixtures/lab/ports.js';
import { listenAt } from '../../shim/program/listen.js';
import { type LogLine, logOf, portOf, rejection, start, warning } from './parts.js';

/** What the driver says, and what the operator reads, when a database does not take a session. */

const plain = '--insecure-plaintext';
const login = { user: 'app', password: 'app' };
const oracle = start(t, 'holdfast-oracle', '--listen', '127.0.0.1:0');
const databasePort = await portOf(oracle);

/** A proxy in front of `database`, and a shim in front of that. */
async function path(t: Test, database: string, ...options: string[]) {
  const listen = ['--listen', '127.0.0.1:0', '--control-listen', '127.0.0.1:0', plain];
  const proxy = start(t, 'holdfast-proxy', '--database', database, ...listen, ...options);
  const proxyAddress = `127.0.0.1:${await portOf(proxy)}`;
  const shimWords = ['--workload', 'orders', '--listen', '127.0.0.1:0', '--proxy', proxyAddress, plain];
  const shim = start(t, 'holdfast-shim', ...shimWords);
  const address = `127.0.0.1:${await portOf(shim)}`;
  await shim.printed(/"bound"/);
  return { proxy, connectString: `${address}/orders`, address };
}

/** Something that takes connections where a database should be. */
async function impostor(t: Test, serve: (socket: Socket) => void): Promise<string> {
  const server = createServer(serve);
  const port = await listenAt(server, { host: '127.0.0.1', port: 0 });
  t.teardown(() => server.close());
  return `127.0.0.1:${port}`;
}

/** The driver's own text, without the address and the id of the attempt. */
function shown({ message }: Error): string {
  return message.replace(/127\.0\.0\.1:\d+|port \d+|CONNECTION_ID=[^)]*/g, '…');
}

const warnings = (lines: LogLine[]) => lines.filter(({ level }) => level >= warning);

t.test('what the database says, the driver hears as if nothing were in between', async (t) => {
  const { proxy, connectString, address } = await path(t, `127.0.0.1:${databasePort}`);
  const wrongPassword = { ...login, password: 'wrong' };
  const viaShim = await rejection(oracledb.getConnection({ ...wrongPassword, connectString }));
  t.equal(viaShim.code, 'ORA-01017');
  await proxy.printed(/login failed/);
  t.match(logOf(proxy).at(-1), { msg: 'login failed', user: 'app', ora: 1017, level: 30 });
  const direct = `127.0.0.1:${databasePort}`;
  const straight = await rejection(oracledb.getConnection({ ...wrongPassword, connectString: `${direct}/orders` }));
  t.equal(shown(viaShim), shown(straight));

  const unknown = await rejection(oracledb.getConnection({ ...login, connectString: `${address}/nothing` }));
  t.match(unknown.message, /ORA-12514|NJS-518/);
  const unknownStraight = await rejection(oracledb.getConnection({ ...login, connectString: `${direct}/nothing` }));
  t.equal(shown(unknown), shown(unknownStraight));
  t.match(logOf(proxy).at(-1), { msg: 'the listener refused a session', service: 'nothing', ora: 12514, level: 30 });

  const good = await oracledb.getConnection({ ...login, connectString });
  t.same((await good.execute('SELECT 1 FROM dual')).rows, [[1]], 'and the next one is served');
  await good.close();
  t.strictSame(warnings(logOf(proxy)), []);
});

t.test('no database: an ORA error for the driver, one coded line for the operator', async (t) => {
  const nowhere = `127.0.0.1:${await freePort('127.0.0.1')}`;
  const mute = await impostor(t, (socket) => socket.on('error', () => undefined));
  const cases = [
    [nowhere, 'database-no-listener', 12541],
    [mute, 'database-answer-timeout', 12535],
  ] as const;
  for (const [database, code, ora] of cases) {
    await t.test(code, async (t) => {
      const { proxy, connectString } = await path(t, database, '--connect-timeout', '300ms');
      const startedMs = performance.now();
      const error = await rejection(oracledb.getConnection({ ...login, connectString }));
      t.ok(performance.now() - startedMs < 30_000, 'long before the driver itself would give up');
      t.match(error.message, new RegExp(`(ORA|TNS)-${ora}|error ${ora}`));
      await proxy.printed(/no session with the database/);
      const lines = warnings(logOf(proxy));
      t.equal(lines.length, 1, 'one line');
      t.match(lines[0], { code, database, workload: 'orders', err: { message: String } });
      t.notMatch(proxy.stderr, /"stack"/);
    });
  }
});

t.test('a database that goes away ends the session with a recoverable error and one coded line', async (t) => {
  const own = start(t, 'holdfast-oracle', '--listen', '127.0.0.1:0');
  const { proxy, connectString } = await path(t, `127.0.0.1:${await portOf(own)}`);
  const connection = await oracledb.getConnection({ ...login, connectString });
  await connection.execute('CREATE TABLE gone (id NUMBER)');
  await connection.execute('INSERT INTO gone VALUES (1)');
  await own.stop();
  const error = await rejection(connection.execute('INSERT INTO gone VALUES (2)'));
  t.match(error, { code: 'NJS-500', isRecoverable: true });
  await proxy.printed(/session lost/);
  const lines = warnings(logOf(proxy));
  t.equal(lines.length, 1, 'one line');
  t.match(lines[0], { code: /^database-(ended|lost)$/, user: 'app', sid: Number, serial: Number, transaction: 'open' });
  t.notMatch(proxy.stderr, /"stack"/);
});

t.test('what is no Oracle driver is turned away', async (t) => {
  const { proxy, address } = await path(t, `127.0.0.1:${databasePort}`);
  const response = await rejection(fetch(`http://${address}/`));
  t.match(response.message, /fetch failed/);
  await proxy.printed(/no session with the database/);
  t.match(warnings(logOf(proxy)), [{ code: 'driver-not-oracle-net', err: { source: 'frontend' } }]);
});
