import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import type { BindMount } from '../../fixtures/lab/bundle.js';
import { findCriu } from '../../fixtures/lab/criu.js';
import { account, openWorld, type World } from '../../fixtures/lab/world.js';
import type { MoveRecord } from '../../migrate/record.js';
import { waitUntil } from '../../migrate/workload/process.js';
import { Witness } from '../e2e/witness.js';
import { makeKeys } from '../shim/program/certificates.js';
import { faultyProgram } from './faulty-program.js';

const packageRoot = new URL('../../../', import.meta.url).pathname;
const noteBytes = 50;

/** What differs between engines. */
export interface Engine {
  readonly name: 'runc' | 'podman';
  /** The finding when it is not there. */
  readonly missing: string;
  /** Makes what a container is started from, and says which words of `holdfast run` name it. */
  prepare(directory: string, args: readonly string[], mounts: readonly BindMount[]): Promise<readonly string[]>;
  /** What it would refuse, as words of `holdfast run`, and what is said. */
  unfit(directory: string): Promise<readonly { readonly words: readonly string[]; readonly says: RegExp }[]>;
  /** Containers of this test that are still known to it. */
  left(world: World): Promise<readonly string[]>;
}

/**
 * A container moves between hosts with its transaction open, and is put back by each failure. Its shim has a key of its own, and
 * images go from agent to agent.
 */
export async function testContainerMoves(t: Test, engine: Engine): Promise<void> {
  const found = await findCriu();
  if (found.kind === 'missing') throw new Error(found.reason);
  const atA = faultyProgram(t, engine.name);
  const atB = faultyProgram(t, engine.name);
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-bundles-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const made = await makeKeys(t, 'proxy', 'agent', 'operator', 'workload:web', 'workload:apart');
  const world = await openWorld({
    mover: 'criu',
    protection: (who) => made.flags(who.startsWith('agent:') ? 'agent' : who),
    criu: { 'node-a': found.path, 'node-b': found.path },
    agentOptions: (name) => [
      ...[`--${engine.name}`, name === 'node-a' ? atA.path : atB.path],
      ...['--image-dir', join(directory, `images-${name}`)],
    ],
  });
  t.teardown(() => world.close());
  const witness = await Witness.open(world.postgresUrl);
  t.teardown(() => witness.close());

  const ask = async (verb: string, ...words: string[]) => {
    const { stdout, stderr } = await world.holdfast(verb, '--json', ...words);
    if (stdout === '') throw new Error(`holdfast ${verb}: ${stderr}`);
    return JSON.parse(stdout);
  };
  const move = async (to: string): Promise<MoveRecord> => {
    const record: MoveRecord = await ask('move', 'web', '--to', to);
    if (record.error !== undefined) t.comment(record.error.code, record.error.message);
    return record;
  };
  const inserted = () =>
    Number(
      world
        .output('web')
        .match(/^inserted \d+$/gm)
        ?.at(-1)
        ?.split(' ')[1] ?? 0,
    );
  const goesOn = () => {
    const now = inserted();
    return waitUntil(() => inserted() > now + 1, 60_000);
  };
  const session = async () => (await ask('sessions'))[0];

  const gates = join(directory, 'gates');
  mkdirSync(gates, { mode: 0o755 });
  const application = '/app/dist/fixtures/apps/keep-open.js';
  const login = [`${world.shimAddress}/${account.service}`, account.user, account.password];
  const mounts = [
    { destination: '/app', source: packageRoot, access: 'ro' },
    { destination: '/opt/node', source: process.execPath, access: 'ro' },
    { destination: '/gates', source: gates, access: 'ro' },
  ] as const;
  const args = ['/opt/node', application, ...login, 'web', '/gates/commit'];
  const words = await engine.prepare(join(directory, 'web'), args, mounts);

  const started = await world.holdfast('run', '--name', 'web', '--listen', world.shimAddress, ...words);
  if (started.code !== 0) throw new Error(started.stderr);
  if (!(await waitUntil(() => inserted() > 2, 60_000))) throw new Error(`no rows: ${world.output('web')}`);
  const first = await session();

  t.test('preflight looks at the container, and finds nothing that blocks', async (t) => {
    t.match(await ask('preflight', 'web', '--to', 'node-b'), {
      ok: true,
      mover: engine.name,
      findings: [],
      sessions: 1,
    });
  });

  t.test('it moves, and back, with the same session and the same transaction', async (t) => {
    for (const [to, address] of [
      ['node-b', '10.77.0.3'],
      ['node-a', '10.77.0.2'],
    ] as const) {
      const record = await move(to);
      t.match(record, {
        ...{ outcome: 'moved', mover: engine.name, running: 'target', warnings: [], to: { node: to, address } },
        sessions: [{ sid: first.sid, transaction: { before: 'open', after: 'open' }, same: true }],
      });
      t.comment(`blackout ${JSON.stringify(record.blackoutMs)}`);
      t.ok(await goesOn(), 'the application goes on');
    }
  });

  for (const [what, at, verb, script, expected] of [
    ['the checkpoint fails', atA, 'checkpoint', 'exit 1', { code: 'dump-failed', phase: 'freeze' }],
    [
      'it fails when it is done',
      atA,
      'checkpoint',
      '"$program" "$@"; exit 1',
      { code: 'dump-failed', phase: 'freeze' },
    ],
    ['the restore fails', atB, 'restore', 'exit 1', { code: 'restore-failed', phase: 'restore' }],
    [
      'it fails when it is done',
      atB,
      'restore',
      '"$program" "$@"; exit 1',
      { code: 'restore-failed', phase: 'restore' },
    ],
    ['the target has no such engine', atB, '--version', 'exit 1', { code: engine.missing, phase: 'preflight' }],
  ] as const) {
    t.test(`when ${what} the container is put back`, async (t) => {
      at.set(verb, script);
      const record = await move('node-b');
      at.clear(verb);
      t.match(record, { outcome: 'put-back', running: 'source', error: expected });
      t.ok(await goesOn(), 'the application goes on');
      t.match(await session(), { sid: first.sid, serial: first.serial, transaction: 'open' });
    });
  }

  t.test(
    'when the agent of the source dies in mid-checkpoint, it lets the container go on when it is back',
    async (t) => {
      atA.set('checkpoint', 'kill -KILL $PPID; exit 1');
      t.match(await move('node-b'), { error: { code: 'agent-unreachable' } });
      atA.clear('checkpoint');
      await world.restartAgent('node-a');
      t.ok(await goesOn(), 'the application goes on');
    },
  );

  t.test('what cannot be is refused, and said', async (t) => {
    t.match(await world.holdfast('move', 'web', '--to', 'node-b', '--mover', 'criu'), {
      code: 1,
      stderr: /mover-unfit/,
    });
    const run = ['--name', 'apart', '--listen', '127.0.0.1:1621'];
    t.match(await world.holdfast('run', ...run), { code: 2, stderr: /nothing to run/ });
    t.match(await world.holdfast('run', ...run, ...words, '--cwd', '/'), { code: 2, stderr: /--cwd/ });
    for (const { words: unfit, says } of await engine.unfit(join(directory, 'apart')))
      t.match(await world.holdfast('run', ...run, ...unfit), { code: 1, stderr: says });
  });

  t.test('after a last move every row is there once, and no container is left', async (t) => {
    t.match(await move('node-b'), { outcome: 'moved' });
    t.equal(await witness.visibleRows('web'), 0, 'nobody has seen a row before');
    writeFileSync(join(gates, 'commit'), '');
    t.ok(await waitUntil(() => world.output('web').includes('committed'), 60_000));
    const rows = inserted();
    t.match(await witness.contents('web', noteBytes), { rows, wrong: 0, idSum: (rows * (rows + 1)) / 2 });
    t.match(await world.holdfast('stop', 'web'), { code: 0 });
    t.same(await engine.left(world), []);
  });
}
