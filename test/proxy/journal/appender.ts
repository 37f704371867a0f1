/** Appends to a journal in the directory it is given, as fast as it can and in order, until it is killed. */
import { entryKinds } from '../../../proxy/journal/entry.js';
import { Journal } from '../../../proxy/journal/journal.js';

const [, , directory = ''] = process.argv;
const failed = (error: Error): never => {
  throw error;
};
// All of it stays in a few segments: what is read back has no gaps.
const journal = new Journal({ directory, limits: { segmentBytes: 64 * 1024, segmentsMin: 1_000 }, failed });
journal.begin(1, () => Buffer.from('state'));
for (let position = 0; position < 200_000; position++) {
  // Of every length, most of them longer than what a checksum covers; all bytes of a body are the same.
  journal.append(1, entryKinds.fromDriver, position, Buffer.alloc((position * 37) % 3_000, position % 251));
  if (position === 1_000) process.send?.('busy');
}
