/**
 * All that a session needs to outlive the process that serves it: this record and its socket. It is kept whole and in one
 * place: whatever a session or its tracker remembers from one byte to the next is in here, and views are made of the same
 * data. Taken between any two bytes, packed, unpacked and taken up with the socket, it gives a session that goes on as if
 * nothing had happened.
 *
 * Not in it: what belongs to the connection itself (the addresses of its ends, what the kernel holds), to the process
 * (limits, log, who receives the bytes), and the bytes of the driver that the former socket had not passed on, which the
 * shim still has (`BackendSessionOptions`, `resendFrom`).
 *
 * A record is at most `recordBytesMax` bytes: a login request and a login answer kept whole (64 KiB each), the end of a
 * response (4 KiB), and names and numbers. Between calls it is about one and a half KiB.
 */
import { Packr, Unpackr } from 'msgpackr';
import type { TrackerState } from '../track/session.js';
import type { DatabaseAddress } from './address.js';
import { BackendError } from './errors.js';
import { recordBytesMax } from './limits.js';

/**
 * Grows with every change. A reader takes older records too (`unpackRecord` brings them up to date), and newer ones whose
 * `oldest` says that it may: fields that were only added do not harm one that does not know them.
 */
export const recordVersion = 3;
/** A program with records of this version can go on from those that are written here. */
export const oldestReader = 3;
/** Before it a record did not tell how positions and the socket's own counters belong together. */
const oldestRead = 3;

/** What a session knows besides what its tracker has seen. */
export interface SessionFacts {
  /** Where the connection was made to, after redirects. */
  readonly database: DatabaseAddress;
  /** Milliseconds of the machine's monotonic clock, which the next process shares. */
  readonly createdMs: number;
  readonly positions: {
    /** Bytes of the driver taken over. */
    readonly received: number;
    /** Bytes of the driver that reached the next hop. */
    readonly consumed: number;
    /** Bytes given out for the driver. */
    readonly delivered: number;
  };
  readonly driverEnded: boolean;
  readonly databaseEnded: boolean;
  /** Nothing is read from the database at present. */
  readonly paused: boolean;
}

/**
 * Where driver and database began to talk with each other through the socket: the positions of the session, and the counters of
 * the socket at that moment. Behind it they grow alike, before it the proxy has spoken for itself.
 */
export interface Anchor {
  readonly received: number;
  readonly delivered: number;
  readonly writtenBytes: number;
  readonly readBytes: number;
}

export interface SessionRecord extends SessionFacts {
  readonly version: number;
  readonly oldest: number;
  readonly anchor: Anchor;
  readonly state: 'open' | 'refused';
  /** Bytes of the driver the tracker has seen. More than `received` while bytes come a second time. */
  readonly watchedBytes: number;
  /** The database has ended its direction, and nobody had asked it to. */
  readonly endedUnasked: boolean;
  readonly track: TrackerState;
}

const packr = new Packr({ useRecords: false });
// Copies: a record must not hold the memory it came in.
const unpackr = new Unpackr({ useRecords: false, copyBuffers: true });

export function packRecord(record: SessionRecord): Buffer {
  return packr.pack(record);
}

/** @throws BackendError record-invalid */
export function unpackRecord(bytes: Buffer): SessionRecord {
  if (bytes.length > recordBytesMax) {
    throw new BackendError(
      'record-invalid',
      `a session record of ${bytes.length} bytes, the limit is ${recordBytesMax}`,
    );
  }
  return readRecord(unpack(bytes));
}

/** @throws BackendError record-invalid: not a record, or of a version that this program cannot go on from */
export function readRecord(value: unknown): SessionRecord {
  if (!isRecord(value)) throw new BackendError('record-invalid', 'not a session record');
  const { version, oldest } = value;
  if (version < oldestRead || oldest > recordVersion) {
    const known = `${oldestRead} to ${recordVersion}`;
    throw new BackendError('record-invalid', `a session record of version ${version}, readable are ${known}`);
  }
  return value;
}

function unpack(bytes: Buffer): unknown {
  try {
    return unpackr.unpack(bytes);
  } catch (error) {
    throw new BackendError('record-invalid', 'the bytes are no session record', error);
  }
}

/** Records are written by this program only: the version tells that all the rest is as above. */
function isRecord(value: unknown): value is SessionRecord {
  if (typeof value !== 'object' || value === null || !('version' in value) || !('oldest' in value)) return false;
  return typeof value.version === 'number' && typeof value.oldest === 'number';
}
