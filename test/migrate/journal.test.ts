import { appendFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { Journal, pastOf, readJournal } from '../../migrate/journal.js';

const begin = {
  kind: 'begin',
  move: 'm1',
  workload: 'orders',
  mover: 'criu',
  from: 'node-a',
  to: 'node-b',
  allowUnknown: false,
  when: 'now',
  deadlineMs: 0,
  after: 'give-up',
  by: { user: 'ann', host: 'desk' },
} as const;
const before = { row: { name: 'orders', instance: 'i', epoch: 3, address: '10.0.0.1' }, sessions: [], shimPid: 2 };

async function written(t: Test, ...entries: readonly Parameters<Journal['write']>[0][]): Promise<string> {
  const directory = t.testdir();
  const journal = new Journal(directory);
  for (const entry of entries) journal.write(entry);
  await journal.flush();
  journal.close();
  return directory;
}

t.test('what was written is there as soon as it is written', async (t) => {
  const directory = t.testdir();
  const journal = new Journal(directory);
  t.teardown(() => journal.close());
  journal.write(begin);
  t.match(readJournal(directory), [begin]);
});

t.test(
  'of a line that was cut off in the middle nothing was done: it does not count, and the next one is whole',
  async (t) => {
    const directory = await written(t, begin, { kind: 'phase', phase: 'preflight' });
    appendFileSync(join(directory, 'journal'), '{"kind":"pha');
    t.equal(readJournal(directory).length, 2);
    const journal = new Journal(directory);
    journal.write({ kind: 'end', outcome: 'put-back' });
    journal.close();
    t.match(readJournal(directory).at(-1), { kind: 'end' });
    t.equal(readFileSync(join(directory, 'journal'), 'utf8').split('\n').length, 4);
  },
);

t.test('a journal says how far its move is, and who may have bound', async (t) => {
  const past = async (...more: readonly Parameters<Journal['write']>[0][]) =>
    pastOf(readJournal(await written(t, begin, ...more)));
  t.match(await past(), { begin, phase: undefined, bindBegun: false, attachBegun: false, outcome: undefined });
  const detached = [
    { kind: 'found', before },
    { kind: 'phase', phase: 'detach' },
  ] as const;
  t.match(await past(...detached), { phase: 'detach', before, bindBegun: false });
  const bound = [...detached, { kind: 'phase', phase: 'bind' }] as const;
  t.match(await past(...bound), { phase: 'bind', bindBegun: true, attachBegun: false });
  const error = { code: 'bind-failed', message: '' };
  const back = [...bound, { kind: 'failed', phase: 'bind', ms: 1, error }, { kind: 'undo', undo: 'attach' }] as const;
  t.match(await past(...back), { phase: 'bind', error, attachBegun: true });
  t.match(await past(...back, { kind: 'end', outcome: 'stranded' }), { outcome: 'stranded' });
});

t.test('a directory without a journal is no move', async (t) => {
  t.equal(pastOf(readJournal(t.testdir())), undefined);
});

t.test('a journal that cannot be written says so', async (t) => {
  const journal = new Journal(t.testdir());
  journal.close();
  t.throws(() => journal.write(begin), { code: 'journal-failed' });
});
