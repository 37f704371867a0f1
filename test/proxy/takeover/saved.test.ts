import { pack, unpack } from 'msgpackr';
import t from 'tap';
import { TakeoverError } from '../../../proxy/takeover/errors.js';
import {
  packNote,
  packSaved,
  type SavedSession,
  savedVersion,
  unpackNote,
  unpackSaved,
} from '../../../proxy/takeover/saved.js';
import { checkpointOf, chunk, firstForm, recordOf, savedSession, savedWorkload, stream } from './left.js';

const text = (words: string) => Buffer.from(words);

/** A checkpoint as a program of another version would have written it. */
function written(saved: object, version: number, oldest: number): Buffer {
  return checkpointOf(savedSession(), { ...saved, version, oldest });
}

t.test('what is packed is read back whole', async (t) => {
  const closed = { consumed: 7, driverEnded: true };
  for (const saved of [
    savedWorkload({ away: { sinceMs: 3.5, why: 'cut' } }),
    savedSession(),
    savedSession({ record: undefined, closed }),
  ]) {
    t.same(unpackSaved(checkpointOf(saved)), saved);
  }
  for (const note of [
    { kind: 'opened', stream } as const,
    { kind: 'acked', base: 70_000 } as const,
    { kind: 'driver-ended' } as const,
    { kind: 'ended', code: 'lost' } as const,
    { kind: 'closed', ...closed } as const,
  ]) {
    t.same(unpackNote(packNote(note)), note);
  }
});

t.test('what is read does not hold the memory it came in', async (t) => {
  const packed = checkpointOf(savedSession());
  const saved = unpackSaved(packed);
  if (saved.kind !== 'session') throw new Error('not a session');
  packed.fill(0);
  t.equal(Buffer.concat(saved.stream.bytes).toString(), 's'.repeat(25));
});

t.test('an older program reads a newer form that says it may, and passes over what it does not know', async (t) => {
  const newer = written({ isNew: { deep: [1, 2] } }, savedVersion + 7, savedVersion);
  t.match(unpackSaved(newer), { kind: 'session', workload: 16, stream: { acked: 15 } });
});

t.test('a form of version 1, whose record has the stored bytes in it, is read too', async (t) => {
  t.same(unpackSaved(firstForm(savedSession())), savedSession());
});

t.test('a newer form that does not allow it is refused, and so is one older than this program reads', async (t) => {
  const refused = { name: 'TakeoverError', code: 'takeover-version', source: 'proxy' };
  t.throws(() => unpackSaved(written({}, savedVersion + 1, savedVersion + 1)), refused);
  t.throws(() => unpackSaved(written({}, 0, 0)), refused);
});

t.test('the form of the record inside is checked too', async (t) => {
  const record = recordOf();
  const bytes = checkpointOf(savedSession({ record: { ...record, version: 99, oldest: 99 } }));
  t.throws(() => unpackSaved(bytes), { name: 'BackendError', code: 'record-invalid' });
  t.match(unpackSaved(checkpointOf(savedSession({ record: { ...record, version: 99 } }))), { record: { version: 99 } });
});

t.test('what is no checkpoint is called damaged, wherever it was cut off', async (t) => {
  const damaged = { name: 'TakeoverError', code: 'takeover-damaged', source: 'proxy' };
  const packed = checkpointOf(savedSession());
  const read = Array.from(packed, (_, length) => codeOf(() => unpackSaved(packed.subarray(0, length))));
  t.strictSame(new Set(read), new Set(['takeover-damaged']));
  t.throws(() => unpackSaved(pack('a text')), damaged);
  t.throws(() => unpackSaved(pack({ kind: 'session' })), damaged);
  t.throws(() => unpackSaved(pack({ kind: 'session', version: savedVersion })), damaged);
  t.throws(() => unpackNote(pack(null)), damaged);
  t.throws(() => unpackNote(Buffer.alloc(0)), damaged);
});

function codeOf(action: () => unknown): unknown {
  try {
    return action();
  } catch (error) {
    return error instanceof TakeoverError ? error.code : error;
  }
}

t.test('bytes that stand before a checkpoint are left out, and found again', async (t) => {
  // Positions 15 to 40 are stored; the driver has got what is before them.
  const saved = savedSession({
    stream: { ...savedSession().stream, bytes: [text('fifteen..'), text('twenty-four.....')] },
  });
  const before = [chunk('fromDatabase', 10, 'what fifteen..'), chunk('fromDatabase', 24, 'twenty-four.....')];
  for (const [from, included] of [
    [0, ''],
    [15, ''],
    [20, 'fifte'],
    [24, 'fifteen..'],
    [40, 'fifteen..twenty-four.....'],
  ] as const) {
    const used: number[] = [];
    const packed = Buffer.concat(packSaved(saved, { from, use: (position) => used.push(position) }));
    t.strictSame(used, from === 40 ? [] : [Math.max(15, from)]);
    t.ok(packed.toString('latin1').endsWith(included), `from ${from}: ${included}`);
    const { stream } = unpackSaved(packed, before) as SavedSession;
    t.equal(Buffer.concat(stream.bytes).toString(), 'fifteen..twenty-four.....');
    if (from === 40) continue;
    const damaged = { code: 'takeover-damaged' };
    t.throws(() => unpackSaved(packed, before.slice(0, 1)), damaged, 'the last ones are missing');
    t.throws(() => unpackSaved(packed), damaged);
    t.match(unpack(packed.subarray(5, 5 + packed.readUInt32LE(1))), { oldest: 3 });
  }
  const all = Buffer.concat(packSaved(saved));
  t.match(unpack(all.subarray(5, 5 + all.readUInt32LE(1))), { oldest: 2 }, 'a program that knows version 2 can go on');
});

t.test('bytes that are not those of the database, or not the last of it, are never left out', async (t) => {
  const { stream } = savedSession();
  for (const more of [
    { altered: true },
    { stream: { ...stream, ended: 'closed' as const } },
    { record: undefined, closed: { consumed: 0, driverEnded: false } },
  ]) {
    const saved = savedSession(more);
    const packed = Buffer.concat(packSaved(saved, { from: 0, use: () => t.fail('left out') }));
    t.same(unpackSaved(packed), saved);
  }
});
