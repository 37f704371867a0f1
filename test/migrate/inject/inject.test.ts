/** Faults from tests and from the command line, on a real application's driver behind real shim and proxy. */
import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { inject } from 'holdfast/inject';
import oracledb from 'oracledb';
import t from 'tap';
import { Program } from '../../../fixtures/lab/program.js';
import { commands, directory, portOf, start } from '../../errors/parts.js';

const plain = '--insecure-plaintext';
const anyPort = '127.0.0.1:0';
const home = directory(t);
const oracle = start(t, 'holdfast-oracle', '--listen', anyPort);
const database = `127.0.0.1:${await portOf(oracle)}`;
const relay = new Program('relay', {
  file: process.execPath,
  args: [commands.holdfast, 'inject', 'serve', '--listen', anyPort, '--relays', `database=${anyPort}/${database}`],
});
t.teardown(() => relay.stop());
const relaying = JSON.parse((await relay.printed(/^.*"relaying".*$/m))[0] ?? '') as {
  listen: { port: number };
  relays: { listen: string }[];
};
const relayUrl = `http://127.0.0.1:${relaying.listen.port}`;
const audit = join(home, 'audit.jsonl');
const listen = ['--listen', anyPort, '--control-listen', anyPort];
const faulty = ['--allow-faults', '--audit-log', audit];
const proxy = start(t, 'holdfast-proxy', '--database', relaying.relays[0]?.listen ?? '', ...listen, ...faulty, plain);
const address = `127.0.0.1:${await portOf(proxy)}`;
const control = `127.0.0.1:${await portOf(proxy, 'control')}`;
const shim = start(t, 'holdfast-shim', '--workload', 'orders', '--listen', anyPort, '--proxy', address, plain);
const connectString = `127.0.0.1:${await portOf(shim)}/orders`;
await shim.printed(/"bound"/);
const cluster = join(home, 'cluster.yaml');
writeFileSync(cluster, `nodes: {}\nproxy: { data: '${address}', control: '${control}' }\n`);

const login = { user: 'app', password: 'app', connectString };
const withhold = {
  kind: 'call',
  when: { call: 'commit', at: 'before-response' },
  action: { kind: 'withhold' },
} as const;
const straight = await oracledb.getConnection({ ...login, connectString: `${database}/orders` });
await straight.execute('CREATE TABLE written (id NUMBER)');
t.teardown(() => straight.close());

async function rowsOf(id: number): Promise<number> {
  const { rows } = await straight.execute<[number]>('SELECT COUNT(*) FROM written WHERE id = :1', [id]);
  return rows?.[0]?.[0] ?? 0;
}

async function insert(id: number): Promise<oracledb.Connection> {
  const connection = await oracledb.getConnection(login);
  await connection.execute('INSERT INTO written VALUES (:1)', [id]);
  return connection;
}

async function holdfast(...words: readonly string[]) {
  const args = [commands.holdfast, 'inject', ...words, '--cluster', cluster, plain];
  return new Program('holdfast', { file: process.execPath, args }).ended;
}

t.test('a test injects a fault, waits until it has acted, and looks at what the application made of it', async (t) => {
  await using faults = inject({ proxy: control, relay: relayUrl, insecurePlaintext: true });
  const fault = await faults.add({ ...withhold, target: { workload: 'orders', user: 'app' } });
  const connection = await insert(1);
  const commit = connection.commit().catch((error: Error) => error);
  t.match(await fault.acted(), [{ rule: fault.id, action: 'withhold', call: 'commit', workload: 'orders' }]);
  t.match(await commit, /NJS-500|NJS-501/);
  t.equal(await rowsOf(1), 1, 'committed, and the application was not told');
  await fault.remove();
  t.strictSame(await faults.list(), []);
  const next = await insert(2);
  await next.commit();
  await next.close();
  t.equal(await rowsOf(2), 1);
});

t.test(
  'a fault of transport is asked of the relay, and one that is none of both is refused with its place',
  async (t) => {
    await using faults = inject({ proxy: control, relay: relayUrl, insecurePlaintext: true });
    const toxic = { type: 'latency', attributes: { latency: 30 } } as const;
    const fault = await faults.add({ kind: 'transport', leg: 'database', toxic });
    const connection = await insert(3);
    await fault.acted();
    t.match(await faults.list(), [{ rule: { id: fault.id, kind: 'transport' } }]);
    await connection.close();
    const nowhere = { call: 'commit', at: 'in-request' } as const;
    await t.rejects(faults.add({ ...withhold, when: nowhere }), { code: 'fault-invalid', message: /when\.at/ });
    await t.rejects(inject({}).add(withhold), { code: 'fault-invalid', message: /option proxy/ });
    const idle = await faults.add(withhold);
    await t.rejects(idle.acted(1, 1), { code: 'fault-idle' });
  },
);

t.test('the same from node:test, in a package that depends on this one', async (t) => {
  const scratch = join(home, 'scratch');
  mkdirSync(join(scratch, 'node_modules'), { recursive: true });
  symlinkSync(new URL('../../../..', import.meta.url).pathname, join(scratch, 'node_modules', 'holdfast'));
  writeFileSync(join(scratch, 'package.json'), '{ "name": "scratch", "type": "module" }');
  const rule = JSON.stringify(withhold);
  writeFileSync(
    join(scratch, 'lost-answer.test.js'),
    `import { test } from 'node:test';
import assert from 'node:assert/strict';
import { inject } from 'holdfast/inject';
test('a rule is there while it is wanted', async () => {
  const faults = inject({ proxy: '${control}', insecurePlaintext: true });
  const fault = await faults.add(${rule});
  assert.equal((await faults.list())[0].rule.id, fault.id);
  await faults.close();
  assert.deepEqual(await faults.list(), []);
});
`,
  );
  // Or it would tell the test runner that runs this file, in its words.
  const { NODE_TEST_CONTEXT: _context, NODE_OPTIONS: _options, ...env } = process.env;
  const { stdout } = await promisify(execFile)(process.execPath, ['--test', '.'], { cwd: scratch, env });
  t.match(stdout, /pass 1\n/);
});

t.test('faults are added, listed, watched and removed by commands', async (t) => {
  const file = join(home, 'rules.yaml');
  writeFileSync(file, `- ${JSON.stringify({ id: 'lost', ...withhold })}\n`);
  const told = 'lost added: it ends in 30.0 s, or with holdfast inject remove lost\n';
  t.match(await holdfast('add', file), { code: 0, stdout: told });
  const connection = await insert(4);
  await t.rejects(connection.commit());
  const { stdout } = await holdfast('list');
  t.match(stdout, /FAULT +WHERE +WHAT +MATCHED +ACTED.*\nlost +before-response of commit +withhold +1 +1 /);
  const watched = await holdfast('watch', '--once');
  t.match(watched.stdout, /^[\d:.]+ lost: withhold before-response of commit, orders session \d+$/m);
  t.match(await holdfast('remove', '--json'), { code: 0, stdout: '[\n  "lost"\n]\n' });
  const log = readFileSync(audit, 'utf8');
  for (const event of ['fault-added', 'fault', 'fault-removed']) t.match(log, `"event":"${event}"`);
});

t.test('what cannot be is refused, and says why', async (t) => {
  t.match(await holdfast('add', '{ id: x, kind: call }'), { code: 1, stderr: /fault-invalid: 0\.when/ });
  const slow = '{ id: slow, kind: transport, leg: link, toxic: { type: latency, attributes: {} } }';
  t.match(await holdfast('add', slow), { code: 1, stderr: /fault-not-here/ });
  const toxic = { type: 'latency', attributes: {} } as const;
  const rule = { kind: 'transport', leg: 'link', toxic } as const;
  await t.rejects(inject({ relay: relayUrl }).add(rule), { code: 'relay-refused', message: /no relay stands/ });
  await t.rejects(inject({ relay: 'http://127.0.0.1:1' }).add(rule), { code: 'relay-unreachable' });
  const other = start(t, 'holdfast-proxy', '--database', database, ...listen, plain);
  const strict = `127.0.0.1:${await portOf(other, 'control')}`;
  await t.rejects(inject({ proxy: strict, insecurePlaintext: true }).add(withhold), { code: 'faults-not-allowed' });
  await t.rejects(inject({ proxy: strict, insecurePlaintext: true }).list(), { code: 'faults-not-allowed' });
});
