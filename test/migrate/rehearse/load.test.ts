import { setTimeout } from 'node:timers/promises';
import t from 'tap';
import { judge, type Verdict } from '../../../migrate/judge/judge.js';
import { Ground } from '../../../migrate/rehearse/ground.js';
import { type Launch, Load } from '../../../migrate/rehearse/load.js';
import { workloadKinds } from '../../../migrate/rehearse/plan.js';
import { createTables, dropTables, readContent } from '../../../migrate/rehearse/tables.js';
import { Random } from '../../../shim/program/random.js';
import { Relay } from '../../e2e/relay.js';

const endMsMax = 60_000;
const wantedMin = 120;

t.test('real applications, judged by what they say and what the database has', async (t) => {
  const ground = await Ground.open(undefined, []);
  t.teardown(() => ground.close());
  const own = await ground.connect();
  t.teardown(() => own.close());

  const play = async (prefix: string, launch: Launch, meanwhile: (load: Load) => Promise<void>): Promise<Verdict> => {
    const tables = { prefix };
    const shape = { prefix, seed: 7, applications: 2, sessions: 10, kinds: workloadKinds, pauseMsMax: 5 };
    await createTables(own, tables, shape.sessions);
    const load = await Load.start({ ...shape, transactions: 0 }, ground.world.directory, launch);
    await meanwhile(load);
    while (load.committed() < wantedMin) await setTimeout(20);
    await load.stop(endMsMax);
    const verdict = judge(load.operations(), await readContent(own, tables));
    await dropTables(own, tables);
    return verdict;
  };

  await t.test('through shim and proxy, moved by relink: all are committed once, none is broken off', async (t) => {
    const verdict = await play('T1', ground.launchWorkload(false), async ({ names: [name = ''] }) => {
      const request = { name, to: 'node-b', mover: 'relink' } as const;
      const { outcome } = await ground.operator.ask('node-a', 'move', request, { timeoutMs: 0 });
      t.equal(outcome, 'moved');
    });
    t.strictSame(verdict.anomalies, []);
    t.match(verdict, { consistent: true, rolledBack: 0, unknown: 0, errors: {} });
    t.ok(verdict.rolledBackOnPurpose > 0 && verdict.committed >= wantedMin, 'some are rolled back on purpose');
  });

  await t.test('straight, with a cut: transactions are broken off, and history and database still agree', async (t) => {
    const random = new Random(7);
    const relay = await Relay.open(ground.world.databaseAddress, () => 20_000 + random.below(80_000));
    t.teardown(() => relay.close());
    const verdict = await play('T2', ground.launchAt(relay.address), async () => {
      relay.cut();
    });
    t.strictSame(verdict.anomalies, []);
    t.ok(verdict.rolledBack > 0, `${relay.cuts} cuts, ${verdict.rolledBack} broken off, ${verdict.unknown} unknown`);
    t.ok(Object.keys(verdict.errors).length > 0, JSON.stringify(verdict.errors));
  });
});
