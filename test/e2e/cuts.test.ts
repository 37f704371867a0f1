import { randomInt } from 'node:crypto';
import t from 'tap';
import { idsPerConnection } from '../../fixtures/apps/rows.js';
import type { StepEvent } from '../../fixtures/apps/steps.js';
import { randomFrom } from '../../shim/program/random.js';
import { openStage } from './play.js';
import { Relay } from './relay.js';
import { startShim } from './shim.js';
import { digestOf, Stage } from './stage.js';

/**
 * A link that is cut again and again, after any number of bytes: in the handshake, in a frame, in a header. Nothing is
 * announced, nothing is closed in order; what was under way is gone.
 */
const seed = Number(process.env.HOLDFAST_SEED ?? randomInt(1, 2 ** 31));
const cutsMin = 100;
const bytesMax = 100_000;
const noteBytes = 1_000;
const filled = { firstId: 5 * idsPerConnection, rows: 3_000 };
const manyRows = 2_000;

t.test('an application whose link is cut a hundred times at random bytes gets every row right', async (t) => {
  t.comment(`HOLDFAST_SEED=${seed}`);
  const { world, witness } = await openStage({ mover: 'relink' });
  const random = randomFrom(seed);
  // Many short pieces and some long ones.
  const relay = await Relay.open(world.proxyAddress, () => 1 + Math.floor(bytesMax * random() ** 3));
  t.teardown(() => relay.close());
  const stage = new Stage({ world, witness, name: 'storm', waitMs: 60_000 });
  const listen = await startShim(world, 'storm', relay.address);
  const connections = [
    [{ do: 'create' }, { do: 'insertUntil', gate: 'enough' }, { do: 'gate', gate: 'commit' }, { do: 'commit' }],
    [
      { do: 'gate', gate: 'start' },
      { do: 'readUntil', gate: 'enough' },
    ],
    [
      { do: 'gate', gate: 'start' },
      { do: 'insertMany', rows: manyRows },
      { do: 'gate', gate: 'commit' },
      { do: 'commit' },
    ],
  ] as const;
  const plan = { table: stage.table, noteBytes, connections };
  const application = world.start('storm', 'center', stage.command(listen, plan));
  await application.printed(/"done":"create"/);
  await witness.fill(stage.table, filled, noteBytes);
  const writers = async () => ((await witness.writers()).length > 0 ? true : undefined);
  await stage.until('transaction', writers);
  const [before] = await witness.writers();
  stage.openGate('start');
  relay.cut();
  const enough = () => {
    if (application.child.exitCode !== null) throw new Error('the application has ended');
    return relay.cuts >= cutsMin ? true : undefined;
  };
  await stage.until(`${cutsMin} cuts`, enough);
  await application.printed(/"done":"insertMany"/);
  stage.openGate('enough');
  await application.printed(/"done":"insertUntil"/);
  t.ok((await witness.writers()).includes(before ?? 0), 'the process of PostgreSQL is the same');
  t.equal(await witness.visibleRows(stage.table), filled.rows, 'nobody sees the rows of its transactions');
  stage.openGate('commit');
  const { code, stdout, stderr } = await application.ended;
  t.match({ code, stderr }, { code: 0, stderr: '' }, 'the application sees no error');
  t.comment(`${relay.cuts} cuts`);

  const events: StepEvent[] = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  const inserted = events.find(({ done }) => done === 'insertUntil')?.rows ?? 0;
  const reads = events.filter(({ done }) => done === 'read');
  t.ok(reads.length > 0 && inserted > 0);
  const wanted = digestOf(noteBytes, [filled]);
  for (const { rows, digest } of reads) t.match({ rows, digest }, { rows: filled.rows, digest: wanted });
  const { rows, wrong } = await witness.contents(stage.table, noteBytes);
  t.match({ rows, wrong }, { rows: filled.rows + manyRows + inserted, wrong: 0 });
});
