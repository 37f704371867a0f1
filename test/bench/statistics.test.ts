import t from 'tap';
import { median, pairedRatio, rounded, spread } from './statistics.js';

t.test('the median of an even number lies between the two in the middle', async (t) => {
  t.equal(median([5, 1, 9]), 5);
  t.equal(median([4, 1, 9, 5]), 4.5);
  t.equal(median([7]), 7);
  t.ok(Number.isNaN(median([])));
});

t.test('a spread has the lowest and the highest beside the median, whatever their order', async (t) => {
  t.strictSame(spread([300, 100, 120]), { median: 120, low: 100, high: 300 });
});

t.test('a ratio is that of rounds, so what slows one whole round down changes nothing', async (t) => {
  const other = [100, 10, 80];
  t.equal(pairedRatio([150, 15, 120], other), 1.5, 'the second round was ten times as slow for both');
  t.equal(pairedRatio([150, 15], other), 1.5, 'rounds that only one has do not count');
  t.equal(pairedRatio([], other), undefined);
  t.equal(pairedRatio([1, 3], [0, 2]), 1.5, 'a round in which nothing was done says nothing');
});

t.test('numbers are shown with three digits, and never with less than stands before the point', async (t) => {
  t.strictSame([0.012345, 1.2345, 12.345, 123.45, 123_456.7, 0].map(rounded), [0.0123, 1.23, 12.3, 123, 123_457, 0]);
  t.strictSame(rounded(-1.2345), -1.23);
  t.ok(Number.isNaN(rounded(Number.NaN)));
});
