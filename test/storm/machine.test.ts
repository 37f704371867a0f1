import t from 'tap';
import { machineMs, quantile } from './machine.js';

t.test('a quantile is a value that was seen', async (t) => {
  const values = Array.from({ length: 200 }, (_, index) => 200 - index);
  t.strictSame(
    [0.5, 0.99, 1].map((share) => quantile(values, share)),
    [100, 198, 200],
  );
  t.equal(quantile([7], 0.5), 7);
  t.equal(quantile([], 0.5), 0);
});

t.test('the clock of the machine goes on', async (t) => {
  const before = machineMs();
  t.ok(machineMs() >= before && before > 0);
});
