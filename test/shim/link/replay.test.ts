import fc from 'fast-check';
import t from 'tap';
import { Replay } from '../../../shim/link/replay.js';

/** The same thing done the obvious way: one buffer of everything ever appended. */
class Naive {
  all = Buffer.alloc(0);
  base = 0;
  cursor = 0;
}

t.test('any mix of append, copy, trim, seek and truncate agrees with the naive way', async (t) => {
  // Mostly small appends, so that blocks are filled little by little too.
  const append = fc.record({ op: fc.constant('append' as const), n: fc.integer({ min: 0, max: 40 }) });
  const operation = fc.oneof(
    { arbitrary: append, weight: 20 },
    fc.record({ op: fc.constant('big' as const), n: fc.integer({ min: 1000, max: 20_000 }) }),
    fc.record({ op: fc.constant('copy' as const), n: fc.integer({ min: 0, max: 30_000 }) }),
    fc.record({ op: fc.constant('trim' as const), n: fc.integer({ min: 0, max: 1000 }) }),
    fc.record({ op: fc.constant('seek' as const), n: fc.integer({ min: 0, max: 1000 }) }),
    fc.record({ op: fc.constant('truncate' as const), n: fc.constant(0) }),
  );
  let counter = 0;
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 800, size: 'max' }), (operations) => {
      const replay = new Replay();
      const naive = new Naive();
      // Shares the memory: a block that is given back too early, or twice, is written over by one of the two.
      const other = new Replay();
      const others: Buffer[] = [];
      for (const { op, n } of operations) {
        if (op === 'append' || op === 'big') {
          const bytes = Buffer.from(Array.from({ length: n }, () => counter++ % 256));
          replay.append(bytes);
          other.append(bytes);
          others.push(bytes);
          naive.all = Buffer.concat([naive.all, bytes]);
        } else if (op === 'copy') {
          const target = Buffer.alloc(n + 3);
          const copied = replay.copyNext(target, 3, n);
          const expected = naive.all.subarray(naive.cursor, naive.cursor + n);
          if (!target.subarray(3, 3 + copied).equals(expected)) return false;
          naive.cursor += expected.length;
        } else if (op === 'trim') {
          naive.base += Math.floor(((naive.cursor - naive.base) * n) / 1000);
          replay.trim(naive.base);
        } else if (op === 'seek') {
          naive.cursor = naive.base + Math.floor(((naive.all.length - naive.base) * n) / 1000);
          replay.seek(naive.cursor);
        } else {
          naive.all = naive.all.subarray(0, naive.cursor);
          replay.truncate();
        }
        if (replay.base !== naive.base || replay.cursor !== naive.cursor || replay.end !== naive.all.length)
          return false;
      }
      const unharmed =
        Buffer.concat(other.stored()).equals(Buffer.concat(others)) &&
        Buffer.concat(replay.stored()).equals(naive.all.subarray(naive.base));
      replay.drop();
      other.drop();
      return unharmed;
    }),
    { numRuns: 200 },
  );
  t.pass('200 programs');
});
