import { rmSync } from 'node:fs';
import t, { type Test } from 'tap';
import { Crash, type CrashOptions } from './crash.js';

t.setTimeout(300_000);

const none = { abort: 0, stop: 0, throw: 0, spin: 0, memory: 0, window: 0 };

function crash(t: Test, more: Partial<CrashOptions>) {
  return Crash.run({
    sessions: 6,
    workloads: 2,
    kills: 2,
    others: none,
    upgrades: 0,
    durationMs: 4_000,
    seed: 1,
    stallMs: 60_000,
    plant: 'none',
    proxyOptions: [],
    say: (text) => t.comment(text),
    ...more,
  });
}

t.test('workers are replaced and killed, also between reading and putting down, and nothing is lost', async (t) => {
  const result = await crash(t, { upgrades: 1, others: { ...none, window: 2 } });
  t.match(result, { ok: true, violations: [], lost: 0, duplicated: 0, rolledBack: 0, endedSessions: 0 });
  t.match(result, { kills: 2, upgrades: 1 });
  t.ok(result.transactionsHit > 0, `${result.transactionsHit} transactions went over ends of workers`);
});

t.test('what is not put down is lost, and the run fails', async (t) => {
  const result = await crash(t, { plant: 'forget' });
  t.equal(result.ok, false);
  t.ok(result.endedSessions > result.endedSessionsMax, result.violations.join('; '));
  if (result.kept !== undefined) rmSync(result.kept, { recursive: true });
});
