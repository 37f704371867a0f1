/** `holdfast sessions` of a real application behind real shim, proxy and database: all that a DBA asks of a session. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import oracledb from 'oracledb';
import t from 'tap';
import { Program } from '../../fixtures/lab/program.js';
import type { SessionRow } from '../../proxy/control/contract.js';
import { commands, directory, portOf, start } from '../errors/parts.js';

const plain = '--insecure-plaintext';

t.test('who a session is, what it does and whether it may move is shown, short and whole', async (t) => {
  const oracle = start(t, 'holdfast-oracle', '--listen', '127.0.0.1:0', '--personality', '19c');
  const database = `127.0.0.1:${await portOf(oracle)}`;
  const listen = ['--listen', '127.0.0.1:0', '--control-listen', '127.0.0.1:0'];
  const proxy = start(t, 'holdfast-proxy', '--database', database, ...listen, plain);
  const address = `127.0.0.1:${await portOf(proxy)}`;
  const shim = start(t, 'holdfast-shim', '--workload', 'orders', '--listen', '127.0.0.1:0', '--proxy', address, plain);
  const connectString = `127.0.0.1:${await portOf(shim)}/orders`;
  await shim.printed(/"bound"/);
  const file = join(directory(t), 'cluster.yaml');
  const control = `127.0.0.1:${await portOf(proxy, 'control')}`;
  writeFileSync(file, `nodes: {}\nproxy: { data: '${address}', control: '${control}' }\n`);
  const ask = async (...words: readonly string[]): Promise<string> => {
    const args = [commands.holdfast, 'sessions', '--cluster', file, plain, ...words];
    const ended = await new Program('holdfast', { file: process.execPath, args }).ended;
    t.equal(ended.code, 0, ended.stderr);
    return ended.stdout;
  };
  const row = async (): Promise<SessionRow> => {
    const [first, ...more] = JSON.parse(await ask('--json')) as SessionRow[];
    if (first === undefined || more.length > 0) throw new Error('not one session');
    return first;
  };

  const connection = await oracledb.getConnection({ user: 'app', password: 'app', connectString });
  const idle = await row();
  t.match(idle, {
    phase: 'ready',
    user: /app/i,
    service: 'orders',
    instanceName: 'ORDERS',
    databaseName: 'ORDERS',
    driver: /^node-oracledb/,
    driverVersion: /\d/,
    processId: String(process.pid),
    protocol: { version: 318, endOfResponse: false, fieldVersion: 12 },
    callsInFlight: 0,
    lastError: 0,
    pipelined: false,
    breakPhase: 'none',
    request: 'none',
    transaction: 'none',
    movable: true,
    reason: 'idle',
    ltxid: connection.ltxid?.toString('hex'),
  });
  t.equal(idle.callMs, undefined);
  await connection.execute('CREATE TABLE shown (id NUMBER)');
  await connection.execute('INSERT INTO shown VALUES (1)');
  await t.rejects(connection.execute('SELECT * FROM nothing'));
  const open = await row();
  t.match(open, { transaction: 'open', reason: 'in-transaction', lastFunction: 'execute', lastError: 942 });
  t.ok((open.transactionMs ?? -1) >= 0);
  t.ok(open.bytes.fromDriver > idle.bytes.fromDriver && open.bytes.fromDatabase > idle.bytes.fromDatabase);
  const { rows } = await connection.execute<[number, number]>(
    "SELECT sid, serial# FROM v$session WHERE sid = SYS_CONTEXT('USERENV', 'SID')",
  );
  t.strictSame(rows, [[open.sid, open.serial]]);

  const sleep = connection.execute('BEGIN DBMS_SESSION.SLEEP(20); END;');
  let busy = await row();
  while (busy.callsInFlight === 0) busy = await row();
  t.match(busy, { callsInFlight: 1, movable: true, reason: 'in-call', detail: 'execute' });
  t.ok((busy.callMs ?? -1) >= 0);
  const table = await ask();
  t.match(table, /WORKLOAD +SID +SERIAL# .*MOVABLE\norders .* in execute [\d.]+ m?s .* yes: in-call\n/);
  await connection.break();
  await t.rejects(sleep, /ORA-01013/);
  t.match(await row(), { reason: 'in-transaction', lastError: 1013, breakPhase: 'none' });
  await connection.close();
});
