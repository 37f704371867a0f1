import t from 'tap';
import { firstAnswerMs, longestMs, type Span, spansHit, spreadOf } from './answers.js';

const calls: readonly Span[] = [
  [0, 5],
  [10, 30],
  [40, 41],
];

t.test('the first answer is that of the first call that began after the hit', async (t) => {
  t.equal(firstAnswerMs(calls, -1), 6);
  t.equal(firstAnswerMs(calls, 2), 28);
  t.equal(firstAnswerMs(calls, 10), 20);
  t.equal(firstAnswerMs(calls, 11), 30, 'the call under way does not count');
  t.equal(firstAnswerMs(calls, 41), undefined, 'no call came after');
  t.equal(firstAnswerMs([], 1), undefined);
});

t.test('an upgrade is felt as the longest call that was under way while it was made', async (t) => {
  t.equal(longestMs(calls, 0, 100), 20);
  t.equal(longestMs(calls, 31, 50), 1);
  t.equal(longestMs(calls, 29, 41), 20);
  t.equal(longestMs(calls, 50, 60), 0);
});

t.test('spans are counted that were open at a hit', async (t) => {
  const hits = [3, 20, 25, 35].map((atMs) => ({ kind: 'kill', atMs }));
  t.same(spansHit(calls, hits), { count: 2, most: 2 });
  t.same(spansHit([], hits), { count: 0, most: 0 });
});

t.test('a spread tells the middle, the last hundredth and the most', async (t) => {
  const values = Array.from({ length: 200 }, (_, index) => 200 - index);
  t.same(spreadOf(values), { count: 200, p50: 101, p99: 199, max: 200 });
  t.same(spreadOf([]), { count: 0, p50: 0, p99: 0, max: 0 });
});
