/** What an injected fault keeps back is not lost with the worker that keeps it: the next one has no rules, and passes it on. */

import { inject } from 'holdfast/inject';
import oracledb from 'oracledb';
import t from 'tap';
import { proxyContract } from '../../proxy/control/contract.js';
import { callControl } from '../../shim/control/rpc-client.js';
import { portOf, start } from '../errors/parts.js';

const plain = '--insecure-plaintext';
const anyPort = '127.0.0.1:0';

t.test('a worker is killed while faults hold back a request, an answer and the rows behind it', async (t) => {
  const oracle = start(t, 'holdfast-oracle', '--listen', anyPort);
  const database = `127.0.0.1:${await portOf(oracle)}`;
  const listen = ['--listen', anyPort, '--control-listen', anyPort];
  const proxy = start(t, 'holdfast-proxy', '--database', database, ...listen, '--allow-faults', plain);
  const address = `127.0.0.1:${await portOf(proxy)}`;
  const port = await portOf(proxy, 'control');
  const shim = start(t, 'holdfast-shim', '--workload', 'orders', '--listen', anyPort, '--proxy', address, plain);
  const connectString = `127.0.0.1:${await portOf(shim)}/orders`;
  await shim.printed(/"bound"/);
  const connect = () => oracledb.getConnection({ user: 'app', password: 'app', connectString });
  const [asked, answered, reading] = [await connect(), await connect(), await connect()];
  t.teardown(() => Promise.all([asked, answered, reading].map((each) => each.close().catch(() => undefined))));
  await asked.execute('CREATE TABLE kept (id NUMBER, note VARCHAR2(2000))');
  await asked.execute("INSERT INTO kept SELECT level, RPAD('x', 2000, 'x') FROM dual CONNECT BY level <= 200");
  await asked.commit();
  await asked.execute("INSERT INTO kept VALUES (1001, 'asked')");

  const faults = inject({ proxy: `127.0.0.1:${port}`, insecurePlaintext: true });

  const stall = (
    call: 'commit' | 'execute',
    at: 'before-request' | 'in-response',
    direction: 'to-database' | 'to-driver',
  ) =>
    faults.add({
      kind: 'call',
      when: { call, at, ...(at === 'in-response' ? { byte: 20 } : {}) },
      action: { kind: 'stall', direction },
    });
  const request = await stall('commit', 'before-request', 'to-database');
  const answer = await stall('execute', 'in-response', 'to-driver');
  const committed = asked.commit();
  const read = reading.execute<[number, string]>('SELECT id, note FROM kept ORDER BY id', [], { fetchArraySize: 500 });
  const inserted = answered.execute("INSERT INTO kept VALUES (1002, 'answered')");
  await request.acted();
  await answer.acted(2);
  const { workerPid } = await callControl(
    proxyContract,
    { address: { host: '127.0.0.1', port }, security: { kind: 'plaintext' }, expect: { role: 'proxy' } },
    'status',
    {},
  );
  process.kill(workerPid, 'SIGKILL');
  await faults.close();
  const found = (await read).rows ?? [];
  t.equal(found.length, 200, 'every row, once');
  t.ok(found.every(([, note]) => note === 'x'.repeat(2_000)));
  t.equal((await inserted).rowsAffected, 1);
  await committed;
  // Another session's, so it sees what was committed.
  const { rows } = await reading.execute('SELECT note FROM kept WHERE id > 1000');
  t.strictSame(rows, [['asked']]);
});
