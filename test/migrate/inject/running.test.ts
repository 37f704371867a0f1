/** A scenario on a real application in a process of its own, which runs already: behind its own shim, at its own proxy. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { inject } from 'holdfast/inject';
import oracledb from 'oracledb';
import t from 'tap';
import { Program } from '../../../fixtures/lab/program.js';
import { node } from '../../../fixtures/lab/world.js';
import { parseRunning } from '../../../migrate/scenario/parse.js';
import { commands, directory, portOf, start } from '../../errors/parts.js';

const plain = '--insecure-plaintext';
const anyPort = '127.0.0.1:0';
const home = directory(t);
const database = `127.0.0.1:${await portOf(start(t, 'holdfast-oracle', '--listen', anyPort))}`;
const listen = ['--listen', anyPort, '--control-listen', anyPort];
const proxy = start(t, 'holdfast-proxy', '--database', database, ...listen, '--allow-faults', plain);
const address = `127.0.0.1:${await portOf(proxy)}`;
const control = `127.0.0.1:${await portOf(proxy, 'control')}`;
const shim = start(t, 'holdfast-shim', '--workload', 'orders', '--listen', anyPort, '--proxy', address, plain);
const connectString = `127.0.0.1:${await portOf(shim)}/orders`;
await shim.printed(/"bound"/);
const cluster = join(home, 'cluster.yaml');
writeFileSync(cluster, `nodes: {}\nproxy: { data: '${address}', control: '${control}' }\n`);
const straight = await oracledb.getConnection({ user: 'app', password: 'app', connectString: `${database}/orders` });
await straight.execute('CREATE TABLE looped (id NUMBER)');
await straight.close();
const application = new Program(
  'application',
  node(
    new URL('../../../fixtures/apps/commit-loop.js', import.meta.url).pathname,
    connectString,
    'app',
    'app',
    'looped',
  ),
);
t.teardown(() => application.stop());
await application.printed(/committed 1\n/);
const faults = inject({ proxy: control, insecurePlaintext: true });
t.teardown(() => faults.close());

const withheld = `about: COMMIT is done, and its answer never comes.
seed: 7
steps:
  - name: answers are lost
    faults:
      - id: withheld
        kind: call
        target: { workload: orders, user: app }
        when: { call: commit, at: before-response }
        action: { kind: withhold }
        probability: 0.5
        leaseMs: 6000
    until: { acts: 3 }
    remove: [withheld]
    expect: { acts: 3 }
`;

function holdfast(scenario: string, ...words: readonly string[]): Program {
  const file = join(home, 'scenario.yaml');
  writeFileSync(file, scenario);
  const args = [commands.holdfast, 'inject', 'run', file, '--running', '--cluster', cluster, plain, ...words];
  return new Program('holdfast', { file: process.execPath, args });
}

/** Waits until the proxy has so many faults. */
async function untilFaults(wanted: number): Promise<void> {
  const deadlineMs = performance.now() + 60_000;
  while ((await faults.list()).length !== wanted) {
    if (performance.now() > deadlineMs) throw new Error(`the proxy has not come to ${wanted} faults`);
    await setTimeout(50);
  }
}

/** The application has a session that works, and those that it has lost are forgotten. */
async function goesOn(): Promise<void> {
  const rows = () => application.stdout.split('committed').length;
  const wanted = rows() + 2;
  const deadlineMs = performance.now() + 60_000;
  while (rows() < wanted) {
    if (performance.now() > deadlineMs) throw new Error('the application does not go on');
    await setTimeout(50);
  }
}

function picksIn(log: string): readonly string[] {
  const lines = readFileSync(log, 'utf8').trim().split('\n');
  return lines.map((line) => JSON.parse(line)).map(({ rule, session, match }) => `${rule} ${session} ${match}`);
}

const endless = withheld.replace('acts: 3 }\n    remove', 'afterMs: 600000, withinMs: 600000 }\n    remove');

t.test('the running application suffers the faults, each act is in the log, and none is left', async (t) => {
  const log = join(home, 'acts.jsonl');
  const { code, stdout } = await holdfast(withheld, '--log', log, '--json').ended;
  const report = JSON.parse(stdout);
  t.equal(code, 0, stdout);
  t.match(report, { passed: true, interrupted: false, seed: 7, faults: [{ id: 'withheld' }] });
  t.ok(report.faultsActed >= 3);
  t.equal(picksIn(log).length, report.faultsActed);
  await application.printed(/failed \d+: NJS-50[01]/);
  t.strictSame(await faults.list(), []);
});

t.test('a log is repeated: faults act where they have acted, and nowhere else', async (t) => {
  const [first, second] = [join(home, 'first.jsonl'), join(home, 'second.jsonl')];
  writeFileSync(first, '{"rule":"withheld","session":1,"match":2}\n{"rule":"withheld","session":2,"match":4}\n');
  const twice = withheld.replaceAll('acts: 3', 'acts: 2');
  const { code, stdout, stderr } = await holdfast(twice, '--replay', first, '--log', second).ended;
  t.equal(code, 0, stdout + stderr);
  t.match(stdout, /^withheld: acted 2 times\nsessions: .*\npassed; seed 7; the faults are removed\n$/);
  t.match(stderr, /answers are lost: \d faults so far/, 'it tells how far it is');
  t.strictSame(picksIn(second), picksIn(first));
});

t.test('sessions that must be kept are kept when links are cut, and are missed when connections are', async (t) => {
  await goesOn();
  const kept = `${withheld.replace('kind: withhold', 'kind: cut, leg: link')}expect: { sessions: kept }\n`;
  t.match(await holdfast(kept).ended, { code: 0, stdout: /0 of them gone/ });
  const lost = kept.replace('leg: link', 'leg: driver');
  t.match(await holdfast(lost).ended, { code: 1, stdout: /FAILED: 1 of 1 sessions are gone, and all should be kept/ });
});

t.test('Ctrl-C removes the faults', async (t) => {
  const running = holdfast(endless);
  await untilFaults(1);
  running.child.kill('SIGINT');
  t.match(await running.ended, { code: 130, stdout: /FAILED: interrupted\n/ });
  t.strictSame(await faults.list(), []);
});

t.test('when the command is killed, its faults end with their leases', async (t) => {
  const running = holdfast(endless);
  await untilFaults(1);
  running.child.kill('SIGKILL');
  await running.ended;
  t.equal((await faults.list()).length, 1);
  await untilFaults(0);
});

t.test('what cannot be is refused before anything is done', async (t) => {
  const wrong = (text: string, message: RegExp): void => {
    t.throws(() => parseRunning(text, 'a.yaml'), { code: 'scenario-invalid', message });
  };
  wrong(withheld.replace('seed: 7', 'load: {}'), /a\.yaml:2:7: load: not known, or not with --running/);
  wrong(withheld.replace('[withheld]', '[other]'), /:14:14: steps\.0\.remove\.0: no step so far has a fault other/);
  wrong(withheld.replace('leaseMs: 6000', 'leaseMs: 100'), /:12:18: .*leases are renewed every 5000 ms/);
  wrong(withheld.replace('{ acts: 3 }', '{ committed: 3 }'), /:13:\d+: steps\.0\.until\.committed/);
  const refused = async (text: string, said: RegExp, ...words: readonly string[]): Promise<void> => {
    const { code, stderr } = await holdfast(text, ...words).ended;
    t.ok(code !== 0);
    t.match(stderr, said);
  };
  await refused(withheld, /--report: not with --running/, '--report', home);
  const fault = await faults.add({
    id: 'withheld',
    kind: 'call',
    when: { call: 'lob', at: 'before-request' },
    action: { kind: 'delay', ms: 1 },
  });
  await refused(withheld, /has a fault withheld already/);
  t.equal((await faults.list()).length, 1, 'and it is still there');
  await fault.remove();
});
