import { existsSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { findCriu } from '../../fixtures/lab/criu.js';
import { openWorld } from '../../fixtures/lab/world.js';
import type { MoveRecord } from '../../migrate/record.js';
import { OrdersWorkload } from '../e2e/orders.js';

/** Moves with CRIU between nodes that keep images in directories of their own: agents send them to each other. */
const images = mkdtempSync(join(tmpdir(), 'holdfast-images-'));
t.teardown(() => rmSync(images, { recursive: true, force: true }));
const found = await findCriu();
if (found.kind === 'missing') throw new Error(found.reason);
const world = await openWorld({
  mover: 'criu',
  criu: { 'node-a': found.path, 'node-b': found.path },
  // node-b keeps what it has got.
  agentOptions: (name) => ['--image-dir', join(images, name), ...(name === 'node-b' ? ['--keep-image'] : [])],
});
t.teardown(() => world.close());

const orders = new OrdersWorkload(world);
await orders.start();
const ask = async (verb: string, ...words: string[]) => (await orders.ask(verb, ...words)).reply;
const [session] = await ask('sessions');

t.test('the image is sent, restored there, and kept where that was asked for', async (t) => {
  const record: MoveRecord = await ask('move', 'orders', '--to', 'node-b');
  t.match(record, {
    outcome: 'moved',
    sessions: [{ sid: session.sid, transaction: { before: 'open', after: 'open' } }],
  });
  t.ok(record.blackoutMs.transfer > 0);
  t.match(world.agent('node-a').stdout + world.agent('node-a').stderr, /"connections":1.*image sent/);
  await orders.goesOn();
  t.same(readdirSync(join(images, 'node-a')), [], 'the source keeps nothing');
  const [kept = ''] = readdirSync(join(images, 'node-b'));
  t.equal(statSync(join(images, 'node-b', kept)).mode & 0o777, 0o700);
  t.ok(existsSync(join(images, 'node-b', kept, 'inventory.img')));
});

t.test('and back: a target that was not told to keep images keeps none', async (t) => {
  t.match(await ask('move', 'orders', '--to', 'node-a'), { outcome: 'moved' });
  await orders.goesOn();
  t.same(readdirSync(join(images, 'node-a')), []);
  const [now] = await ask('sessions');
  t.match(now, { sid: session.sid, serial: session.serial, transaction: 'open' });
});
