import t from 'tap';
import { growthOf, residentBytes, type Sample } from './resident.js';

const mebi = 1024 * 1024;
function samples(count: number, mebiAt: (second: number) => number): Sample[] {
  return Array.from({ length: count }, (_, second) => ({ atMs: second * 1_000, bytes: mebiAt(second) * mebi }));
}

t.test('a process that warms up and then stays is flat', async (t) => {
  const growth = growthOf(samples(120, (second) => Math.min(120, 80 + second * 2) + (second % 7)));
  t.match(growth, { firstMiB: 80, isFlat: true });
  t.ok(Math.abs(growth.slopeMiBPerMinute) < 1);
});

t.test('one that grows without end is not', async (t) => {
  const growth = growthOf(samples(120, (second) => 80 + second));
  t.match(growth, { slopeMiBPerMinute: 60, isFlat: false });
});

t.test('a short run says nothing', async (t) => {
  t.equal(growthOf(samples(20, (second) => 80 + second)).isFlat, undefined);
});

t.test('what a process keeps is read from the kernel', async (t) => {
  const before = residentBytes(process.pid)?.now ?? 0;
  const kept = Buffer.alloc(64 * mebi, 1);
  const { now = 0, highest = 0 } = residentBytes(process.pid) ?? {};
  t.ok(now - before > 50 * mebi && highest >= now, `${kept.length} bytes more are seen`);
  t.equal(residentBytes(2 ** 30), undefined);
});
