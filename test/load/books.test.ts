import t from 'tap';
import type { FoundId } from '../e2e/witness.js';
import { judge } from './books.js';
import type { Told } from './reports.js';

function told(number: number, firstId: number, rows: number, more: Partial<Told<'transaction'>> = {}) {
  const event: Told<'transaction'> = {
    kind: 'transaction',
    session: 1,
    life: 1,
    number,
    firstId,
    rows,
    shard: 0,
    committed: true,
    beganMs: 0,
    endedMs: 1,
  };
  return { ...event, ...more };
}

function lost(number: number, firstId: number, rows: number, more: Partial<Told<'lost'>> = {}): Told<'lost'> {
  const where = { session: 1, life: 1, number, firstId, rows, shard: 0, atMs: 2 };
  return { kind: 'lost', error: 'ORA-03113', committing: false, ...where, ...more };
}

function found(id: number, more: Partial<FoundId> = {}): FoundId {
  return { id, copies: 1, wrong: false, transaction: '700', process: 42, ...more };
}

const three = [found(1), found(2), found(3)];

t.test('books that agree have nothing to say', async (t) => {
  const transactions = [told(1, 1, 3), told(2, 4, 2, { committed: false })];
  const verdict = judge(transactions, three, new Map([[0, 3]]));
  t.strictSame(verdict, { lost: 0, duplicated: 0, rolledBack: 0, countersOff: 0, inDoubt: 0, violations: [] });
});

t.test('every way in which rows can be wrong is counted', async (t) => {
  const counters = new Map([[0, 3]]);
  const verdict = (rows: readonly FoundId[]) => judge([told(1, 1, 3)], rows, counters);
  t.match(verdict(three.slice(1)), { lost: 1, rolledBack: 1, violations: [/row 1 is missing/] });
  t.match(verdict([]), { lost: 3, rolledBack: 1 });
  t.match(verdict([...three.slice(1), found(1, { wrong: true })]), { lost: 1, violations: [/another content/] });
  t.match(verdict([...three.slice(1), found(1, { copies: 2 })]), { duplicated: 1, violations: [/2 times/] });
  t.match(verdict([...three, found(9)]), { duplicated: 1, violations: [/row 9 is there, and nobody/] });
  t.match(verdict([...three.slice(1), found(1, { transaction: '701' })]), { rolledBack: 1, violations: [/701/] });
});

t.test('rows that were rolled back must not be there', async (t) => {
  const verdict = judge([told(1, 1, 3, { committed: false })], [found(2)], new Map());
  t.match(verdict, { duplicated: 1, lost: 0, violations: [/row 2 .* undone/] });
});

t.test('a session that goes on with another process of PostgreSQL has lost its own', async (t) => {
  const transactions = [told(1, 1, 1), told(2, 2, 1)];
  const verdict = judge(transactions, [found(1), found(2, { process: 43, transaction: '9' })], new Map([[0, 2]]));
  t.match(verdict, { rolledBack: 1, violations: [/another process than before/] });
});

t.test('a change of a counter that is missing or came twice is seen', async (t) => {
  for (const [sum, countersOff] of [
    [2, 1],
    [6, 3],
  ] as const) {
    t.match(judge([told(1, 1, 3)], three, new Map([[0, sum]])), { countersOff });
  }
  t.match(judge([], [], new Map([[4, 1]])), { countersOff: 1 });
});

t.test('of a session that was lost nothing may be left of its open transaction', async (t) => {
  t.match(judge([lost(1, 1, 3)], [], new Map()), { lost: 0, duplicated: 0, rolledBack: 0, violations: [] });
  t.match(judge([lost(1, 1, 3)], [found(2)], new Map()), { duplicated: 1, violations: [/row 2 .* undone/] });
});

t.test('a COMMIT that nobody has answered has done all or nothing', async (t) => {
  const told = [lost(1, 1, 3, { committing: true })];
  const counters = new Map([[0, 3]]);
  t.match(judge(told, three, counters), { inDoubt: 1, lost: 0, countersOff: 0, violations: [] });
  t.match(judge(told, [], new Map()), { inDoubt: 1, lost: 0, violations: [] });
  t.match(judge(told, three.slice(1), counters), { inDoubt: 1, lost: 1, rolledBack: 1 });
});

t.test('the session that follows a lost one has a process of its own', async (t) => {
  const transactions = [lost(1, 1, 0), told(1, 1, 3, { life: 2 })];
  const rows = [...three, found(9, { process: 1, transaction: '5' })];
  t.match(judge([told(1, 9, 1), ...transactions], rows, new Map([[0, 4]])), { rolledBack: 0, violations: [] });
});
