import { execFileSync, fork } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { entryKinds } from '../../../proxy/journal/entry.js';
import type { JournalError } from '../../../proxy/journal/errors.js';
import { Journal, readJournal } from '../../../proxy/journal/journal.js';
import type { JournalLimits } from '../../../proxy/journal/limits.js';
import { readSegment } from '../../../proxy/journal/segment.js';

const { fromDriver, fromDatabase, event } = entryKinds;

function place(t: Test): string {
  const directory = mkdtempSync(join(tmpdir(), 'hf-journal-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  return directory;
}

function open(directory: string, limits: Partial<JournalLimits> = {}): { journal: Journal; errors: JournalError[] } {
  const errors: JournalError[] = [];
  const journal = new Journal({
    directory,
    limits: { segmentsOfFew: 0, ...limits },
    failed: (error) => errors.push(error),
  });
  return { journal, errors };
}

/** What is left of each owner, as texts. */
function remains(directory: string): Record<string, string[]> {
  const owners = [...readJournal(directory)].sort(([one], [other]) => one - other);
  return Object.fromEntries(
    owners.map(([owner, { checkpoint, since }]) => [
      owner,
      [checkpoint.toString(), ...since.map(({ kind, position, body }) => `${kind}@${position}:${body}`)],
    ]),
  );
}

t.test(
  'of each owner its last checkpoint and what came after it are read back; of one that has ended, nothing',
  (t) => {
    const directory = place(t);
    const { journal } = open(directory);
    let state = 'one';
    journal.begin(7, () => Buffer.from(state));
    journal.begin(8, () => Buffer.from('other'));
    journal.append(7, fromDriver, 10, Buffer.from('early'));
    state = 'two';
    journal.checkpoint(7);
    journal.append(7, fromDriver, 15, Buffer.from('select'));
    journal.append(7, fromDatabase, 2 ** 40, Buffer.from('rows'));
    journal.append(8, event, 0, Buffer.alloc(0));
    journal.begin(9, () => Buffer.from('short'));
    journal.end(9);
    journal.end(9);
    journal.append(9, fromDriver, 0, Buffer.from('late'));
    t.strictSame(remains(directory), { 7: ['two', '2@15:select', `3@${2 ** 40}:rows`], 8: ['other', '4@0:'] });
    journal.close();
    t.end();
  },
);

t.test('what a checkpoint leaves out is found before it, whatever is written, acknowledged and read back when', (t) => {
  const step = fc.record({
    owner: fc.integer({ min: 1, max: 3 }),
    bytes: fc.integer({ min: 1, max: 900 }),
    acked: fc.nat(1_200),
  });
  let leftOut = 0;
  const property = fc.property(fc.array(step, { minLength: 30, maxLength: 150 }), (steps) => {
    const directory = mkdtempSync(join(tmpdir(), 'hf-journal-'));
    const { journal } = open(directory, { segmentBytes: 4096, segmentsMin: 3 });
    const sent = new Map([1, 2, 3].map((owner) => [owner, { base: 0, bytes: Buffer.alloc(0) }]));
    for (const [owner, state] of sent) {
      // From `base` on it is stored; a checkpoint says from where to where, and repeats what it must.
      journal.begin(owner, (kept) => {
        const from = kept === undefined ? state.bytes.length : Math.max(kept.from, state.base);
        if (from < state.bytes.length) kept?.use(from);
        leftOut += state.bytes.length - from;
        return [Buffer.from(`${state.base} ${state.bytes.length};`), state.bytes.subarray(state.base, from)];
      });
    }
    for (const { owner, bytes, acked } of steps) {
      const state = sent.get(owner);
      if (state === undefined) continue;
      const chunk = Buffer.alloc(bytes, String.fromCharCode(65 + (state.bytes.length % 26)));
      journal.append(owner, fromDatabase, state.bytes.length, chunk);
      state.bytes = Buffer.concat([state.bytes, chunk]);
      state.base = Math.min(state.bytes.length, state.base + acked);
      for (const [each, { checkpoint, before, since }] of readJournal(directory)) {
        const { base = 0, bytes: all = Buffer.alloc(0) } = sent.get(each) ?? {};
        const text = checkpoint.toString();
        const [from = 0, to = 0] = text.split(/[ ;]/, 2).map(Number);
        const repeated = checkpoint.subarray(text.indexOf(';') + 1);
        const found = Buffer.alloc(all.length);
        repeated.copy(found, from);
        for (const entry of before) {
          const skipped = Math.max(0, from + repeated.length - entry.position);
          if (entry.position + entry.body.length <= to)
            entry.body.subarray(skipped).copy(found, entry.position + skipped);
        }
        for (const { position, body } of since) body.copy(found, position);
        if (!found.subarray(base).equals(all.subarray(base))) throw new Error(`bytes of ${each} are missing`);
      }
    }
    journal.close();
    rmSync(directory, { recursive: true });
  });
  fc.assert(property, { numRuns: 50 });
  t.ok(leftOut > 0, `${leftOut} bytes were left out`);
  t.end();
});

t.test('owners that have grown since their last checkpoints are each written anew once, and the log goes on', (t) => {
  const directory = place(t);
  const { journal, errors } = open(directory, { segmentBytes: 4096, segmentsMin: 2 });
  let bytes = 10;
  let taken = 0;
  const take = (): Buffer => {
    taken += 1;
    if (taken > 1_000) throw new Error('the log is written anew without end');
    return Buffer.alloc(bytes, 'c');
  };
  for (let owner = 1; owner <= 20; owner++) journal.begin(owner, take);
  bytes = 3_000;
  for (let i = 0; i < 40; i++) journal.append(1, fromDriver, i, Buffer.alloc(500, 'd'));
  t.equal(taken, 40);
  t.strictSame(errors, []);
  t.equal(readJournal(directory).size, 20);
  journal.close();
  t.end();
});

t.test('killed after any store, a process leaves what it had written whole by then', (t) => {
  const directory = place(t);
  const { journal } = open(directory);
  const [name = ''] = readdirSync(directory);
  const path = join(directory, name);
  // What the rest of the space holds from the time it was used before.
  const file = openSync(path, 'r+');
  writeSync(file, Buffer.alloc(20_000, 0x01), 0, 20_000, 64);
  closeSync(file);
  journal.begin(1, () => Buffer.from('state'));
  let at = 16 + 22 + 'state'.length;
  for (const body of [Buffer.from('abc'), Buffer.alloc(500, 'x'), Buffer.alloc(0)]) {
    const before = readFileSync(path);
    const known = readSegment(path).length;
    journal.append(1, fromDatabase, 7, body);
    const after = readFileSync(path);
    // The body, that nothing follows, and of the head the checksum last.
    const stores = [
      [22, body.length],
      [22 + body.length + 14, 2],
      [0, 4],
      [8, 14],
      [4, 4],
    ].flatMap(([from = 0, count = 0]) => Array.from({ length: count }, (_, index) => at + from + index));
    const image = Buffer.from(before);
    const wrong = stores.filter((offset, index) => {
      image[offset] = after[offset] ?? 0;
      writeFileSync(join(directory, 'image.journal'), image);
      const isWhole = index === stores.length - 1;
      return readSegment(join(directory, 'image.journal')).length !== (isWhole ? known + 1 : known);
    });
    t.strictSame(wrong, []);
    t.ok(image.equals(after), 'these are all stores');
    rmSync(join(directory, 'image.journal'));
    at += 22 + body.length;
  }
  journal.close();
  t.end();
});

t.test('whatever happens in whatever order, what is read back is what happened, and the files stay few', (t) => {
  type Step = { readonly owner: number; readonly op: 'checkpoint' | 'end' | 'up' | 'down'; readonly bytes: number };
  const step: fc.Arbitrary<Step> = fc.record({
    owner: fc.integer({ min: 1, max: 6 }),
    op: fc.constantFrom('checkpoint', 'end', 'up', 'up', 'up', 'down', 'down'),
    bytes: fc.integer({ min: 0, max: 300 }),
  });
  let filesMax = 0;
  let takeovers = 0;
  fc.assert(
    fc.property(
      fc.array(step, { minLength: 50, maxLength: 250 }),
      fc.integer({ min: 0, max: 60 }),
      (steps, takeoverAt) => {
        const directory = mkdtempSync(join(tmpdir(), 'hf-journal-'));
        const limits = { segmentBytes: 250, segmentsMin: 2 };
        /** All that is known of an owner, in one text; every checkpoint says all of it. */
        const model = new Map<number, string>();
        const begin = (journal: Journal, owner: number) =>
          journal.begin(owner, () => Buffer.from((model.get(owner) ?? '').slice(-40)));
        let { journal, errors } = open(directory, limits);
        for (const [at, { owner, op, bytes }] of steps.entries()) {
          if (at === takeoverAt) {
            // A process was killed: the next one takes all owners over.
            journal.close();
            ({ journal, errors } = open(directory, limits));
            if ([...joined(directory)].some(([known, text]) => model.get(known)?.endsWith(text) !== true)) return false;
            for (const known of model.keys()) begin(journal, known);
            journal.inherit();
            takeovers += 1;
          }
          if (op === 'end') {
            journal.end(owner);
            model.delete(owner);
          } else if (!model.has(owner)) {
            model.set(owner, `<${at}>`);
            begin(journal, owner);
          } else if (op === 'checkpoint') journal.checkpoint(owner);
          else {
            const text = `${at},`.padEnd(bytes, '.');
            journal.append(owner, op === 'up' ? fromDriver : fromDatabase, 0, Buffer.from(text));
            model.set(owner, (model.get(owner) ?? '') + text);
          }
          filesMax = Math.max(filesMax, readdirSync(directory).length);
        }
        const found = joined(directory);
        const same = found.size === model.size && [...found].every(([owner, text]) => model.get(owner)?.endsWith(text));
        journal.close();
        rmSync(directory, { recursive: true });
        return same && errors.length === 0;
      },
    ),
    { numRuns: 300 },
  );
  t.ok(takeovers > 50, `${takeovers} takeovers`);
  t.ok(filesMax > 3 && filesMax < 12, `${filesMax} files at most`);
  t.end();
});

/** Checkpoint and bodies of each owner, one after the other. */
function joined(directory: string): Map<number, string> {
  const owners = [...readJournal(directory)];
  return new Map(
    owners.map(([owner, { checkpoint, since }]) => [
      owner,
      checkpoint.toString() + since.map(({ body }) => body.toString()).join(''),
    ]),
  );
}

t.test('what a driver has sent is never taken for an entry, whatever it is', (t) => {
  const directory = place(t);
  const { journal } = open(directory);
  const path = join(directory, readdirSync(directory)[0] ?? '');
  journal.begin(1, () => Buffer.from('state'));
  journal.append(1, fromDriver, 0, Buffer.from('abc'));
  const entry = readFileSync(path).subarray(16 + 22 + 5, 16 + 22 + 5 + 22 + 3);
  // From the time the space was used before: just behind the next entry, and good in all that can be checked.
  const file = openSync(path, 'r+');
  writeSync(file, entry, 0, entry.length, 16 + 22 + 5 + 2 * (22 + 3));
  closeSync(file);
  journal.append(1, fromDriver, 3, Buffer.from('def'));
  t.strictSame(remains(directory), { 1: ['state', '2@0:abc', '2@3:def'] });
  journal.close();
  t.end();
});

t.test('few entries, which are long, may stay longer; many may not', (t) => {
  const directory = place(t);
  const limits = { segmentBytes: 1_000, segmentsMin: 3, segmentsOfFew: 10, entriesMax: 40, sparesMax: 0 };
  const { journal } = open(directory, limits);
  let taken = 0;
  journal.begin(1, () => {
    taken += 1;
    return Buffer.from('state');
  });
  const filesWith = (bytes: number) => {
    for (let i = 0; i < 40_000 / bytes; i++) journal.append(1, fromDriver, i, Buffer.alloc(bytes - 22));
    return readdirSync(directory).length;
  };
  t.equal(filesWith(900), 11);
  const before = taken;
  t.equal(filesWith(50), 4);
  t.ok(taken - before >= 8, 'a checkpoint for each time around');
  journal.close();
  t.end();
});

t.test('files of version 1 are read', (t) => {
  const directory = place(t);
  const bodies = [Buffer.from('state'), Buffer.alloc(2_048, 'a'), Buffer.alloc(5_000, 'b')];
  const file = Buffer.alloc(16_384);
  file.write('HFJR');
  file.writeUInt16LE(1, 4);
  file.writeUIntLE(7, 8, 6);
  let at = 16;
  for (const [index, body] of bodies.entries()) {
    const head = Buffer.alloc(22);
    head.writeUInt32LE(body.length);
    head.writeUIntLE(3, 8, 6);
    head.writeUInt16LE(index === 0 ? 1 : fromDriver, 14);
    head.writeUIntLE(index, 16, 6);
    // Both ends, of 1,024 bytes each, when there is more between them.
    const covered = body.length <= 2_048 ? [body] : [body.subarray(0, 1_024), body.subarray(-1_024)];
    const sum = [head.subarray(0, 4), head.subarray(8), ...covered].reduce((crc, part) => crc32(part, crc), 7);
    head.writeUInt32LE(sum, 4);
    Buffer.concat([head, body]).copy(file, at);
    at += 22 + body.length;
  }
  writeFileSync(join(directory, '000000000007.journal'), file);
  const whole = { 3: ['state', `2@1:${'a'.repeat(2_048)}`, `2@2:${'b'.repeat(5_000)}`] };
  t.strictSame(remains(directory), whole);
  // Where its last byte is not what it was, there is no entry.
  file.writeUInt8(0, at - 1);
  writeFileSync(join(directory, '000000000007.journal'), file);
  t.equal(remains(directory)[3]?.length, 2);
  t.end();
});

t.test('a journal that would grow beyond its limit fails once, and says so', (t) => {
  const directory = place(t);
  const { journal, errors } = open(directory, { segmentBytes: 1_000, journalBytesMax: 5_000 });
  // One owner whose state never gets shorter.
  journal.begin(1, () => Buffer.alloc(900));
  for (let owner = 2; owner < 20; owner++) journal.begin(owner, () => Buffer.alloc(900));
  t.match(errors, [{ code: 'journal-full', source: 'proxy' }]);
  t.equal(errors.length, 1);
  t.match(journal.broken, { code: 'journal-full' });
  const bytes = readdirSync(directory).reduce((sum, name) => sum + statSync(join(directory, name)).size, 0);
  t.ok(bytes <= 5_000, `${bytes} bytes`);
  journal.close();
  t.end();
});

t.test('a place that cannot be written is told at once; a journal of a later version is not guessed at', (t) => {
  const directory = place(t);
  t.throws(() => open('/dev/null/place'), { code: 'journal-write-failed' });
  const { journal } = open(directory);
  journal.close();
  const [name = ''] = readdirSync(directory);
  const bytes = readFileSync(join(directory, name));
  bytes.writeUInt16LE(99, 4);
  writeFileSync(join(directory, name), bytes);
  t.throws(() => readJournal(directory), { code: 'journal-version' });
  t.end();
});

t.test('a process is killed while it appends: all whole entries are there, in order, and nothing else', async (t) => {
  const lengths: number[] = [];
  for (let kill = 0; kill < 3; kill++) {
    const directory = place(t);
    const child = fork(new URL('./appender.js', import.meta.url), [directory]);
    const exited = once(child, 'exit');
    await once(child, 'message');
    child.kill('SIGKILL');
    t.strictSame(await exited, [null, 'SIGKILL']);
    const { since = [] } = readJournal(directory).get(1) ?? {};
    const wrong = since.findIndex(({ position, body }, at) => position !== at || !body.equals(bodyOf(at)));
    t.equal(wrong, -1);
    lengths.push(since.length);
  }
  t.ok(Math.min(...lengths) > 1_000, `${lengths} entries`);
});

/** What test/proxy/journal/appender.ts writes. */
function bodyOf(position: number): Buffer {
  return Buffer.alloc((position * 37) % 3_000, position % 251);
}

t.test('an entry longer than a segment has one of its own; what a file held before is no entry', (t) => {
  const directory = place(t);
  const { journal, errors } = open(directory, { segmentBytes: 1_000, segmentsMin: 2 });
  journal.begin(1, () => Buffer.from('state'));
  for (let round = 0; round < 20; round++) {
    journal.append(1, fromDatabase, round, Buffer.alloc(900 - 40 * round, 'y'));
    journal.append(1, fromDatabase, round, Buffer.alloc(5_000, 'z'));
  }
  journal.checkpoint(1);
  journal.append(1, fromDriver, 99, Buffer.alloc(5_000, 'z'));
  t.strictSame(remains(directory), { 1: ['state', `2@99:${'z'.repeat(5_000)}`] });
  t.strictSame(errors, []);
  const files = readdirSync(directory).map((name) => statSync(join(directory, name)).size);
  t.ok(files.length < 8, `${files} bytes`);
  journal.close();
  journal.append(1, fromDriver, 100, Buffer.from('late'));
  t.strictSame(remains(directory)[1]?.length, 2, 'nothing is stored into memory that is gone');
  t.match(journal.broken, { code: 'journal-write-failed' });
  t.end();
});

t.test(
  'files of no use are kept to be used again, not more than so many; the next journal removes what it inherits',
  (t) => {
    const directory = place(t);
    const limits = { segmentBytes: 1_000, segmentsMin: 2, sparesMax: 3 };
    const files = (): string[] => readdirSync(directory);
    const isSpare = (name: string): boolean => readFileSync(join(directory, name)).readUInt32LE(0) === 0;
    const spares = (): number => files().filter(isSpare).length;
    const { journal } = open(directory, limits);
    for (let owner = 1; owner <= 10; owner++) journal.begin(owner, () => Buffer.alloc(900));
    const most = files().length;
    for (let owner = 2; owner <= 10; owner++) journal.end(owner);
    let sparesMost = 0;
    for (let at = 0; at < 20; at++) {
      journal.append(1, fromDriver, at, Buffer.alloc(900));
      sparesMost = Math.max(sparesMost, spares());
    }
    t.ok(most > 9 && files().length < 8, `${most} files, then ${files().length}`);
    t.equal(sparesMost, 2, 'the third is in use again');
    t.equal(journal.bytes, 1_016 * files().length, 'they count');
    journal.close();
    writeFileSync(join(directory, '000000000001.spare'), 'as they were called once');
    const { journal: next } = open(directory, limits);
    next.inherit();
    t.equal(files().length, 1);
    next.close();
    t.end();
  },
);

t.test('a file that was made, and nothing written into, has nothing in it', (t) => {
  const directory = place(t);
  writeFileSync(join(directory, '000000000001.journal'), Buffer.alloc(4_096));
  t.strictSame(remains(directory), {});
  t.end();
});

const isRoot = process.getuid?.() === 0 && process.platform === 'linux';
t.test('no space left is an error of the journal, and not the end of the process', { skip: !isRoot }, (t) => {
  const directory = place(t);
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', directory], { stdio: 'ignore' });
  } catch {
    t.comment('this machine lets nobody mount: not tested');
    t.end();
    return;
  }
  try {
    const { journal, errors } = open(directory, { segmentBytes: 600 * 1024, segmentsMin: 100 });
    journal.begin(1, () => Buffer.from('state'));
    for (let at = 0; at < 100; at++) journal.append(1, fromDriver, at, Buffer.alloc(60 * 1024, 1));
    t.match(errors, [{ code: 'journal-write-failed', message: /ENOSPC/ }]);
    const { since = [] } = readJournal(directory).get(1) ?? {};
    t.ok(since.length > 20 && since.length < 35, `${since.length} entries are there`);
    journal.close();
  } finally {
    execFileSync('umount', [directory]);
  }
  t.end();
});
