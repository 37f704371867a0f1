import t, { type Test } from 'tap';
import { openStage } from './play.js';
import { Relay } from './relay.js';
import { startShim } from './shim.js';
import { Stage } from './stage.js';

/**
 * What the other tests are worth: one application, one cut of the TCP connection that leads away from its host, without
 * Holdfast and with it.
 */
const { world, witness } = await openStage({ mover: 'relink' });
const noteBytes = 200;
const committed = 10;
const rows = 100;

/** Begins a transaction that another session waits for, and cuts the relay in its middle. */
async function cutInTransaction(t: Test, name: string, relay: Relay, address: string) {
  const stage = new Stage({ world, witness, name, waitMs: 60_000 });
  const steps = [
    { do: 'create' },
    { do: 'insert', rows: committed },
    { do: 'commit' },
    { do: 'update', id: 1 },
    { do: 'insert', rows },
    { do: 'gate', gate: 'cut' },
    { do: 'insert', rows },
    { do: 'gate', gate: 'commit' },
    { do: 'commit' },
  ] as const;
  const plan = { table: stage.table, noteBytes, connections: [steps] };
  const application = world.start(name, 'center', stage.command(address, plan));
  await application.printed(/"begun":"gate","gate":"cut"/);
  const [holder = 0, ...more] = await witness.writers();
  t.strictSame(more, [], 'one session is in a transaction');
  const other = stage.other({ do: 'update', id: 1 }, { do: 'commit' });
  const isWaiting = async () => ((await witness.waitingFor(holder)).length > 0 ? true : undefined);
  await stage.until('second session that waits', isWaiting);
  relay.cut();
  return { stage, application, other, holder, isWaiting };
}

t.test('with the driver connected straight to the database, a cut loses the transaction', async (t) => {
  const relay = await Relay.open(world.databaseAddress);
  t.teardown(() => relay.close());
  const { stage, application, other, holder } = await cutInTransaction(t, 'straight', relay, relay.address);
  t.match(await other.ended, { code: 0, stdout: /"done":"update","rows":1/ }, 'its lock is free, without a commit');
  t.notOk((await witness.writers()).includes(holder), 'the session is gone');
  stage.openGate('cut');
  const { code, stderr } = await application.ended;
  t.equal(code, 1, 'the application fails');
  t.match(stderr, /NJS-500/, 'with an error of the driver');
  t.match(
    await witness.contents(stage.table, noteBytes),
    { rows: committed, wrong: 0 },
    'the rows of the transaction are gone',
  );
});

t.test('through shim and proxy, the same cut loses nothing', async (t) => {
  const relay = await Relay.open(world.proxyAddress);
  t.teardown(() => relay.close());
  const listen = await startShim(world, 'through', relay.address);
  const { stage, application, other, holder, isWaiting } = await cutInTransaction(t, 'through', relay, listen);
  stage.openGate('cut');
  await application.printed(/"begun":"gate","gate":"commit"/);
  t.ok((await witness.writers()).includes(holder), 'the same process of PostgreSQL is in its transaction');
  t.ok(await isWaiting(), 'its lock is held');
  t.equal(await witness.visibleRows(stage.table), committed, 'nobody sees its rows');
  stage.openGate('commit');
  t.match(await application.ended, { code: 0, stderr: '' }, 'the application does not notice');
  t.match(await other.ended, { code: 0, stdout: /"done":"update","rows":1/ }, 'the lock is free after the commit');
  t.match(
    await witness.contents(stage.table, noteBytes),
    { rows: committed + rows * 2, wrong: 0 },
    'all rows are there',
  );
});
