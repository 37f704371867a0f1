/** What a worker might have left behind. */
import { pack, unpack } from 'msgpackr';
import { recordVersion, type SessionRecord } from '../../../proxy/backend/record.js';
import { type Entry, type EntryKind, entryKinds } from '../../../proxy/journal/entry.js';
import {
  type Note,
  packNote,
  packSaved,
  type Saved,
  type SavedSession,
  type SavedWorkload,
} from '../../../proxy/takeover/saved.js';
import { SessionTracker } from '../../../proxy/track/session.js';
import { noBinding, type StreamId } from '../../../shim/link/index.js';

export const stream = 5 as StreamId;

export function savedWorkload(more: Partial<SavedWorkload> = {}): SavedWorkload {
  return {
    kind: 'workload',
    name: 'orders',
    instance: 'i',
    binding: noBinding,
    link: { lastStream: 5, sent: 0, received: 0, acked: 0 },
    holds: { isPinned: false, hold: undefined, requests: [] },
    address: '10.0.0.1',
    away: undefined,
    ...more,
  };
}

/** A session that was accepted: 100 bytes of the driver and 40 for it have passed, and the socket's counters say 90 and 30. */
export function recordOf(tracker = new SessionTracker(), more: Partial<SessionRecord> = {}): SessionRecord {
  return {
    version: recordVersion,
    oldest: recordVersion,
    anchor: { received: 100, delivered: 40, writtenBytes: 90, readBytes: 30 },
    state: 'open',
    database: { host: 'db', port: 1521 },
    createdMs: 1,
    positions: { received: 100, consumed: 100, delivered: 40 },
    driverEnded: false,
    databaseEnded: false,
    paused: true,
    watchedBytes: 100,
    endedUnasked: false,
    track: tracker.state(),
    ...more,
  };
}

/** 40 bytes were stored for the shim, which has acknowledged 15 of them. */
export function savedSession(more: Partial<SavedSession> = {}): SavedSession {
  const bytes = [Buffer.alloc(25, 's')];
  const image = { id: stream, acked: 15, base: 15, bytes, ended: undefined, closed: false };
  return { kind: 'session', workload: 16, stream: image, record: recordOf(), closed: undefined, ...more };
}

/** A checkpoint as it stands in the journal. @param more that its record says, or says otherwise */
export function checkpointOf(saved: Saved, more: object = {}): Buffer {
  const [head, record, ...stored] = packSaved(saved);
  if (head === undefined || record === undefined) throw new Error('no record');
  const changed = pack({ ...(unpack(record) as object), ...more });
  head.writeUInt32LE(changed.length, 1);
  return Buffer.concat([head, changed, ...stored]);
}

/** The same as version 1 had it: all in the record. */
export function firstForm(saved: SavedSession, more: object = {}): Buffer {
  const stream = { ...saved.stream, bytes: Buffer.concat(saved.stream.bytes) };
  return pack({ version: 1, oldest: 1, ...saved, stream, ...more });
}

export function chunk(kind: 'fromDriver' | 'fromDatabase', position: number, body: Buffer | string): Entry {
  return entry(entryKinds[kind], Buffer.from(body), position);
}

export function noted(note: Note): Entry {
  return entry(entryKinds.event, packNote(note));
}

export function entry(kind: EntryKind, body: Buffer, position = 0): Entry {
  return { owner: 17, kind, position, body };
}
