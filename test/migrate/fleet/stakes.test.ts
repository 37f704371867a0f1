import t from 'tap';
import { compareStakes, stakesOf, waitingCallMs } from '../../../migrate/fleet/stakes.js';

const row = { service: 'orders', transaction: 'none', callsInFlight: 0 } as const;
const holder = { ...row, workload: 'holder', transaction: 'open', transactionMs: 5_000 } as const;
const caller = { ...row, workload: 'caller', callsInFlight: 1, callMs: 2_000 } as const;

t.test('sessions, transactions and calls of a workload are counted, unknown transactions too', async (t) => {
  const rows = [holder, { ...row, workload: 'holder', transaction: 'unknown', callsInFlight: 2 } as const, caller];
  t.strictSame(stakesOf('holder', rows), { sessions: 2, transactions: 2, callsInFlight: 2, waiters: 1 });
  t.strictSame(stakesOf('nobody', rows), { sessions: 0, transactions: 0, callsInFlight: 0, waiters: 0 });
});

t.test('a call may wait for the locks of a transaction that was open before it began', async (t) => {
  const waiters = (call: object, of = holder) => stakesOf('holder', [of, { ...caller, ...call }]).waiters;
  t.equal(waiters({}), 1);
  t.equal(waiters({ callMs: 5_001 }), 0, 'the call is older than the transaction');
  t.equal(waiters({ callMs: waitingCallMs - 1 }), 0, 'too short to say');
  t.equal(waiters({ service: 'billing' }), 0, 'another database');
  t.equal(waiters({ service: 'other', databaseName: 'DB' }, { ...holder, ...{ databaseName: 'DB' } }), 1);
  t.equal(waiters({ workload: 'holder' }), 0, 'one of its own');
  t.equal(waiters({ callMs: undefined }), 0, 'no call');
});

t.test('waiters count more than transactions, these more than calls, these more than sessions', async (t) => {
  const none = { sessions: 9, transactions: 0, callsInFlight: 0, waiters: 0 };
  const ordered = [
    none,
    { ...none, sessions: 10 },
    { ...none, sessions: 1, callsInFlight: 1 },
    { ...none, sessions: 1, transactions: 1 },
    { ...none, sessions: 1, waiters: 1 },
  ];
  t.strictSame(ordered.toReversed().sort(compareStakes), ordered);
});
