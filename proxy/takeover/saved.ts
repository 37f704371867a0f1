/**
 * What is put down of workloads and sessions, so that another process can go on with them: checkpoints, which say everything, and
 * notes, which say what has changed since. Chunks of bytes go into the journal as they are (proxy/journal/entry.ts).
 *
 * A reader takes older forms, and newer ones whose `oldest` says that it may: an upgrade can be taken back.
 */
import { Packr, Unpackr } from 'msgpackr';
import type { Binding, EndCode, LinkImage, Position, StreamId, StreamImage } from '../../shim/link/index.js';
import { readRecord, type SessionRecord } from '../backend/record.js';
import type { SavedHolds } from '../holds.js';
import type { Entry } from '../journal/entry.js';
import type { Kept } from '../journal/journal.js';
import { TakeoverError } from './errors.js';

/** Grows with every change of a form. */
export const savedVersion = 3;
/** A program that knows this version can go on from what is written here; from what leaves out bytes, this one. */
const oldestReader = 2;
const oldestReaderOfLess = 3;
/** Oldest version that this program reads. */
const oldestRead = 1;

export interface SavedWorkload {
  readonly kind: 'workload';
  readonly name: string;
  readonly instance: string;
  readonly binding: Binding;
  readonly link: LinkImage;
  readonly holds: SavedHolds;
  /** Where the shim dialed from last, and since when it has been away; undefined while it is there. */
  readonly address: string;
  readonly away: { readonly sinceMs: number; readonly why: string } | undefined;
}

export interface SavedSession {
  readonly kind: 'session';
  /** Number of its workload in the journal. */
  readonly workload: number;
  readonly stream: StreamImage;
  /** Undefined once the connection to the database is closed, and only the rest of its bytes waits for the shim. */
  readonly record: SessionRecord | undefined;
  readonly closed: ClosedAt | undefined;
  /** Some of the stored bytes are not those that the database has sent: an injected fault has changed them. */
  readonly altered?: boolean;
}

/** Where the driver's direction stood when the connection to the database was closed. */
export interface ClosedAt {
  readonly consumed: number;
  readonly driverEnded: boolean;
}

export type Saved = SavedWorkload | SavedSession;

/** What has changed since the last checkpoint. */
export type Note =
  /** Of a workload: the peer has opened this stream. */
  | { readonly kind: 'opened'; readonly stream: StreamId }
  /** Of a session: the shim has acknowledged all bytes of its own before this position. Of version 2: it is an entry of its own kind now. */
  | { readonly kind: 'acked'; readonly base: Position }
  /** Of a session: the driver has ended its direction. */
  | { readonly kind: 'driver-ended' }
  /** The direction towards the driver is over. */
  | { readonly kind: 'ended'; readonly code: EndCode }
  | ({ readonly kind: 'closed' } & ClosedAt);

const packr = new Packr({ useRecords: false });
// Copies: what is read here must not hold the memory of a whole segment.
const unpackr = new Unpackr({ useRecords: false, copyBuffers: true });

/**
 * What a checkpoint begins with since version 2: a byte that is never used by msgpack, and the length of the record. Behind the
 * record stand the bytes that are stored for the shim, as they are: up to 256 KiB, which are copied once. Since version 3 the last of
 * them may be missing: those stand before the checkpoint, as they came from the database.
 */
const mark = 0xc1;
const markBytes = 5;

/** The stored bytes in it are views of where they are. @param kept bytes that it need not repeat */
export function packSaved(saved: Saved, kept?: Kept): readonly Buffer[] {
  const stored = saved.kind === 'session' ? saved.stream.bytes : [];
  const bytes = bytesOf(stored);
  const left = saved.kind === 'session' && kept !== undefined ? leftOut(saved, bytes, kept) : 0;
  const bare = saved.kind === 'session' ? { ...saved, stream: { ...saved.stream, bytes } } : saved;
  const oldest = left > 0 ? oldestReaderOfLess : oldestReader;
  const record = packr.pack({ version: savedVersion, oldest, ...bare });
  const head = Buffer.allocUnsafe(markBytes);
  head.writeUInt8(mark);
  head.writeUInt32LE(record.length, 1);
  return [head, record, ...(left > 0 ? firstOf(stored, bytes - left) : stored)];
}

/** How many of the last bytes stored are those that the database has sent last, and are kept elsewhere. */
function leftOut({ record, stream, altered }: SavedSession, bytes: number, kept: Kept): number {
  // What comes after an end is delivered, and not stored.
  if (record === undefined || stream.ended !== undefined || altered === true) return 0;
  const { delivered } = record.positions;
  const left = Math.min(bytes, delivered - kept.from);
  if (left <= 0) return 0;
  kept.use(delivered - left);
  return left;
}

function firstOf(pieces: readonly Buffer[], count: number): Buffer[] {
  let rest = count;
  return pieces.flatMap((piece) => {
    const part = piece.subarray(0, rest);
    rest -= part.length;
    return part.length === 0 ? [] : [part];
  });
}

function bytesOf(pieces: readonly Buffer[]): number {
  return pieces.reduce((sum, { length }) => sum + length, 0);
}

/**
 * @param before bytes of the database that stand before the checkpoint
 * @throws {TakeoverError} takeover-version, takeover-damaged
 * @throws {BackendError} record-invalid
 */
export function unpackSaved(bytes: Buffer, before: readonly Entry[] = []): Saved {
  const isMarked = bytes.length >= markBytes && bytes[0] === mark;
  const end = isMarked ? markBytes + bytes.readUInt32LE(1) : bytes.length;
  if (end > bytes.length) throw new TakeoverError('takeover-damaged', 'a checkpoint that is cut off');
  const record = unpack(bytes.subarray(isMarked ? markBytes : 0, end));
  const { version, oldest, ...saved } = record as { version?: unknown; oldest?: unknown } & Saved;
  if (typeof version !== 'number' || typeof oldest !== 'number') {
    throw new TakeoverError('takeover-damaged', 'a checkpoint without a version');
  }
  if (version < oldestRead || oldest > savedVersion) {
    const known = `${oldestRead} to ${savedVersion}`;
    throw new TakeoverError('takeover-version', `a checkpoint of version ${version}, readable are ${known}`);
  }
  if (saved.kind !== 'session') return saved;
  if (saved.record !== undefined) readRecord(saved.record);
  const said: unknown = saved.stream.bytes;
  // Before version 2 the bytes themselves, since then their number.
  const stored = Buffer.isBuffer(said) ? [said] : storedIn(Number(said), bytes.subarray(end), before, saved.record);
  return { ...saved, stream: { ...saved.stream, bytes: stored } };
}

function storedIn(
  said: number,
  behind: Buffer,
  before: readonly Entry[],
  record: SessionRecord | undefined,
): readonly Buffer[] {
  const left = said - behind.length;
  const last = left > 0 && record !== undefined ? lastOf(before, record.positions.delivered, left) : [];
  if (bytesOf(last) !== left) throw new TakeoverError('takeover-damaged', `${said} bytes stored, ${left} are missing`);
  return behind.length === 0 ? last : [Buffer.from(behind), ...last];
}

/** The last bytes up to a position, as far as they are there; all of them are copied. */
function lastOf(entries: readonly Entry[], end: number, count: number): Buffer[] {
  const found: Buffer[] = [];
  let [to, missing] = [end, count];
  for (const { position, body } of entries.toReversed()) {
    if (missing === 0) break;
    if (position + body.length !== to) continue;
    const part = body.subarray(Math.max(0, body.length - missing));
    found.unshift(Buffer.from(part));
    missing -= part.length;
    to = position;
  }
  return found;
}

export function packNote(note: Note): Buffer {
  return packr.pack(note);
}

/** A note of a newer program that is not known here comes with a checkpoint that says whether it matters (`oldest`). */
export function unpackNote(bytes: Buffer): Note {
  return unpack(bytes) as Note;
}

function unpack(bytes: Buffer): object {
  let value: unknown;
  try {
    value = unpackr.unpack(bytes);
  } catch (cause) {
    throw new TakeoverError('takeover-damaged', 'an entry of the journal is not msgpack', cause);
  }
  if (typeof value === 'object' && value !== null) return value;
  throw new TakeoverError('takeover-damaged', 'an entry of the journal is not a record');
}
