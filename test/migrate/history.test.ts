import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { History } from '../../migrate/history.js';
import type { MoveRecord } from '../../migrate/record.js';

function record(move: string): MoveRecord {
  return {
    ...{ move, workload: 'orders', mover: 'criu', outcome: 'moved', startedAt: '', endedAt: '', running: 'target' },
    ...{ by: { user: 'ann', host: 'desk' }, from: { node: 'a', address: '' }, to: { node: 'b', address: '' } },
    ...{ phases: [{ phase: 'detach', ms: 1.5 }], resumes: 0, warnings: [], sessions: [] },
    blackoutMs: { total: 9, detach: 1.5, freeze: 0, transfer: 0, restore: 0, bind: 0 },
    ...{ epoch: { before: 1, after: 2 }, replayedBytes: { up: 0, down: 0 } },
  };
}

function chain(t: Test) {
  const directory = t.testdir();
  const history = new History(directory, 'node-a');
  for (const move of ['m1', 'm2', 'm3']) history.append(record(move));
  const file = join(directory, 'history/node-a.jsonl');
  const lines = () => readFileSync(file, 'utf8').split('\n').slice(0, -1);
  const write = (changed: readonly string[]) => writeFileSync(file, changed.map((line) => `${line}\n`).join(''));
  return { history, lines, write, directory };
}

t.test('records are found again, by name and the last first asked for, and their chain is whole', async (t) => {
  const { history, directory } = chain(t);
  t.same(history.verify(), { records: 3, faults: [] });
  t.same(
    history.last(2).map(({ record: { move }, n }) => [n, move]),
    [
      [2, 'm2'],
      [3, 'm3'],
    ],
  );
  t.match(history.find('m2'), { n: 2, record: record('m2') });
  t.equal(history.find('m'), undefined);
  t.same(new History(directory, 'node-b').verify(), { records: 0, faults: [] }, 'each node has its own');
});

t.test('one changed field of any record is found', async (t) => {
  for (const [from, to] of [
    ['"total":9', '"total":8'],
    ['"user":"ann"', '"user":"bob"'],
    ['"outcome":"moved"', '"outcome":"put-back"'],
    ['"n":2', '"n":5'],
  ] as const) {
    const { history, lines, write } = chain(t);
    write(lines().map((line, index) => (index === 1 ? line.replace(from, to) : line)));
    t.match(history.verify().faults[0], { kind: 'altered' }, to);
  }
});

t.test('a record that was taken out is found, wherever it stood', async (t) => {
  const { history, lines, write } = chain(t);
  const whole = lines();
  write(whole.slice(1));
  t.match(history.verify().faults[0], { n: 2, kind: 'missing' });
  write(whole.filter((_line, index) => index !== 1));
  t.match(history.verify().faults[0], { n: 3, kind: 'missing' });
  write(whole.slice(0, -1));
  t.match(history.verify().faults, [{ n: 2, kind: 'cut-short' }]);
  write([]);
  t.match(history.verify().faults, [{ n: 0, kind: 'cut-short' }]);
});

t.test('records that changed places, came twice, or are no records are found', async (t) => {
  const { history, lines, write } = chain(t);
  const [first = '', second = '', third = ''] = lines();
  write([second, first, third]);
  t.match(history.verify().faults[0], { kind: 'missing' });
  write([first, second, second, third]);
  t.match(history.verify().faults[0], { n: 2, kind: 'missing' });
  write([first, 'x', third]);
  t.match(history.verify().faults[0], { n: 2, kind: 'unreadable' });
});

t.test('a record that was altered and sealed anew breaks the one behind it', async (t) => {
  const { history, lines, write, directory } = chain(t);
  const other = new History(join(directory, 'other'), 'node-a');
  other.append(record('m1'));
  const forged = other.append(record('mX'));
  write(lines().map((line, index) => (index === 1 ? JSON.stringify(forged) : line)));
  t.match(history.verify().faults[0], { n: 3, kind: 'missing' });
});
