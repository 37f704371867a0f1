/** Every fault by meaning, on a real driver before a real server: it acts, and it is gone when its rule is. */
import type oracledb from 'oracledb';
import { pino } from 'pino';
import t, { type Test } from 'tap';
import { type OracleServer, startOracleServer } from '../../../fixtures/oracle/server.js';
import type { AuditEntry } from '../../../proxy/audit/entry.js';
import { type FaultRuleInput, faultRule } from '../../../proxy/inject/contract.js';
import { Faults } from '../../../proxy/inject/faults.js';
import { FaultGate } from '../../../proxy/inject/gate.js';
import { heldBytesMax } from '../../../proxy/inject/limits.js';
import { systemClock } from '../../../shim/link/socket.js';
import { column, MemoryDatabase, type MemorySession, rowSource } from '../../fixtures/oracle/memory-database.js';
import { connect, login, service } from '../backend/conformance/stand.js';
import type { PipeOptions } from '../backend/pipe.js';

type Input = Extract<FaultRuleInput, { kind: 'call' }>;
const by = { user: 'alice', host: 'desk' };

interface Stage {
  readonly faults: Faults;
  readonly database: MemoryDatabase;
  readonly entries: AuditEntry[];
  readonly cuts: string[];
  readonly gates: FaultGate[];
  /** The session of the driver, with one call made and a transaction open. */
  open(): Promise<{ readonly connection: oracledb.Connection; readonly session: MemorySession }>;
  add(rule: Pick<Input, 'when' | 'action'> & Partial<Input>): void;
  acts(): Promise<readonly object[]>;
  connect(): ReturnType<typeof connect>;
}

async function stage(t: Test, options: PipeOptions = {}): Promise<Stage> {
  const database = new MemoryDatabase();
  const log = { info: () => {}, warn: () => {} };
  const server: OracleServer = await startOracleServer({ database, host: '127.0.0.1', port: 0, log });
  t.teardown(() => server.close());
  const insert = async ({ session }: { session: MemorySession }) => {
    session.inTransaction = true;
    return { rowCount: 1 };
  };
  database.answers.set('insert x', insert);
  const entries: AuditEntry[] = [];
  const cuts: string[] = [];
  const gates: FaultGate[] = [];
  const faults = new Faults({ audit: { record: (entry) => entries.push(entry) }, clock: systemClock });
  t.teardown(() => faults.stop());
  let stream = 0;
  const before: PipeOptions['before'] = (events, make) => {
    stream += 1;
    const owner = { workload: 'orders', instance: 'i', stream, cutLink: () => void cuts.push('link') };
    const gate = new FaultGate({ faults, owner, events, clock: systemClock, log: pino({ level: 'silent' }) }, make);
    gates.push(gate);
    return gate;
  };
  const dial = () => connect(t, { host: server.host, port: server.port }, { ...options, before });
  return {
    faults,
    database,
    entries,
    cuts,
    gates,
    connect: dial,
    open: async () => {
      const { connection } = await dial();
      await connection.execute('insert x');
      const session = database.sessions.at(-1);
      if (session === undefined) throw new Error('no session');
      return { connection, session };
    },
    add: (rule) => void faults.add([faultRule.parse({ id: 'fault', kind: 'call', ...rule })], by),
    acts: async () => (await faults.acts.watch(0, 0)).acts,
  };
}

const points = ['before-request', 'in-request', 'after-request', 'before-response', 'in-response'] as const;
for (const at of points) {
  t.test(`a cut of the driver's leg ${at} of a COMMIT is seen by the driver, once`, async (t) => {
    const { open, add, acts, faults, entries } = await stage(t);
    const { connection, session } = await open();
    const part = at.startsWith('in-') ? { fraction: 0.5 } : {};
    add({ when: { call: 'commit', at, ...part }, action: { kind: 'cut', leg: 'driver' } });
    await t.rejects(connection.commit(), /NJS-500|NJS-501|ORA-03113|closed/);
    const isDone = at === 'before-response' || at === 'in-response';
    if (isDone) t.ok(session.calls.includes('commit'), 'the database has committed');
    if (at === 'before-request' || at === 'in-request')
      t.notOk(session.calls.includes('commit'), 'it never heard of it');
    t.match(await acts(), [
      { rule: 'fault', action: 'cut', call: 'commit', point: at, session: 1, match: 1, user: 'shop' },
    ]);
    t.match(entries, [
      { event: 'fault-added' },
      { event: 'fault', fault: 'fault', workload: 'orders', act: { point: at } },
    ]);
    faults.remove(undefined, by);
    const next = await open();
    await next.connection.commit();
    t.ok(next.session.calls.includes('commit'), 'without the rule nothing is cut');
  });
}

t.test('a cut after the response is seen by the next call', async (t) => {
  const { open, add } = await stage(t);
  const { connection, session } = await open();
  add({ when: { call: 'commit', at: 'after-response' }, action: { kind: 'cut', leg: 'driver', how: 'close' } });
  await connection.commit();
  t.ok(session.calls.includes('commit'));
  await t.rejects(connection.execute('insert x'));
});

t.test('COMMIT is delivered and done, its answer withheld, and the driver told nothing', async (t) => {
  const { open, add, acts } = await stage(t);
  const { connection, session } = await open();
  add({ when: { call: 'commit', at: 'before-response' }, action: { kind: 'withhold' } });
  await t.rejects(connection.commit(), /NJS-500|NJS-501|closed/);
  t.ok(session.calls.includes('commit'));
  t.match(await acts(), [{ action: 'withhold', transaction: 'none' }]);
});

t.test(
  'an answer that is withheld is kept up to a limit; a longer one ends the connection before it is whole',
  async (t) => {
    const { open, add, acts, gates, database } = await stage(t);
    const { connection } = await open();
    const columns = [column('C0', 'VARCHAR2', { sizeBytes: 4_000 })];
    const rows = Array.from({ length: 2_000 }, () => ['x'.repeat(4_000)]);
    database.answers.set('select big', () => ({ rowCount: 0, rows: rowSource(columns, rows) }));
    add({ when: { call: 'execute', at: 'before-response' }, action: { kind: 'withhold' } });
    await t.rejects(connection.execute('select big', [], { fetchArraySize: 2_000, prefetchRows: 2_000 }));
    t.match(await acts(), [{ action: 'withhold', call: 'execute' }]);
    const delivered = gates[0]?.describe().positions.delivered ?? 0;
    t.ok(delivered > heldBytesMax, `${delivered} bytes were read`);
    t.ok(delivered < 2_000 * 4_000, 'and not all of them');
  },
);

t.test('a cut of the database leg ends the session as a lost connection does', async (t) => {
  const lost: unknown[] = [];
  const { open, add } = await stage(t, { onClosed: (error) => lost.push(error?.code) });
  const { connection } = await open();
  add({ when: { call: 'execute', at: 'before-request' }, action: { kind: 'cut', leg: 'database' } });
  await t.rejects(connection.execute('insert x'));
  t.strictSame(lost, ['database-lost']);
});

t.test('a cut of the link ends no session', async (t) => {
  const { open, add, cuts } = await stage(t);
  const { connection } = await open();
  add({ when: { call: 'commit', at: 'before-response' }, action: { kind: 'cut', leg: 'link' } });
  await connection.commit();
  t.strictSame(cuts, ['link']);
});

for (const direction of ['to-database', 'to-driver', 'both'] as const) {
  t.test(`a stall ${direction} lasts until its rule is removed, and then everything goes on`, async (t) => {
    const { open, add, faults } = await stage(t);
    const { connection, session } = await open();
    add({ when: { call: 'commit', at: 'before-request' }, action: { kind: 'stall', direction } });
    let isDone = false;
    const committed = connection.commit().then(() => {
      isDone = true;
    });
    while (faults.rows()[0]?.holding !== 1) await new Promise(setImmediate);
    if (direction === 'to-driver') while (!session.calls.includes('commit')) await new Promise(setImmediate);
    t.notOk(isDone);
    if (direction !== 'to-driver') t.notOk(session.calls.includes('commit'));
    faults.remove(['fault'], by);
    await committed;
    t.ok(session.calls.includes('commit'));
    await connection.execute('insert x');
  });
}

t.test('what a stall keeps back of an answer is told to whoever puts the session down', async (t) => {
  const { open, add, faults, gates } = await stage(t);
  const { connection } = await open();
  const [gate] = gates;
  t.equal(gate?.held().length, 0);
  const before = gate?.record()?.positions.delivered ?? 0;
  const action = { kind: 'stall', direction: 'to-driver' } as const;
  add({ when: { call: 'commit', at: 'in-response', byte: 5 }, action });
  const committed = connection.commit();
  while (faults.rows()[0]?.holding !== 1) await new Promise(setImmediate);
  const delivered = gate?.record()?.positions.delivered ?? 0;
  t.equal(
    gate?.held().length,
    delivered - before - 5,
    'all that the record calls delivered, and the driver has not got',
  );
  faults.remove(undefined, by);
  await committed;
  t.equal(gate?.held().length, 0);
});

t.test('a stall ends by itself when it says so, and a delay is as long as it says', async (t) => {
  const { open, add, faults } = await stage(t);
  const { connection } = await open();
  const when = { call: 'commit', at: 'before-request' } as const;
  for (const action of [
    { kind: 'stall', forMs: 60 },
    { kind: 'delay', ms: 60 },
  ] as const) {
    add({ id: action.kind, when, action, times: { total: 1 } });
    const beganMs = performance.now();
    await connection.commit();
    t.ok(performance.now() - beganMs >= 59, action.kind);
    t.match(faults.rows().at(-1), { acts: 1, holding: 0 });
    await connection.execute('insert x');
  }
});

for (const ora of [3113, 3114, 3135, 28, 1089, 12_537]) {
  for (const at of ['before-request', 'before-response'] as const) {
    t.test(`the answer is replaced by ORA-${ora} ${at}, as the driver knows it`, async (t) => {
      const { open, add, acts } = await stage(t);
      const { connection, session } = await open();
      add({ when: { call: 'commit', at }, action: { kind: 'error', ora } });
      const error: Error & { errorNum?: number; cause?: unknown } = await connection.commit().then(
        () => new Error('no error'),
        (thrown: Error) => thrown,
      );
      const number = String(ora).padStart(5, '0');
      t.match(`${error.message} ${String(error.cause ?? '')}`, new RegExp(`ORA-${number}|NJS-500`));
      t.equal(session.calls.includes('commit'), at === 'before-response');
      t.match(await acts(), [{ action: 'error', ora }]);
      await t.rejects(connection.execute('insert x'), 'the connection has ended');
    });
  }
}

/** What the driver makes of them. */
const refusals = [
  [12_514, /NJS-518/],
  [12_505, /NJS-519/],
  [1_153, /1153/],
] as const;
for (const [ora, said] of refusals) {
  t.test(`a listener refuses with ${ora}, and does not when the rule is gone`, async (t) => {
    const { connect, add, faults } = await stage(t);
    const target = { workload: 'orders', service };
    add({ target, when: { call: 'connect', at: 'before-request' }, action: { kind: 'refuse', ora } });
    await t.rejects(connect(), said);
    faults.remove(undefined, by);
    await (await connect()).connection.ping();
  });
}

t.test('a redirect sends the driver to another listener', async (t) => {
  const other = await stage(t);
  const { front } = await other.connect();
  const { connect, add, database } = await stage(t);
  const action = { kind: 'redirect', host: '127.0.0.1', port: front.port } as const;
  add({ when: { call: 'connect', at: 'before-request' }, action });
  await (await connect()).connection.ping();
  t.equal(database.sessions.length, 0);
  t.equal(other.database.sessions.length, 2);
});

t.test('an in-band notification is put in, and the session goes on', async (t) => {
  const { open, add } = await stage(t);
  const { connection } = await open();
  add({ when: { call: 'commit', at: 'before-response' }, action: { kind: 'notify' }, times: { total: 1 } });
  await connection.commit();
  t.notOk(connection.isHealthy(), 'the driver knows that it should not be used again');
});

t.test('the log-in can be cut, in each of its round trips', async (t) => {
  for (const nth of [1, 2]) {
    const { connect, add, acts } = await stage(t);
    add({ when: { call: 'login', at: 'before-response', nth }, action: { kind: 'cut', leg: 'driver' } });
    await t.rejects(connect());
    t.match(await acts(), [{ call: 'login' }]);
  }
});

t.test('a call that ends the transaction by itself makes the next one the first', async (t) => {
  const { open, add, acts, database } = await stage(t);
  const { connection } = await open();
  database.answers.set('create table x', async ({ session }) => {
    session.inTransaction = false;
    return { rowCount: 0 };
  });
  const action = { kind: 'delay', ms: 0 } as const;
  add({ when: { call: 'any', at: 'before-response', firstOfTransaction: true }, action });
  await connection.execute('insert x');
  await connection.execute('create table x');
  t.strictSame(await acts(), [], 'the transaction had begun before');
  await connection.execute('insert x');
  await connection.execute('insert x');
  t.match(await acts(), [{ call: 'execute', match: 1 }]);
});

t.test('the n-th call, the first of a transaction and a break are told apart', async (t) => {
  const { open, add, acts, database, faults } = await stage(t);
  const { connection } = await open();
  const delay = { kind: 'delay', ms: 0 } as const;
  add({ id: 'third', when: { call: 'execute', at: 'before-request', nth: 3 }, action: delay });
  add({ id: 'first', when: { call: 'any', at: 'before-response', firstOfTransaction: true }, action: delay });
  add({ id: 'break', when: { call: 'break', at: 'before-request' }, action: delay });
  await connection.execute('insert x');
  await connection.execute('insert x');
  await connection.commit();
  await connection.execute('insert x');
  await connection.execute('insert x');
  await connection.rollback();
  await connection.execute('insert x');
  database.answers.set('begin wait', ({ session }) => session.untilCancelled());
  const waiting = connection.execute('begin wait').catch((error: Error) => error);
  while (!database.sessions.at(-1)?.calls.includes('begin wait')) await new Promise(setImmediate);
  await connection.break();
  t.match(await waiting, /ORA-01013/);
  const told = (await acts()).map((act) => ('rule' in act ? act.rule : ''));
  t.strictSame(told, ['third', 'first', 'first', 'break']);
  t.match(
    faults.rows().map(({ acts }) => acts),
    [1, 2, 1],
  );
});

t.test('one byte at a time everything is as it is at once', async (t) => {
  const chunk = (bytes: Buffer) => Array.from(bytes, (_, at) => bytes.subarray(at, at + 1));
  const { open, add, acts } = await stage(t, { chunk });
  const { connection, session } = await open();
  add({ when: { call: 'commit', at: 'before-response' }, action: { kind: 'withhold' } });
  await t.rejects(connection.commit());
  t.ok(session.calls.includes('commit'));
  t.match(await acts(), [{ call: 'commit' }]);
});

t.test('a call by a rule of somebody else is left alone', async (t) => {
  const { open, add, acts } = await stage(t);
  const { connection } = await open();
  add({
    target: { user: 'other' },
    when: { call: 'commit', at: 'before-request' },
    action: { kind: 'cut', leg: 'driver' },
  });
  await connection.commit();
  t.strictSame(await acts(), []);
  t.equal(login.user, 'shop');
});
