/**
 * The entries of a journal. Every one names its owner, which is a session or a workload:
 *
 *   length   u32   bytes of the body
 *   checksum u32   of everything else in the entry; starts from the number of its segment, so that what a segment held
 *                  when it was used before is never taken for an entry
 *   owner    u48
 *   kind     u16
 *   position u48   of the first byte of a chunk; 0 otherwise
 *   length of the head, all of it: 22 bytes; then the body
 *
 * The body is stored first and the head last, so a process that is killed leaves no head without its body. The checksum is there to
 * tell a head from what else may stand in its place: it covers the head, and four bytes of each end of the body. In files of
 * version 1 it is a CRC-32 over the head and a KiB of each end. All numbers are little-endian.
 */
import { crc32 } from 'node:zlib';

export const headBytes = 22;
const sampleBytes = 1024;

/** Numbers are in files: never use one again for something else. */
export const entryKinds = {
  /** All that is known of the owner; whatever came before it is of no use any more. */
  checkpoint: 1,
  /** Bytes of the driver, written before the database gets them. */
  fromDriver: 2,
  /** Bytes of the database, written before the shim gets them. */
  fromDatabase: 3,
  /** Something happened to the owner that its next checkpoint will say; the body tells what. */
  event: 4,
  /** The owner is no more. */
  ended: 5,
  /** The shim has all bytes of the database before this position. Without a body: it is written for each 64 KiB. Since version 2. */
  acked: 6,
} as const;
export type EntryKind = (typeof entryKinds)[keyof typeof entryKinds];
const kinds: ReadonlySet<number> = new Set(Object.values(entryKinds));

export interface EntryHead {
  readonly owner: number;
  readonly kind: EntryKind;
  readonly position: number;
}

export interface Entry extends EntryHead {
  readonly body: Buffer;
}

/** Highest part of a u48 in its upper 16 bits. */
const wordRange = 0x1_0000_0000;

/**
 * Writes the head of an entry into `target` at `at`, where its body of this length stands behind it, for a segment with this number.
 * Through a view, which the compiler makes single stores of: a Buffer stores byte by byte.
 */
export function writeHead(target: DataView, at: number, segment: number, head: EntryHead, length: number): void {
  const { owner, kind, position } = head;
  target.setUint32(at, length, true);
  target.setUint32(at + 8, owner % wordRange, true);
  target.setUint16(at + 12, owner / wordRange, true);
  target.setUint16(at + 14, kind, true);
  target.setUint32(at + 16, position % wordRange, true);
  target.setUint16(at + 20, position / wordRange, true);
  target.setUint32(at + 4, checksum(target, at, length, segment), true);
}

/** No entry begins at `at`. */
export function writeNone(target: DataView, at: number): void {
  if (at + headBytes <= target.byteLength) target.setUint16(at + 14, 0, true);
}

/**
 * Reads the entry that begins at `at`. The body is a view.
 * @param version of the file
 * @returns undefined where there is none: the end of what was written, or the beginning of a write that was not finished
 */
export function readEntry(bytes: Buffer, at: number, segment: number, version: number): Entry | undefined {
  if (bytes.length - at < headBytes) return undefined;
  const length = bytes.readUInt32LE(at);
  const from = at + headBytes;
  if (bytes.length - from < length) return undefined;
  const kind = bytes.readUInt16LE(at + 14);
  if (!isKind(kind)) return undefined;
  const wanted =
    version === 1 ? firstChecksum(bytes, at, length, segment) : checksum(viewOf(bytes), at, length, segment);
  if (bytes.readUInt32LE(at + 4) !== wanted) return undefined;
  const body = bytes.subarray(from, from + length);
  return { owner: bytes.readUIntLE(at + 8, 6), kind, position: bytes.readUIntLE(at + 16, 6), body };
}

export function viewOf({ buffer, byteOffset, byteLength }: Buffer): DataView {
  return new DataView(buffer, byteOffset, byteLength);
}

/**
 * Of the entry that stands at `at`, whose body has this length: its words, mixed as hash functions do. A call of the runtime's
 * `crc32` took as long as all the rest of an append.
 */
function checksum(bytes: DataView, at: number, length: number, segment: number): number {
  let sum = mixed(segment, length);
  sum = mixed(sum, bytes.getUint32(at + 8, true));
  sum = mixed(sum, bytes.getUint32(at + 12, true));
  sum = mixed(sum, bytes.getUint32(at + 16, true));
  sum = mixed(sum, bytes.getUint16(at + 20, true));
  if (length < 4) return sum >>> 0;
  sum = mixed(sum, bytes.getUint32(at + headBytes, true));
  return mixed(sum, bytes.getUint32(at + headBytes + length - 4, true)) >>> 0;
}

/** Every bit of `word` changes half of the bits above it, and some of those below. */
function mixed(sum: number, word: number): number {
  const product = Math.imul(sum ^ word, 0x9e37_79b1);
  return product ^ (product >>> 15);
}

function firstChecksum(bytes: Buffer, at: number, length: number, segment: number): number {
  const end = at + headBytes + length;
  const sum = crc32(bytes.subarray(at, at + 4), segment);
  if (length <= 2 * sampleBytes) return crc32(bytes.subarray(at + 8, end), sum);
  const first = crc32(bytes.subarray(at + 8, at + headBytes + sampleBytes), sum);
  return crc32(bytes.subarray(end - sampleBytes, end), first);
}

function isKind(value: number): value is EntryKind {
  return kinds.has(value);
}
