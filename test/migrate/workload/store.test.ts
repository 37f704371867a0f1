import { chmodSync, existsSync, mkdirSync, realpathSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { processState } from '../../../migrate/workload/process.js';
import { lifeOf, Store } from '../../../migrate/workload/store.js';

const workload = {
  name: 'orders',
  node: 'node-a',
  pid: process.pid,
  startTicks: processState(process.pid)?.startTicks ?? '',
  isolated: false,
  mover: 'criu' as const,
  command: ['sleep'],
  startedAt: '2026-01-01T00:00:00.000Z',
};

t.test('a workload is read as it was written, and only its owner may look', async (t) => {
  const root = t.testdir();
  const store = new Store(root);
  store.create('orders');
  store.write(workload);
  t.same(store.read('orders'), workload);
  t.same(new Store(root).all(), [workload]);
  t.equal(store.read('other'), undefined);
  t.equal(statSync(join(root, 'workloads')).mode & 0o777, 0o700);
  t.equal(statSync(store.directory('orders')).mode & 0o777, 0o700);
});

t.test('where an image is written only its owner may look, whatever was done to the directories before', async (t) => {
  const root = t.testdir();
  const store = new Store(root);
  store.create('orders');
  store.openMove('orders', 'm1');
  const above = [join(root, 'workloads'), store.directory('orders'), store.moveDirectory('orders', 'm1')];
  for (const directory of above) chmodSync(directory, 0o755);
  store.openMove('orders', 'm1');
  for (const directory of above) t.equal(statSync(directory).mode & 0o777, 0o700, directory);
});

t.test('a directory of another user is refused: he could open it', async (t) => {
  const me = process.getuid?.() ?? 0;
  t.throws(() => new Store(t.testdir(), me + 1), { message: /belongs to another user \(id \d+\)/ });
});

t.test('a new workload finds nothing of an old one of the same name', async (t) => {
  const store = new Store(t.testdir());
  writeFileSync(join(store.create('orders'), 'exit'), '7\n');
  t.equal(store.exitCode('orders'), 7);
  store.create('orders');
  t.equal(store.exitCode('orders'), undefined);
});

t.test('a file that is not what it should be is an error that names it', async (t) => {
  const store = new Store(t.testdir());
  writeFileSync(join(store.create('orders'), 'workload.json'), '{"name": "orders", "node": 5}');
  t.throws(() => store.read('orders'), { code: 'bad-file', message: /workload.json: node: / });
});

t.test('the image of a move is removed, its record and logs stay', async (t) => {
  const store = new Store(t.testdir());
  store.create('orders');
  const directory = store.openMove('orders', 'm1');
  mkdirSync(join(directory, 'image'));
  store.writeRecord('orders', 'm1', { outcome: 'moved' });
  store.writeCopy('orders', 'm1', { pid: 5, startTicks: '6', isReleased: false });
  store.removeImage('orders', 'm1');
  t.throws(() => statSync(join(directory, 'image')));
  t.ok(statSync(join(directory, 'record.json')));
  t.same(store.readCopy('orders', 'm1'), { pid: 5, startTicks: '6', isReleased: false });
  t.equal(store.readCopy('orders', 'm2'), undefined);
  t.ok(store.hasMove('orders', 'm1'));
});

t.test('a process id that now belongs to another process counts as ended', async (t) => {
  t.equal(lifeOf(workload), 'running');
  t.equal(lifeOf({ ...workload, startTicks: '1' }), 'ended');
  t.equal(lifeOf({ ...workload, pid: 2 ** 22 + 1 }), 'ended');
});

t.test('an image of its own node is reached by the name that all nodes see, and removed with it', async (t) => {
  const home = t.testdir();
  const store = new Store(join(home, 'state'), process.getuid?.(), { images: join(home, 'own') });
  store.create('orders');
  const shared = join(store.openMove('orders', 'm1'), 'image');
  const own = store.openImage('orders', 'm1');
  t.equal(store.openImage('orders', 'm1'), own, 'once more');
  t.equal(statSync(own).mode & 0o777, 0o700);
  t.equal(realpathSync(shared), realpathSync(own));
  const other = new Store(join(home, 'state'), process.getuid?.(), { images: join(home, 'other') });
  const theirs = other.openImage('orders', 'm1');
  t.equal(realpathSync(shared), realpathSync(theirs), 'it leads to whoever has it last');
  store.removeImage('orders', 'm1');
  t.same([existsSync(own), existsSync(theirs), existsSync(shared)], [false, true, false], 'each removes its own');
  const keeping = new Store(join(home, 'state'), process.getuid?.(), { images: join(home, 'other'), keepImages: true });
  keeping.removeImage('orders', 'm1');
  t.ok(existsSync(theirs));
});
