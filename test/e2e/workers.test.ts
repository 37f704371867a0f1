/**
 * A proxy with several workers: real applications on real shims, one on each, and every way in which a worker ends. Each test
 * protects its sockets in another way.
 */
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import oracledb, { type Connection } from 'oracledb';
import t, { type Test } from 'tap';
import { Program } from '../../fixtures/lab/program.js';
import { ProxyView } from '../../migrate/proxy.js';
import type { StatusRow } from '../../proxy/control/contract.js';
import { slotOf } from '../../proxy/workers/slot.js';
import type { Security } from '../../shim/program/security.js';
import { commands, directory, portOf, secretFile, start } from '../errors/parts.js';
import { makeKeys } from '../shim/program/certificates.js';

t.setTimeout(240_000);

const workers = 3;
const anywhere = '127.0.0.1:0';
const by = { user: 'alice', host: 'desk' };

/** Names of workloads, one for each worker, in their order. */
const names = Array.from({ length: workers }, (_, slot) => nameFor(slot));

function nameFor(slot: number): string {
  for (let number = 0; ; number += 1) {
    const name = `app-${number}`;
    if (slotOf(name, workers) === slot) return name;
  }
}

/** How sockets are protected. */
interface Way {
  /** Words of a command. */
  readonly words: (who: string) => readonly string[];
  readonly operator: Security;
}

interface App {
  readonly name: string;
  readonly connection: Connection;
  readonly shim: Program;
}

class Installation {
  readonly #way: Way;
  readonly #cluster: string;
  readonly proxy: Program;
  readonly view: ProxyView;
  readonly apps: App[] = [];

  private constructor(way: Way, proxy: Program, control: number, cluster: string) {
    this.#way = way;
    this.proxy = proxy;
    this.view = new ProxyView({ host: '127.0.0.1', port: control }, way.operator);
    this.#cluster = cluster;
  }

  /** Every application has a row inserted, and its transaction open. */
  static async open(t: Test, way: Way, ...options: readonly string[]): Promise<Installation> {
    const oracle = start(t, 'holdfast-oracle', '--listen', anywhere, '--personality', '19c');
    const database = `127.0.0.1:${await portOf(oracle)}`;
    const listen = ['--listen', anywhere, '--control-listen', anywhere, '--workers', String(workers)];
    const proxy = start(t, 'holdfast-proxy', '--database', database, ...listen, ...way.words('proxy'), ...options);
    await serving(proxy, workers);
    const data = `127.0.0.1:${await portOf(proxy)}`;
    const control = await portOf(proxy, 'control');
    const cluster = join(directory(t), 'cluster.yaml');
    writeFileSync(cluster, `nodes: {}\nproxy: { data: '${data}', control: '127.0.0.1:${control}' }\n`);
    const made = new Installation(way, proxy, control, cluster);
    for (const name of names) {
      const words = ['--workload', name, '--listen', anywhere, '--proxy', data, ...way.words(`workload:${name}`)];
      const shim = start(t, 'holdfast-shim', ...words);
      await shim.printed(/"bound"/);
      const connectString = `127.0.0.1:${await portOf(shim)}/orders`;
      const connection = await oracledb.getConnection({ user: 'app', password: 'app', connectString });
      made.apps.push({ name, connection, shim });
    }
    await made.app(0).connection.execute('CREATE TABLE kept (name VARCHAR2(20), n NUMBER)');
    await made.insert(1);
    return made;
  }

  /** The one that this worker has. */
  app(worker: number): App {
    const found = this.apps[worker];
    if (found === undefined) throw new Error(`worker ${worker} has no application`);
    return found;
  }

  /** In all of them, in the transaction that is open. */
  async insert(n: number): Promise<void> {
    for (const { name, connection } of this.apps) {
      await connection.execute('INSERT INTO kept VALUES (:name, :n)', [name, n]);
    }
  }

  /** Commits all of them. @returns how many rows there are then */
  async commit(): Promise<number> {
    for (const { connection } of this.apps) await connection.commit();
    const { rows: found = [] } = await this.app(0).connection.execute<[number]>('SELECT COUNT(*) FROM kept');
    return Number(found[0]?.[0]);
  }

  run(...words: readonly string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
    const args = [commands.holdfast, ...words, '--cluster', this.#cluster, ...this.#way.words('operator')];
    return new Program('holdfast', { file: process.execPath, args }).ended;
  }

  /** Epochs by worker, once every application is served. */
  async epochs(): Promise<readonly number[]> {
    for (;;) {
      const { workloads, missing } = await this.view.list();
      const bound = names.map((name) => workloads.find((row) => row.name === name && row.state === 'bound')?.epoch);
      if (missing === undefined && !bound.includes(undefined)) return bound.map(Number);
    }
  }
}

/** Until so many workers have begun to serve, all told. */
async function serving(proxy: Program, count: number): Promise<void> {
  await proxy.printed(new RegExp(`(?:(?:.*\\n)*.*"a worker serves"){${count}}`));
}

function pidsOf({ workers: rows = [] }: StatusRow): readonly number[] {
  return rows.map(({ workerPid }) => workerPid);
}

t.test('workers die, are upgraded, and their keeper becomes another program: sessions go on', async (t) => {
  const secret = randomBytes(32).toString('base64');
  const words = ['--secret-file', secretFile(t, secret)];
  const way: Way = { words: () => words, operator: { kind: 'secret', secret: Buffer.from(secret) } };
  const all = await Installation.open(t, way);
  let row = 1;
  for (const victim of [1, 0]) {
    const [before, known] = [pidsOf(await all.view.status()), await all.epochs()];
    process.kill(before[victim] ?? 0, 'SIGKILL');
    await all.insert(++row);
    const expected = known.map((epoch, index) => (index === victim ? epoch + 1 : epoch));
    t.strictSame(await all.epochs(), expected, 'one is bound anew, the others saw nothing');
    const isOther = pidsOf(await all.view.status()).map((pid, index) => pid !== before[index]);
    t.strictSame(
      isOther,
      names.map((_, index) => index === victim),
    );
  }
  const before = pidsOf(await all.view.status());
  const upgrade = await all.run('proxy', 'upgrade');
  t.equal(upgrade.code, 0, upgrade.stderr);
  await all.insert(++row);
  const upgraded = pidsOf(await all.view.status());
  t.notOk(
    upgraded.some((pid) => before.includes(pid)),
    'all are other ones',
  );
  const served = all.proxy.stderr.split('"a worker serves"').length - 1;
  all.proxy.child.kill('SIGUSR2');
  await serving(all.proxy, served + workers);
  await all.insert(++row);
  t.notOk(
    pidsOf(await all.view.status()).some((pid) => upgraded.includes(pid)),
    'and others again',
  );
  t.equal(await all.commit(), row * workers);
  t.equal(all.proxy.child.exitCode, null, 'under the same process id');
  t.notMatch(all.proxy.stderr, /wrong-worker/);
});

t.test('operators see one proxy, and decide about a hold wherever it is; who says nothing is named', async (t) => {
  const keys = await makeKeys(t, 'proxy', 'operator', ...names.map((name) => `workload:${name}`));
  const way: Way = { words: (who) => keys.flags(who), operator: keys.security('operator') };
  const log = join(directory(t), 'audit.jsonl');
  const all = await Installation.open(t, way, '--audit-log', log);
  const status = await all.view.status();
  t.equal(status.sessions, workers);
  t.strictSame(
    status.workers?.map(({ worker, sessions, protectedSessions }) => [worker, sessions, protectedSessions]),
    names.map((_, index) => [index, 1, 1]),
  );
  t.strictSame(new Set((await all.view.sessions()).map(({ workload }) => workload)), new Set(names));
  const [one, other] = [all.app(1), all.app(2)];
  one.shim.child.kill('SIGKILL');
  other.shim.child.kill('SIGKILL');
  let held: readonly string[] = [];
  while (held.length < 2) held = (await all.view.holds()).holds.map(({ workload }) => workload);
  t.strictSame(new Set(held), new Set([one.name, other.name]));
  t.match(await all.view.pinHold({ workload: one.name, by }), { workloads: 1, holds: [{ state: 'pinned' }] });
  t.match(await all.view.releaseHold({ workload: other.name, by, why: 'test' }), { workloads: 1, sessions: 1 });
  const lines = readFileSync(log, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  t.match(
    lines.find(({ event }) => event === 'pin'),
    { worker: 1, by: { ...by, peer: 'operator' } },
    'whoever asked',
  );
  t.match(
    lines.find(({ event }) => event === 'release'),
    { worker: 2, by: { ...by, peer: 'operator' } },
  );

  const stopped = pidsOf(status)[2] ?? 0;
  process.kill(stopped, 'SIGSTOP');
  const shown = await all.run('proxy', 'status', '--json');
  t.equal(shown.code, 1);
  t.match(shown.stderr, /worker-away: worker 2 of the proxy does not answer/);
  t.match(JSON.parse(shown.stdout), { missing: [{ worker: 2 }], workers: { length: 2 } });
  await t.rejects(all.view.sessions(), { code: 'proxy-unreachable' }, 'who decides by a list gets no half of one');
  process.kill(stopped, 'SIGCONT');
});

t.test('a stop drains all workers: transactions that are open may end', async (t) => {
  const way: Way = { words: () => ['--insecure-plaintext'], operator: { kind: 'plaintext' } };
  const all = await Installation.open(t, way, '--drain', '120s');
  all.proxy.child.kill('SIGTERM');
  await all.proxy.printed(/(?:(?:.*\n)*.*"draining){3}/);
  t.equal(await all.commit(), workers);
  t.equal((await all.proxy.ended).code, 0);
});
