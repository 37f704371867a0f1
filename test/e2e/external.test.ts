import t from 'tap';
import { openWorld } from '../../fixtures/lab/world.js';
import type { SessionRow } from '../../proxy/control/contract.js';
import { held } from '../errors/held.js';
import { OrdersWorkload } from './orders.js';

/** Moves that somebody else makes: a workload is parked, is away, and is awaited. */

t.test('a workload of an agent is parked in mid-transaction, and goes on when it is awaited', async (t) => {
  const world = await openWorld({ mover: 'relink', proxyOptions: ['--hold-transaction', '1s', '--hold-idle', '1s'] });
  t.teardown(() => world.close());
  const orders = new OrdersWorkload(world);
  await orders.start();
  const session = async (): Promise<SessionRow> => (await orders.ask('sessions')).reply[0];
  const { sid, serial } = await session();

  const { reply: ticket } = await orders.ask('hold', 'orders');
  t.match(ticket, { name: 'orders', epoch: 1, sessions: 1, node: 'node-a' });
  const now = await session();
  t.match(now, { state: 'held', sid, serial, transaction: 'open' });
  t.match(
    (await orders.ask('holds')).reply,
    [{ workload: 'orders', state: 'pinned' }],
    'its budget of a second does not end it',
  );
  t.match(await orders.ask('hold', 'orders'), { code: 1, reply: { error: { code: 'not-bound' } } });
  t.match(await orders.ask('move', 'orders', '--to', 'node-b', '--mover', 'relink'), {
    reply: { error: { code: 'not-bound' } },
  });

  const { code, reply: row } = await orders.ask('await', 'orders', '--instance', ticket.instance, '--epoch', '1');
  t.match([code, row], [0, { name: 'orders', state: 'bound', epoch: 2 }]);
  await orders.goesOn();
  t.match(await session(), { state: 'bound', sid, serial, transaction: 'open' });
  t.match(await orders.ask('workloads'), { reply: [{ link: { pinned: undefined } }] }, 'and has its budget again');
  t.match(await orders.ask('await', 'orders', '--epoch', '2', '--timeout', '1ms'), {
    code: 1,
    reply: { error: { code: 'await-timeout' } },
  });
  t.match(await orders.ask('await', 'nothing'), { code: 1, reply: { error: { code: 'unknown-workload' } } });
});

t.test('a shim that no agent knows is pinned, and awaited when it comes back by itself', async (t) => {
  const stage = await held(t);
  const connection = await stage.connect();
  await connection.execute('CREATE TABLE parked (id NUMBER)');
  await connection.execute('INSERT INTO parked VALUES (1)');
  const parked = await stage.holdfast('hold', 'orders');
  t.match(parked, { code: 0, stdout: /^orders is parked with 1 sessions.*no agent has it/ });
  const words = /await orders --instance (\S+) --epoch (\d+)/.exec(parked.stdout) ?? [];
  await stage.detach();
  const awaited = stage.holdfast('await', 'orders', '--instance', words[1] ?? '', '--epoch', words[2] ?? '');
  await stage.attach();
  t.match(await awaited, { code: 0, stdout: /^orders is bound from .* epoch 2, 1 sessions\n$/ });
  await connection.commit();
  t.same((await connection.execute('SELECT COUNT(*) FROM parked')).rows, [[1]]);
  await connection.close();
});
