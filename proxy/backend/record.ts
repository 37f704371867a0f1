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

/** Grows with every change of meaning or shape. A record of another version is refused, never guessed at. */
export const recordVersion = 2;

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

export interface SessionRecord extends SessionFacts {
  readonly version: typeof recordVersion;
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
  const record = unpack(bytes);
  if (!isRecord(record)) throw new BackendError('record-invalid', `not a session record of version ${recordVersion}`);
  return record;
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
  return typeof value === 'object' && value !== null && 'version' in value && value.version === recordVersion;
}
