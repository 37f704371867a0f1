import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import t from 'tap';
import { freePort } from '../../fixtures/lab/ports.js';
import { openWorld } from '../../fixtures/lab/world.js';
import { Witness } from '../e2e/witness.js';
import { Load } from '../load/load.js';
import { Systemd } from './systemd.js';

/** The unit of the documentation, under a real systemd: even the keeper may die. */
t.setTimeout(240_000);

const unit = 'holdfast-proxy.service';
const document = new URL('../../../docs/holdfast-proxy.service', import.meta.url);
const waitMsMax = 60_000;

const world = await openWorld({ mover: 'relink' });
t.teardown(() => world.close());
const witness = await Witness.open(world.postgresUrl);
t.teardown(() => witness.close());
const directory = mkdtempSync(join(tmpdir(), 'hf-systemd-'));
t.teardown(() => rmSync(directory, { recursive: true }));
const listen = `127.0.0.1:${await freePort('127.0.0.1')}`;
const control = `127.0.0.1:${await freePort('127.0.0.1')}`;
const systemd = await Systemd.start(directory);
t.teardown(() => systemd.stop());
await systemd.install(unit, unitText());

/** With the programs and places of this installation, and without what a user manager cannot do. */
function unitText(): string {
  const [, , ...security] = world.files;
  const run = `${process.execPath} ${world.programs.proxy} --database ${world.databaseAddress} --listen ${listen}`;
  const out = `StandardOutput=append:${join(directory, 'proxy.log')}\nStandardError=inherit`;
  return readFileSync(document, 'utf8')
    .replace(/^(User|ProtectSystem|ProtectHome|PrivateTmp|NoNewPrivileges)=.*\n/gm, '')
    .replace(
      /^ExecStart=\S+ --config \S+ --journal \S+$/m,
      `${out}\nExecStart=${run} --control-listen ${control} ${security.join(' ')} --journal %t/holdfast/journal`,
    )
    .replace(/^ExecReload=.*$/m, 'ExecReload=/bin/true');
}

async function until(what: string, isSo: () => Promise<boolean>): Promise<void> {
  const deadlineMs = performance.now() + waitMsMax;
  while (!(await isSo())) {
    if (performance.now() > deadlineMs) throw new Error(`${what}: not within ${waitMsMax} ms`);
    await setTimeout(50);
  }
}

const mainPid = async (): Promise<number> => Number(await systemd.property(unit, 'MainPID'));
const stored = async (): Promise<number> => Number(await systemd.property(unit, 'NFileDescriptorStore'));

t.test('systemd knows when the proxy is ready, and keeps a copy of each of its sockets', async (t) => {
  // Type=notify: this waits for READY=1.
  await systemd.systemctl('start', unit);
  t.match(await systemd.property(unit, 'StatusText'), /worker \d+ serves/);
  t.equal(await stored(), 2, 'the sockets it listens on');
});

t.test('the keeper and its worker are killed, and every session goes on in its transaction', async (t) => {
  const sessions = 6;
  const mix = { insert: 10, insertMany: 1, readBack: 1, fetch: 1, writeLob: 1, readLob: 1 };
  const load = await Load.start({
    world,
    witness,
    name: 'managed',
    proxies: [listen, listen],
    sessions,
    shape: { mix, stepsMax: 20, arrayRowsMax: 50, pauseMsMax: 200, pulseMs: 10, seed: 1 },
    noteBytes: { rows: 500, lobs: 20_000, filled: 500 },
    filledRows: 1_000,
    stallMs: 60_000,
  });
  const before = await witness.sessions();
  await until('every socket is in the store', async () => (await stored()) === sessions + 2);
  for (let kill = 1; kill <= 3; kill += 1) {
    const pid = await mainPid();
    process.kill(pid, 'SIGKILL');
    await until('another keeper', async () => ![0, pid].includes(await mainPid()));
    await until('it is ready', async () => (await systemd.property(unit, 'ActiveState')) === 'active');
    const told = load.reports.all('pulse').length;
    await until('answers', async () => {
      load.look();
      return load.troubles.length > 0 || load.reports.all('pulse').length > told + 4;
    });
  }
  t.same(await witness.sessions(), before, 'the same processes of PostgreSQL');
  await load.end();
  t.strictSame(load.troubles, []);
  t.match(await load.verdict(), { lost: 0, duplicated: 0, rolledBack: 0, countersOff: 0, violations: [] });
  t.ok(load.reports.all('transaction').length > 0);
});

t.test('stopped in order it leaves nothing behind', async (t) => {
  await systemd.systemctl('stop', unit);
  t.equal(await systemd.property(unit, 'Result'), 'success');
  t.equal(await stored(), 0);
});
