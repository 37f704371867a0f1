import t from 'tap';
import { Storm } from './storm.js';

t.setTimeout(240_000);

t.test(
  'a hundred and fifty workloads lose their links at once and come back: told when, none lost, sessions whole',
  async (t) => {
    const bindsPerSecond = 50;
    const workloads = 150;
    const result = await Storm.run({
      workloads,
      outageMs: 500,
      sessions: 5,
      withinMs: 30_000,
      proxyOptions: ['--binds-per-second', String(bindsPerSecond)],
      say: (text) => t.comment(text),
    });
    t.match(result, { ok: true, violations: [], lost: 0, sessionsLost: 0 });
    t.ok(result.tryLater > workloads / 3, `${result.tryLater} were told to come later`);
    t.ok(result.boundMs.max > 1_000, 'which takes as long as the rate says');
  },
);
