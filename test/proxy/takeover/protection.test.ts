import { mkdtempSync, rmSync } from 'node:fs';
import { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { entryKinds } from '../../../proxy/journal/entry.js';
import { Journal, readJournal } from '../../../proxy/journal/journal.js';
import { firstOwner } from '../../../proxy/keeper/contract.js';
import { JournalProtection, noProtection } from '../../../proxy/takeover/protection.js';
import { unpackNote, unpackSaved } from '../../../proxy/takeover/saved.js';
import { savedSession, savedWorkload, stream } from './left.js';

/** A journal, and a keeper that writes down what it is asked, and how much was in the journal by then. */
function protection(t: Test, next?: number) {
  const directory = mkdtempSync(join(tmpdir(), 'hf-protection-'));
  const limits = { journalBytesMax: 2 ** 20 };
  const journal = new Journal({ directory, limits, failed: () => undefined });
  t.teardown(() => {
    journal.close();
    rmSync(directory, { recursive: true });
  });
  const asked: string[] = [];
  const kept = new Set<number>();
  const left = () => readJournal(directory);
  const channel = {
    keep: (id: number) => void asked.push(`keep ${id} ${left().has(id) ? 'known' : 'unknown'}`),
    drop: (id: number) => void asked.push(`drop ${id} ${left().get(id)?.since.length ?? 'unknown'}`),
    isKept: (id: number) => kept.has(id),
  };
  return { protect: new JournalProtection(journal, channel, next), journal, asked, kept, left };
}

t.test('what a connection is stands in the journal before the keeper is asked to keep it', async (t) => {
  const { protect, asked, left } = protection(t);
  const workload = protect.workload(() => savedWorkload());
  t.equal(workload.id, firstOwner);
  t.equal(left().size, 0, 'one that is refused leaves nothing behind');
  workload.changed();
  workload.session(() => savedSession(), new Socket());
  t.strictSame(asked, [`keep ${firstOwner + 1} known`]);
  const [one, other] = [...left().values()].map(({ checkpoint }) => unpackSaved(checkpoint));
  t.match([one, other], [{ kind: 'workload' }, { kind: 'session' }]);
});

t.test('numbers are not given twice, and none below those that the worker before had', async (t) => {
  const { protect, asked } = protection(t, 40);
  const taken = protect.workload(() => savedWorkload(), 20);
  t.equal(taken.id, 20);
  taken.session(() => savedSession(), new Socket(), 21);
  t.strictSame(asked, [], 'what is taken over is kept already');
  t.equal(protect.workload(() => savedWorkload()).id, 40);
  taken.session(() => savedSession(), new Socket());
  t.strictSame(asked, ['keep 41 known']);
});

t.test('bytes and notes are in the journal when the call returns, in order', async (t) => {
  const { protect, left } = protection(t);
  const workload = protect.workload(() => savedWorkload());
  workload.changed();
  const session = workload.session(() => savedSession(), new Socket());
  const since = () => left().get(firstOwner + 1)?.since ?? [];
  session.fromDriver(100, Buffer.from('select'));
  t.match(since(), [{ kind: entryKinds.fromDriver, position: 100, body: Buffer.from('select') }]);
  session.fromDatabase(40, Buffer.from('rows'));
  t.match(since()[1], { kind: entryKinds.fromDatabase, position: 40, body: Buffer.from('rows') });
  session.note({ kind: 'driver-ended' });
  t.match(unpackNote(since()[2]?.body ?? Buffer.alloc(0)), { kind: 'driver-ended' });
  workload.opened(stream);
  t.match(unpackNote(left().get(firstOwner)?.since[0]?.body ?? Buffer.alloc(0)), { kind: 'opened', stream });
});

t.test('a workload that has changed is put down anew', async (t) => {
  const { protect, left } = protection(t);
  let address = 'before';
  const workload = protect.workload(() => savedWorkload({ address }));
  workload.changed();
  address = 'after';
  workload.opened(stream);
  workload.changed();
  const found = left().get(firstOwner);
  t.match(unpackSaved(found?.checkpoint ?? Buffer.alloc(0)), { address: 'after' });
  t.strictSame(found?.since, []);
  workload.end();
  t.notOk(left().has(firstOwner));
});

t.test(
  'a connection is let go once, after the journal says why; its rest stays until the session is put away',
  async (t) => {
    const { protect, asked, left } = protection(t);
    const session = protect.workload(() => savedWorkload()).session(() => savedSession(), new Socket());
    const id = firstOwner + 1;
    session.closed({ kind: 'closed', consumed: 7, driverEnded: false });
    t.strictSame(asked, [`keep ${id} known`, `drop ${id} 1`]);
    t.ok(left().has(id));
    session.end();
    t.equal(asked.length, 2);
    t.notOk(left().has(id));
  },
);

t.test('a session that is put away lets its connection go', async (t) => {
  const { protect, asked } = protection(t);
  const workload = protect.workload(() => savedWorkload());
  workload.session(() => savedSession(), new Socket()).end();
  t.equal(asked.at(-1), `drop ${firstOwner + 1} unknown`);
  // Its connection broke while it was taken over: the keeper has it all the same.
  workload.session(() => savedSession(), undefined, 99).end();
  t.equal(asked.at(-1), 'drop 99 unknown');
});

t.test(
  'a session is protected once the keeper has its connection, and no more when the journal has failed',
  async (t) => {
    const { protect, journal, kept } = protection(t);
    const session = protect.workload(() => savedWorkload()).session(() => savedSession(), new Socket());
    t.equal(session.state, 'being-kept');
    kept.add(firstOwner + 1);
    t.equal(session.state, 'protected');
    session.fromDriver(100, Buffer.alloc(2 ** 20));
    t.match(journal.broken, { code: 'journal-full' });
    t.equal(session.state, 'no-journal');
  },
);

t.test('without a journal nothing is said to be protected', async (t) => {
  const workload = noProtection.workload(() => t.fail('asked for what nobody wants') as never);
  t.equal(workload.session(() => t.fail('asked too') as never, new Socket()).state, 'no-journal');
});
