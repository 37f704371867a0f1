import t from 'tap';
import { anomalies } from '../../../migrate/judge/anomaly.js';
import { operationsOf } from '../../../migrate/judge/history.js';
import { type Content, judge, type Verdict } from '../../../migrate/judge/judge.js';
import { nothing, Story } from './builder.js';

/** Names that a planted anomaly has been found under, over all tests of this file. */
const planted = new Set<string>();

function verdictOf(story: Story, content: Partial<Content>): Verdict {
  const verdict = judge(operationsOf(story.events), { ...nothing, ...content });
  for (const { name } of verdict.anomalies) planted.add(name);
  return verdict;
}

function named(story: Story, content: Partial<Content>): readonly string[] {
  return verdictOf(story, content).anomalies.map(({ name, operations }) => `${name} ${operations.join(' ')}`.trim());
}

const append = { kind: 'append', ledger: 1 } as const;
const entry = (position: number, op: number) => ({ ledger: 1, position, op, wrong: false });
const ledger = (head: number, ...entries: readonly ReturnType<typeof entry>[]) => ({
  ledger: { entries, heads: new Map([[1, head]]) },
});

t.test('a ledger with every committed entry once and in order is right', async (t) => {
  const story = new Story().ok(1, append, { position: 1 }).ok(2, append, { position: 2 }).fail(3, append);
  const verdict = verdictOf(story, ledger(2, entry(1, 1), entry(2, 2)));
  t.strictSame(verdict.anomalies, []);
  t.match(verdict, { consistent: true, committed: 2, rolledBack: 1, lost: 0, duplicated: 0, wrong: 0 });
  t.strictSame(verdict.errors, { 'ORA-03113': 1 });
});

t.test('ledger: each planted anomaly is called by its name, with its operations', async (t) => {
  const two = () => new Story().ok(1, append, { position: 1 }).ok(2, append, { position: 2 });
  t.strictSame(named(two(), ledger(1, entry(1, 1))), ['lost-append 2']);
  t.strictSame(named(two(), ledger(2, entry(1, 1))), ['lost-append 2', 'missing-position']);
  t.strictSame(named(two(), ledger(3, entry(1, 1), entry(2, 2), entry(3, 2))), [
    'duplicate-append 2',
    'misreported-append 2',
  ]);
  t.strictSame(named(two(), ledger(2, entry(1, 2), entry(2, 1))), [
    'misreported-append 2',
    'misreported-append 1',
    'out-of-order-append 2 1',
  ]);
  t.strictSame(named(two(), ledger(2, entry(1, 1), { ...entry(2, 2), wrong: true })), ['wrong-content 2']);
  const same = new Story().ok(1, append).ok(2, append);
  t.strictSame(named(same, ledger(1, entry(1, 1), entry(1, 2))), ['position-twice 1 2']);
  t.strictSame(named(new Story().fail(1, append), ledger(1, entry(1, 1))), ['phantom-append 1']);
  t.strictSame(named(new Story(), ledger(1, entry(1, 9))), ['unknown-append 9']);
});

t.test('operations that overlap may stand in either order', async (t) => {
  const story = new Story().begin(1, append, 1).begin(2, append, 2).end(1, { position: 2 }).end(2, { position: 1 });
  t.strictSame(named(story, ledger(2, entry(1, 2), entry(2, 1))), []);
});

t.test('a COMMIT that nobody has answered is settled by what is there', async (t) => {
  const story = () => new Story().info(1, append, 1).ok(2, append, { position: 2 }, 2).begin(3, append, 3);
  const there = verdictOf(story(), ledger(2, entry(1, 1), entry(2, 2)));
  t.match(there, { consistent: true, unknown: 2, unknownCommitted: 1, committed: 2, rolledBack: 1 });
  const late = verdictOf(new Story().info(1, append, 1).ok(2, append, {}, 2), ledger(2, entry(1, 2), entry(2, 1)));
  t.ok(late.consistent, 'it may be committed later than what was begun after it');
  const twice = verdictOf(new Story().info(1, append), ledger(2, entry(1, 1), entry(2, 1)));
  t.match(twice, { consistent: false, duplicated: 1 });
});

t.test('what the database said of it by its logical id has to agree with what is there', async (t) => {
  const told = (committed: boolean) => new Story().info(1, append).settled(1, committed);
  t.strictSame(named(told(true), ledger(1, entry(1, 1))), []);
  t.strictSame(named(told(false), ledger(0)), []);
  t.strictSame(named(told(false), ledger(1, entry(1, 1))), ['misreported-outcome 1']);
  t.strictSame(named(told(true), ledger(0)), ['misreported-outcome 1']);
  t.match(verdictOf(told(true), ledger(1, entry(1, 1))), { unknown: 1, unknownCommitted: 1, unknownAsked: 1 });
  t.throws(() => operationsOf(new Story().ok(1, append).settled(1, true).events), { code: 'history-malformed' });
  t.throws(() => operationsOf(told(true).settled(1, true).events), { code: 'history-malformed' });
});

const transfer = { kind: 'transfer', from: 1, to: 2, amount: 30 } as const;
const bank = (balances: readonly number[], ...transfers: Content['bank']['transfers']) => ({
  bank: { opening: 100, transfers, balances: new Map(balances.map((balance, index) => [index + 1, balance])) },
});

t.test('bank: each planted anomaly is called by its name, with its operations', async (t) => {
  const one = () => new Story().ok(1, transfer).ok(2, { kind: 'sum' }, { sum: 200 });
  const row = { op: 1, from: 1, to: 2, amount: 30 };
  t.strictSame(named(one(), bank([70, 130], row)), []);
  t.strictSame(named(one(), bank([100, 100])), ['lost-transfer 1']);
  t.strictSame(named(one(), bank([40, 160], row, row)), ['duplicate-transfer 1']);
  t.strictSame(named(one(), bank([70, 100], row)), ['balance-off 1'], 'half of it');
  t.strictSame(named(one(), bank([60, 140], { ...row, amount: 40 })), ['wrong-content 1']);
  t.strictSame(named(new Story().fail(1, transfer), bank([70, 130], row)), ['phantom-transfer 1']);
  t.strictSame(named(new Story(), bank([70, 130], row)), ['unknown-transfer 1']);
  const torn = new Story().ok(1, { kind: 'sum' }, { sum: 170 });
  t.strictSame(named(torn, bank([100, 100])), ['sum-changed 1']);
});

const batch = { kind: 'batch', rows: 3 } as const;
const rows = (op: number, ...numbers: readonly number[]) => ({
  batch: numbers.map((row) => ({ op, row, wrong: false })),
});

t.test('long transaction: each planted anomaly is called by its name, with its operations', async (t) => {
  const one = () => new Story().ok(1, batch, { seen: 3 });
  t.strictSame(named(one(), rows(1, 1, 2, 3)), []);
  t.strictSame(named(one(), {}), ['lost-batch 1']);
  t.strictSame(named(one(), rows(1, 1, 3)), ['torn-batch 1']);
  t.strictSame(named(one(), rows(1, 1, 2, 2, 3)), ['duplicate-batch 1']);
  t.strictSame(named(new Story().info(1, batch), rows(1, 1, 2)), ['torn-batch 1'], 'also of one nobody has answered');
  t.strictSame(named(new Story().fail(1, batch, true), rows(1, 1)), ['phantom-batch 1']);
  t.strictSame(named(new Story().ok(1, batch, { seen: 2 }), rows(1, 1, 2, 3)), ['own-rows-missing 1']);
  t.strictSame(named(new Story(), rows(7, 1)), ['unknown-batch 7']);
});

const put = { kind: 'put' } as const;
const take = { kind: 'take' } as const;
const queue = (items: Content['queue']['items'], takes: Content['queue']['takes']) => ({ queue: { items, takes } });

t.test('queue: each planted anomaly is called by its name, with its operations', async (t) => {
  const taken = { item: 1, taken: true };
  const two = (item: number | null) => new Story().ok(1, put).ok(2, take, { item: 1 }).ok(3, take, { item });
  t.strictSame(named(two(null), queue([taken], [{ op: 2, item: 1 }])), []);
  t.strictSame(named(two(null), queue([], [{ op: 2, item: 1 }])), ['lost-put 1']);
  t.strictSame(named(two(null), queue([{ item: 1, taken: false }], [])), ['lost-take 2']);
  t.strictSame(named(two(null), queue([{ item: 1, taken: false }], [{ op: 2, item: 1 }])), ['torn-take 2']);
  t.strictSame(
    named(
      two(1),
      queue(
        [taken],
        [
          { op: 2, item: 1 },
          { op: 3, item: 1 },
        ],
      ),
    ),
    ['double-consumption 2 3'],
  );
  t.strictSame(named(new Story().ok(1, put), queue([taken, taken], [])), ['duplicate-put 1', 'torn-take', 'torn-take']);
  const other = new Story().ok(1, put).ok(4, put).ok(2, take, { item: 4 });
  const marked = [taken, { item: 4, taken: false }];
  t.strictSame(named(other, queue(marked, [{ op: 2, item: 1 }])), ['misreported-take 2']);
  const both = [taken, { item: 4, taken: true }];
  const takes = [1, 4].map((item) => ({ op: 2, item }));
  t.strictSame(named(new Story().ok(1, put).ok(4, put).info(2, take), queue(both, takes)), ['duplicate-take 2']);
  t.strictSame(named(new Story().ok(1, put).fail(2, take), queue([taken], [{ op: 2, item: 1 }])), ['phantom-take 2']);
  t.strictSame(named(new Story().fail(1, put), queue([{ item: 1, taken: false }], [])), ['phantom-put 1']);
  t.strictSame(named(new Story(), queue([taken], [{ op: 8, item: 1 }])), ['unknown-put 1', 'unknown-take 8']);
});

const write = { kind: 'write', register: 1 } as const;
const read = { kind: 'read', register: 1 } as const;
const register = (value: number, ...writes: readonly number[]) => ({
  registers: { values: new Map([[1, value]]), writes },
});

t.test('registers: each planted anomaly is called by its name, with its operations', async (t) => {
  const two = (value: number) =>
    new Story().ok(1, write, { seen: 1 }).ok(2, write, { seen: 2 }).fail(3, write).ok(4, read, { value });
  t.strictSame(named(two(2), register(2, 1, 2)), []);
  t.strictSame(named(two(1), register(2, 1, 2)), ['stale-read 1 4']);
  t.strictSame(named(two(3), register(2, 1, 2)), ['aborted-read 3 4']);
  t.strictSame(named(two(5), register(2, 1, 2)), ['unknown-read 4']);
  t.strictSame(named(two(2), register(1, 1, 2)), ['lost-write 2']);
  t.strictSame(named(two(2), register(2, 1)), ['lost-write 2']);
  t.strictSame(named(two(2), register(3, 1, 2)), ['phantom-write 2']);
  t.strictSame(named(two(2), register(2, 1, 1, 2, 9)), ['duplicate-write 1', 'unknown-write 9']);
  t.strictSame(named(new Story().ok(1, write, { seen: 0 }), register(1, 1)), ['own-rows-missing 1']);
});

t.test(
  'a write that nobody has answered may come late: the older value before it is right, and after it is stale',
  async (t) => {
    const story = (...values: readonly number[]) => {
      const story = new Story().ok(1, write).info(2, write);
      for (const [index, value] of values.entries()) story.ok(10 + index, read, { value });
      return story;
    };
    t.strictSame(named(story(1, 1, 2, 2), register(2, 1, 2)), []);
    t.strictSame(named(story(2, 1), register(2, 1, 2)), ['stale-read 1 11']);
    t.strictSame(named(story(1), register(1, 1)), [], 'it was not committed');
    t.strictSame(named(story(2), register(1, 1)), ['aborted-read 2 10']);
  },
);

t.test('every name of an anomaly has been planted and found', async (t) => {
  t.strictSame(
    Object.keys(anomalies).filter((name) => !planted.has(name)),
    [],
  );
});

t.test('a history that no program can have is refused', async (t) => {
  const refused = (story: Story) => t.throws(() => operationsOf(story.events), { code: 'history-malformed' });
  refused(new Story().end(1));
  refused(new Story().ok(1, put).end(1));
  refused(new Story().ok(1, put).begin(1, put));
  refused(new Story().begin(1, put).begin(2, put));
});
