import fc from 'fast-check';
import t from 'tap';
import { defaultProxyLimits, type ProxyLimits } from '../../../proxy/limits.js';
import { partOf, slotEnvironment, slotOf, slotOfHash, takeSlot } from '../../../proxy/workers/slot.js';
import { hashOfServerName, linkServerName, workloadHash } from '../../../shim/program/server-name.js';

t.test('a workload has one slot, the same in every process and version', async (t) => {
  // The first four bytes of SHA-256 of the name: e.g. printf orders | sha256sum
  t.equal(workloadHash('orders').toString(16), '1c168adb');
  t.equal(slotOf('orders', 3), 0x1c168adb % 3);
  t.equal(slotOf('orders', 1), 0);
});

t.test('workloads are spread evenly', async (t) => {
  const counts = [0, 0, 0, 0];
  for (let number = 0; number < 4_000; number++) {
    const slot = slotOf(`app-${number}`, 4);
    counts[slot] = (counts[slot] ?? 0) + 1;
  }
  t.ok(Math.min(...counts) > 900, counts.join(' '));
});

t.test('what a server name is made of comes back, whatever the name of the workload; others say nothing', async (t) => {
  fc.assert(
    fc.property(fc.string({ minLength: 1, unit: 'grapheme' }), (workload) => {
      const name = linkServerName(workload);
      return /^[0-9a-f]{8}\.link\.holdfast$/.test(name) && hashOfServerName(name) === workloadHash(workload);
    }),
  );
  for (const other of [
    '',
    'db.example',
    '1234567.link.holdfast',
    '12345678.link.holdfast.example',
    'x.link.holdfast',
  ]) {
    t.equal(hashOfServerName(other), undefined, other);
  }
  t.equal(slotOfHash(0xffff_ffff, 64), 63);
});

t.test('the parts of all workers together are what the proxy may use, and none has nothing', async (t) => {
  const whole: ProxyLimits = { ...defaultProxyLimits, sessionsMax: 100, processBytesMax: 2 ** 20, handshakesMax: 2 };
  const part = partOf(whole, 3);
  t.match(part, {
    sessionsMax: 34,
    processBytesMax: Math.ceil(2 ** 20 / 3),
    handshakesMax: 1,
    handshakesPerAddressMax: 1,
  });
  t.equal(part.workloadBytesMax, whole.workloadBytesMax, 'one workload is in one of them');
  t.equal(part.sessionsPerWorkloadMax, whole.sessionsPerWorkloadMax);
  t.strictSame(partOf(whole, 1), { ...whole, handshakesPerAddressMax: 2 });
});

t.test('a worker is told its slot once: what it starts itself must not find it', async (t) => {
  const slot = { index: 1, of: 3, meeting: '/run/somewhere' };
  const environment: NodeJS.ProcessEnv = { ...slotEnvironment(slot) };
  t.strictSame(takeSlot(environment), slot);
  t.equal(takeSlot(environment), undefined);
});
