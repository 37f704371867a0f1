/** When memory is given back, and that it is. */
import t from 'tap';
import { collectHeap, collectWhenIdle, heapTotal } from '../../proxy/idle.js';
import { HandClock } from './inject/hand-clock.js';

const limits = { restMs: 1_000, growth: 0.25, growthBytes: 100 };

/** A heap that is what the test says, and falls to half of it when it is collected. */
function collected() {
  const clock = new HandClock();
  const heap = { passed: 0, bytes: 400, collections: 0, told: [] as object[] };
  const stop = collectWhenIdle({
    limits,
    passedBytes: () => heap.passed,
    heapBytes: () => heap.bytes,
    collect: (done) => {
      heap.collections += 1;
      heap.bytes /= 2;
      done();
    },
    clock,
    log: { info: (fields: object) => void heap.told.push(fields) },
  });
  return { clock, heap, stop };
}

t.test('once, when nothing has passed for a while and enough has come together', async (t) => {
  const { clock, heap } = collected();
  heap.bytes = 600;
  clock.pass(999);
  t.equal(heap.collections, 0);
  clock.pass(1);
  t.equal(heap.collections, 1, '400, a quarter of it, and 100');
  t.strictSame(heap.told, [{ bytes: 300, ms: 0 }]);
  clock.pass(10_000);
  t.equal(heap.collections, 1);
  heap.bytes = 474;
  clock.pass(1_000);
  t.equal(heap.collections, 1, 'what is left counts from then on: 300, a quarter of it, and 100');
  heap.bytes = 475;
  clock.pass(1_000);
  t.equal(heap.collections, 2);
});

t.test('not while anything passes', async (t) => {
  const { clock, heap } = collected();
  heap.bytes = 10_000;
  for (let count = 0; count < 10; count += 1) {
    heap.passed += 1;
    clock.pass(1_000);
  }
  t.equal(heap.collections, 0);
  clock.pass(1_000);
  t.equal(heap.collections, 1);
});

t.test('what V8 has taken by itself was not left to be taken', async (t) => {
  const { clock, heap } = collected();
  heap.bytes = 100;
  clock.pass(1_000);
  heap.bytes = 225;
  clock.pass(1_000);
  t.equal(heap.collections, 1);
});

t.test('not after it was stopped', async (t) => {
  const { clock, heap, stop } = collected();
  heap.bytes = 10_000;
  stop();
  clock.pass(10_000);
  t.equal(heap.collections, 0);
});

t.test('what nobody needs goes', async (t) => {
  const wanted = 20 * 1024 * 1024;
  const before = heapTotal();
  const kept: object[][] = [[]];
  while (heapTotal() < before + wanted) for (let count = 0; count < 1_000; count += 1) kept[0]?.push({ count });
  const full = heapTotal();
  kept.length = 0;
  await new Promise<void>(collectHeap);
  t.ok(heapTotal() < full - wanted / 2, `${full} to ${heapTotal()}`);
});
