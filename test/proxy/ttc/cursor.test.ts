import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import t from 'tap';
import { Cursor } from '../../../proxy/ttc/cursor.js';
import { BadScalar, ByteReader, OutOfBytes } from '../../../proxy/ttc/index.js';

/** The same read by both. */
const reads: readonly (readonly [(cursor: Cursor) => unknown, (reader: ByteReader) => unknown])[] = [
  [(cursor) => cursor.u8(), (reader) => reader.u8()],
  [(cursor) => cursor.skip(3), (reader) => reader.skip(3)],
  [(cursor) => cursor.ub(2), (reader) => reader.ub2()],
  [(cursor) => cursor.ub(4), (reader) => reader.ub4()],
  [(cursor) => cursor.ub(8), (reader) => reader.ub8()],
  [(cursor) => cursor.skipSigned(2), (reader) => void reader.sb2()],
  [(cursor) => cursor.skipSigned(4), (reader) => void reader.sb4()],
  [(cursor) => cursor.skipClr(), (reader) => void reader.clr()],
  [(cursor) => cursor.skipClrWithLength(), (reader) => void reader.clrWithLength()],
];

/** What was read and where it ended, or undefined where one read failed. */
function strict(bytes: Buffer, plan: readonly number[]): unknown {
  try {
    const reader = new ByteReader(bytes);
    return [plan.map((index) => reads[index]?.[1](reader)), reader.at];
  } catch (error) {
    if (error instanceof OutOfBytes || error instanceof BadScalar) return undefined;
    throw error;
  }
}

function soft(bytes: Buffer, plan: readonly number[]): unknown {
  const cursor = new Cursor(bytes);
  // Where it was before, and that it failed there, is forgotten.
  cursor.skip(1000);
  cursor.moveTo(0);
  const values = plan.map((index) => reads[index]?.[0](cursor));
  return cursor.failed ? undefined : [values, cursor.at];
}

t.test('a cursor reads what a ByteReader reads, and fails where it throws', async (t) => {
  const byte = fc.oneof({ weight: 4, arbitrary: fc.constantFrom(0, 1, 2, 3, 4, 8, 0x81, 254, 255) }, fc.nat(255));
  const seen = { read: 0, failed: 0 };
  fc.assert(
    fc.property(
      fc.array(byte, { maxLength: 60, size: 'max' }),
      fc.array(fc.nat(reads.length - 1), { minLength: 1, maxLength: 4 }),
      (list, plan) => {
        const expected = strict(Buffer.from(list), plan);
        seen[expected === undefined ? 'failed' : 'read'] += 1;
        return isDeepStrictEqual(soft(Buffer.from(list), plan), expected);
      },
    ),
    { numRuns: 2000 },
  );
  t.ok(seen.read > 200 && seen.failed > 200, JSON.stringify(seen));
});

t.test('after a failed read all reads give 0', async (t) => {
  const cursor = new Cursor(Buffer.from([5, 1, 2, 3, 4, 5]));
  t.strictSame([cursor.ub(4), cursor.u8(), cursor.ub(2), cursor.failed], [0, 0, 0, true]);
});
