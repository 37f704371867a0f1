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
import { TakeoverError } from './errors.js';

/** Grows with every change of a form. */
export const savedVersion = 2;
/** A program that knows this version can go on from what is written here. */
const oldestReader = 2;
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
  /** Of a session: the shim has acknowledged all bytes of its own before this position. Since version 2. */
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
 * record stand the bytes that are stored for the shim, as they are: up to 256 KiB, which are copied once.
 */
const mark = 0xc1;
const markBytes = 5;

/** The stored bytes in it are views of where they are. */
export function packSaved(saved: Saved): readonly Buffer[] {
  const stored = saved.kind === 'session' ? saved.stream.bytes : [];
  const bytes = stored.reduce((sum, { length }) => sum + length, 0);
  const bare = saved.kind === 'session' ? { ...saved, stream: { ...saved.stream, bytes } } : saved;
  const record = packr.pack({ version: savedVersion, oldest: oldestReader, ...bare });
  const head = Buffer.allocUnsafe(markBytes);
  head.writeUInt8(mark);
  head.writeUInt32LE(record.length, 1);
  return [head, record, ...stored];
}

/** @throws {TakeoverError} takeover-version, takeover-damaged @throws {BackendError} record-invalid */
export function unpackSaved(bytes: Buffer): Saved {
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
  return { ...saved, stream: { ...saved.stream, bytes: storedIn(saved.stream.bytes, bytes.subarray(end)) } };
}

/** @param said their number; before version 2 the bytes themselves */
function storedIn(said: unknown, behind: Buffer): readonly Buffer[] {
  if (Buffer.isBuffer(said)) return [said];
  if (said === behind.length) return [Buffer.from(behind)];
  throw new TakeoverError('takeover-damaged', `${said} bytes stored, and ${behind.length} there`);
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
