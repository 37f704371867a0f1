import t from 'tap';
import { blackoutOf, roundMs } from '../../migrate/record.js';

t.test('blackout is the time from detach to bind; preflight, verify and retire are not dark', async (t) => {
  const phases = (['preflight', 'detach', 'freeze', 'transfer', 'restore', 'bind', 'verify', 'retire'] as const).map(
    (phase, index) => ({ phase, ms: 2 ** index }),
  );
  t.same(blackoutOf(phases), { total: 2 + 4 + 8 + 16 + 32, detach: 2, freeze: 4, transfer: 8, restore: 16, bind: 32 });
});

t.test('phases that a mover does not have count nothing', async (t) => {
  const phases = [{ phase: 'detach', ms: 0.1 } as const, { phase: 'bind', ms: 0.2 } as const];
  t.same(blackoutOf(phases), { total: 0.3, detach: 0.1, freeze: 0, transfer: 0, restore: 0, bind: 0.2 });
});

t.test('times are kept to a hundredth of a millisecond', async (t) => {
  t.equal(roundMs(1.23456), 1.23);
});
