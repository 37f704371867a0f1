import t from 'tap';
import { unfinished } from '../../migrate/moment.js';
import { moments } from '../../migrate/record.js';

const idle = { phase: 'ready', callsInFlight: 0, breakPhase: 'none', transaction: 'none', request: 'none' } as const;
/** For each moment, whether it is there. */
const there = (session: Parameters<typeof unfinished>[0]) =>
  Object.fromEntries(moments.map((moment) => [moment, unfinished(session, moment) === undefined]));

t.test('what a session does decides which moments are there: all rows', async (t) => {
  const none = { now: true, 'call-end': false, 'transaction-end': false, 'pool-return': false };
  const all = { now: true, 'call-end': true, 'transaction-end': true, 'pool-return': true };
  t.same(there(idle), all);
  t.same(there({ ...idle, request: 'ended' }), all);
  t.same(there({ ...idle, request: 'open' }), { ...all, 'pool-return': false });
  t.same(there({ ...idle, transaction: 'open' }), { ...none, 'call-end': true });
  t.same(there({ ...idle, transaction: 'unknown' }), { ...none, 'call-end': true });
  t.same(there({ ...idle, callsInFlight: 1 }), none);
  t.same(there({ ...idle, breakPhase: 'asked' }), none);
  t.same(there({ ...idle, phase: 'login' }), none);
  t.same(there({ ...idle, phase: 'logged-off', transaction: 'open' }), all);
});
