import t from 'tap';
import { type DatabaseFacts, type DatabaseSession, judgeDatabase } from '../../../migrate/preflight/database.js';
import type { SessionRow } from '../../../proxy/control/contract.js';
import { inShort } from './facts.js';

const row: SessionRow = {
  ...{ workload: 'orders', instance: 'i', stream: 1, state: 'bound', address: '', database: '', phase: 'ready' },
  ...{ user: 'APP', sid: 12, serial: 34, instanceName: 'orcl1' },
  protection: 'protected',
  protocol: { version: 319, sduBytes: 8_192, endOfResponse: true, fieldVersion: 24 },
  ...{ callsInFlight: 0, callsTotal: 1, lastError: 0, pipelined: false, breakPhase: 'none', request: 'none' },
  ...{ transaction: 'none', movable: true, reason: 'idle', detail: '', bytes: { fromDriver: 0, fromDatabase: 0 } },
};
const session: DatabaseSession = {
  ...{ instance: 'ORCL1', sid: 12, serial: 34, user: 'APP', idleMs: 60_000, connectedMs: 600_000 },
  ...{ pooled: false, consumerGroup: 'OLTP' },
};
const facts: DatabaseFacts = {
  sessions: [session],
  waiters: [],
  profilesCount: true,
  profiles: new Map(),
  parameters: {},
  directives: new Map(),
  pool: {},
  unseen: [],
};
const absence = { blackoutMs: 2_000, budgetMs: 300_000 };
const judge = (changes: Partial<DatabaseFacts>, of: Partial<SessionRow> = {}) =>
  inShort(judgeDatabase([{ ...row, ...of }], { ...facts, ...changes }, absence));
const waiter = { instance: 'ORCL2', sid: 9, serial: 1, user: 'BATCH', waitedMs: 5_000 };
const open = { transaction: 'open' } as const;

t.test('no limit, or one that is 0, is nothing to say', async (t) => {
  t.same(judge({}), []);
  t.same(judge({ parameters: { maxIdleMinutes: 0, maxIdleBlockerMinutes: 0 }, pool: { thinkSeconds: 0 } }, open), []);
});

t.test(
  'a limit that is over within the blackout blocks; one within the hold warns; later ones do not matter',
  async (t) => {
    const idle = (minutes: number) => judge({ profiles: new Map([['APP', { idleMinutes: minutes }]]) });
    t.same(idle(1), ['blocks database-limit'], 'it has been idle for a minute');
    t.same(idle(2), ['warns database-limit']);
    t.same(idle(6), ['warns database-limit'], 'the hold is as long as what is left');
    t.same(idle(7), []);
  },
);

t.test('profiles count only with RESOURCE_LIMIT', async (t) => {
  const profiles = new Map([['APP', { idleMinutes: 1, connectMinutes: 10 }]]);
  t.same(judge({ profiles }), ['blocks database-limit', 'blocks database-limit']);
  t.same(judge({ profiles, profilesCount: false }), []);
});

t.test('minutes are minutes, and seconds are seconds', async (t) => {
  t.same(judge({ parameters: { maxIdleMinutes: 61 } }), []);
  t.same(judge({ directives: new Map([['OLTP', { maxIdleSeconds: 61 }]]) }), ['blocks database-limit']);
  t.same(judge({ directives: new Map([['BATCH', { maxIdleSeconds: 61 }]]) }), [], 'of another consumer group');
});

t.test('the limit of blockers runs while somebody waits, and may begin to while a transaction is open', async (t) => {
  const parameters = { maxIdleBlockerMinutes: 1 };
  const waiters = [{ ...waiter, blocker: { instance: 'ORCL1', sid: 12 } }];
  t.same(judge({ parameters }), [], 'without a transaction it blocks nobody');
  t.same(judge({ parameters }, open), ['warns database-limit']);
  t.same(judge({ parameters, waiters }, open), ['blocks database-limit', 'warns sessions-wait']);
});

t.test('the pool of the database has one think time in transactions and one outside', async (t) => {
  const pool = { thinkSeconds: 1_000, transactionThinkSeconds: 61 };
  const sessions = [{ ...session, pooled: true }];
  t.same(judge({ pool }, open), [], 'not of a pool');
  t.same(judge({ pool, sessions }), []);
  t.same(judge({ pool, sessions }, open), ['blocks database-limit']);
  t.same(judge({ pool: { thinkSeconds: 61, transactionThinkSeconds: 0 }, sessions }, open), ['blocks database-limit']);
  t.same(judge({ pool: { thinkSeconds: 61 }, sessions }, { reason: 'released' }), [], 'it is given back');
});

t.test('a call that is limited goes on while its application is away', async (t) => {
  const directives = new Map([['OLTP', { callSeconds: 10 }]]);
  t.same(judge({ directives }), []);
  t.same(judge({ directives }, { callsInFlight: 1, callMs: 9_000 }), ['blocks database-limit']);
  t.same(judge({ directives }, { callsInFlight: 1, callMs: 1_000 }), ['warns database-limit']);
});

t.test('those who wait for the workload are told, also from another instance; others are not', async (t) => {
  const [found] = judgeDatabase(
    [row],
    { ...facts, waiters: [{ ...waiter, blocker: { instance: 'ORCL1', sid: 12 } }] },
    absence,
  );
  t.match(found, { code: 'sessions-wait', found: 'session 9,1 of BATCH has waited 5.0 s for 12,34 of APP' });
  t.same(judge({ waiters: [{ ...waiter, blocker: { instance: 'ORCL2', sid: 12 } }] }), []);
});

t.test('a session of another instance or life with the same SID is another session', async (t) => {
  const profiles = new Map([['APP', { idleMinutes: 1 }]]);
  t.same(judge({ profiles, sessions: [{ ...session, instance: 'ORCL2' }] }), []);
  t.same(judge({ profiles, sessions: [{ ...session, serial: 35 }] }), []);
});

t.test('a view that may not be read is told with the reason', async (t) => {
  const [found] = judgeDatabase([row], { ...facts, unseen: [{ view: 'DBA_PROFILES', why: 'ORA-00942' }] }, absence);
  t.match(found, { severity: 'warns', code: 'database-unseen', found: 'DBA_PROFILES: ORA-00942' });
});
