/**
 * What a worker has left behind, made into what the next one begins with. Pure: the journal's entries and the kernel's counters
 * in, workloads and sessions out.
 *
 * Of the driver's bytes the kernel knows how many the database was given: the rest comes again from the shim, which has them
 * still. Of the database's bytes all that were read must be in the journal, for nobody else has them: where the kernel says
 * that more were read, the worker died between reading and putting down, and the session cannot go on.
 */
import type { EndCode, Position, StreamImage, StreamRest } from '../../shim/link/index.js';
import { assertNever, errorText } from '../../shim/program/errors.js';
import { BackendError } from '../backend/errors.js';
import type { SessionRecord } from '../backend/record.js';
import { type Entry, entryKinds } from '../journal/entry.js';
import type { Remains } from '../journal/journal.js';
import type { SocketCounters } from '../kernel/socket-counters.js';
import { SessionTracker } from '../track/session.js';
import { TakeoverError } from './errors.js';
import { type ClosedAt, type SavedSession, type SavedWorkload, unpackNote, unpackSaved } from './saved.js';

export interface RecoveredWorkload {
  /** Number in the journal. */
  readonly id: number;
  readonly saved: SavedWorkload;
  readonly sessions: readonly RecoveredSession[];
}

export interface RecoveredSession {
  /** Number in the journal, and at the keeper. */
  readonly id: number;
  readonly stream: StreamImage;
  /** As the worker knew it in the end; undefined when the connection had been closed by then. */
  readonly record: SessionRecord | undefined;
  readonly closed: ClosedAt | undefined;
}

export interface Recovered {
  readonly workloads: readonly RecoveredWorkload[];
  /** What cannot be gone on with, whatever the kernel says. */
  readonly damaged: readonly { readonly id: number; readonly error: TakeoverError }[];
}

/** How a session goes on. */
export type Placement =
  | { readonly kind: 'alive'; readonly rest: StreamRest; readonly record: SessionRecord; readonly resendFrom: number }
  | { readonly kind: 'closed'; readonly rest: StreamRest }
  | { readonly kind: 'lost'; readonly error: TakeoverError };

/** @param more an entry that the journal lacks */
export function recover(remains: ReadonlyMap<number, Remains>, nowMs: number, more?: Entry): Recovered {
  const workloads = new Map<number, { id: number; saved: SavedWorkload; sessions: RecoveredSession[] }>();
  const sessions: { id: number; saved: SavedSession; since: readonly Entry[] }[] = [];
  const damaged: { id: number; error: TakeoverError }[] = [];
  for (const [id, { checkpoint, before, since: known }] of remains) {
    const since = more?.owner === id ? [...known, more] : known;
    attempt(id, damaged, () => {
      const saved = unpackSaved(checkpoint, before);
      if (saved.kind === 'session') sessions.push({ id, saved, since });
      else workloads.set(id, { id, saved: withNotes(saved, since), sessions: [] });
    });
  }
  for (const { id, saved, since } of sessions) {
    attempt(id, damaged, () => workloads.get(saved.workload)?.sessions.push(advanced(id, saved, since, nowMs)));
  }
  return { workloads: [...workloads.values()], damaged };
}

/** @param counters of its connection; undefined when it was not kept, or is gone */
export function place(session: RecoveredSession, isKept: boolean, counters: SocketCounters | undefined): Placement {
  const { record, stream, closed } = session;
  if (record === undefined) {
    const { consumed = 0, driverEnded = false } = closed ?? {};
    return { kind: 'closed', rest: { ...stream, consumed, peerEnded: driverEnded } };
  }
  const isGone = !isKept || counters === undefined;
  if (stream.ended !== undefined && (isGone || stream.ended !== 'closed')) {
    // The database has said its last, and the worker died before it had put down that the connection is closed. The shim still
    // wants what it has not got; and where the driver had more to say, it is told that this went nowhere.
    const ended = stream.ended === 'closed' && !record.driverEnded ? 'lost' : stream.ended;
    return {
      kind: 'closed',
      rest: { ...stream, ended, consumed: record.positions.received, peerEnded: record.driverEnded },
    };
  }
  if (!isKept) return lost('takeover-not-kept', 'its connection to the database was not kept');
  if (counters === undefined) {
    return lost('takeover-connection-lost', 'its connection to the database ended while there was no worker');
  }
  const { anchor, positions } = record;
  const resendFrom = anchor.received + counters.writtenBytes - anchor.writtenBytes;
  const read = readOf(record, counters);
  if (resendFrom < positions.consumed || resendFrom > positions.received || read < positions.delivered) {
    const known = `${positions.consumed} to ${positions.received} sent, ${positions.delivered} read`;
    return lost('takeover-damaged', `the kernel says ${resendFrom} sent, ${read} read, the journal ${known}`);
  }
  if (read > positions.delivered) {
    return lost('takeover-bytes-lost', `${read - positions.delivered} bytes were read and not put down`);
  }
  // Its end is not gone on with, but passed on again, unless all before it has been.
  const peerEnded = record.driverEnded && resendFrom === positions.received;
  return { kind: 'alive', rest: { ...stream, consumed: resendFrom, peerEnded }, record, resendFrom };
}

/** Position up to which the database's bytes were read. */
function readOf({ anchor }: SessionRecord, { readBytes }: SocketCounters): number {
  return anchor.delivered + readBytes - anchor.readBytes;
}

/**
 * The one read that was made and not put down, as the entry that is missing. Everything is read to one place, so that its bytes
 * are there still, unless two sessions lack some: then it cannot be told whose they are.
 * @param landed what was there when the worker died
 */
export function lastRead(
  sessions: readonly RecoveredSession[],
  countersOf: (id: number) => SocketCounters | undefined,
  landed: Buffer,
): Entry | undefined {
  const lacking = sessions.flatMap(({ id, record }): Entry[] => {
    const counters = record === undefined ? undefined : countersOf(id);
    if (record === undefined || counters === undefined) return [];
    const position = record.positions.delivered;
    const bytes = readOf(record, counters) - position;
    if (bytes <= 0) return [];
    return [{ owner: id, kind: entryKinds.fromDatabase, position, body: landed.subarray(0, bytes) }];
  });
  const [entry] = lacking;
  return lacking.length === 1 ? entry : undefined;
}

/** @throws {TakeoverError} takeover-version: this program could not go on from what another one has put down */
export function mustBeReadable(entries: readonly Entry[]): void {
  const damaged: { id: number; error: TakeoverError }[] = [];
  for (const { kind, owner, body } of entries) {
    if (kind === entryKinds.checkpoint) attempt(owner, damaged, () => unpackSaved(body));
  }
  const other = damaged.find(({ error }) => error.code === 'takeover-version');
  if (other !== undefined) throw other.error;
}

function lost(code: ConstructorParameters<typeof TakeoverError>[0], message: string): Placement {
  return { kind: 'lost', error: new TakeoverError(code, message) };
}

function attempt(id: number, damaged: { id: number; error: TakeoverError }[], action: () => void): void {
  try {
    action();
  } catch (error) {
    damaged.push({ id, error: takeoverError(error) });
  }
}

function takeoverError(error: unknown): TakeoverError {
  if (error instanceof TakeoverError) return error;
  const code = error instanceof BackendError ? 'takeover-version' : 'takeover-damaged';
  return new TakeoverError(code, errorText(error), error);
}

function withNotes(saved: SavedWorkload, since: readonly Entry[]): SavedWorkload {
  let { lastStream } = saved.link;
  for (const { body } of since) {
    const note = unpackNote(body);
    if (note.kind === 'opened') lastStream = Math.max(lastStream, note.stream);
  }
  return { ...saved, link: { ...saved.link, lastStream } };
}

/** Goes through all that has happened since the checkpoint, as the worker did. */
function advanced(id: number, saved: SavedSession, since: readonly Entry[], nowMs: number): RecoveredSession {
  const session = new Advance(saved, nowMs);
  for (const entry of since) session.step(entry);
  return { id, ...session.result() };
}

class Advance {
  readonly #nowMs: number;
  readonly #record: SessionRecord | undefined;
  readonly #tracker: SessionTracker;
  readonly #stream: StreamImage;
  readonly #bytes: Buffer[];
  /** Bytes before this position are at the shim. */
  #base: Position;
  #received: number;
  #delivered: number;
  /** The tracker has seen the driver's bytes up to here. */
  #watched: number;
  #ended: EndCode | undefined;
  #closedInOrder: boolean;
  #driverEnded: boolean;
  #closed: ClosedAt | undefined;

  constructor({ record, stream, closed }: SavedSession, nowMs: number) {
    this.#nowMs = nowMs;
    this.#record = record;
    this.#tracker = new SessionTracker(record?.track);
    this.#stream = stream;
    this.#bytes = [...stream.bytes];
    this.#base = stream.base;
    this.#received = record?.positions.received ?? 0;
    this.#delivered = record?.positions.delivered ?? 0;
    this.#watched = record?.watchedBytes ?? 0;
    this.#ended = stream.ended;
    this.#closedInOrder = stream.closed;
    this.#driverEnded = record?.driverEnded ?? false;
    this.#closed = closed;
  }

  step({ kind, position, body }: Entry): void {
    switch (kind) {
      case entryKinds.fromDriver:
        this.#follows(position, this.#received);
        this.#received += body.length;
        this.#watch(body);
        break;
      case entryKinds.fromDatabase:
        this.#follows(position, this.#delivered);
        this.#delivered += body.length;
        this.#tracker.fromDatabase(body, this.#nowMs);
        // As the link does: what comes after its end is nobody's.
        if (this.#ended === undefined) this.#bytes.push(body);
        break;
      case entryKinds.acked:
        this.#acknowledge(position);
        break;
      case entryKinds.event:
        this.#note(body);
        break;
      case entryKinds.checkpoint:
      case entryKinds.ended:
        break;
      default:
        assertNever(kind);
    }
  }

  result(): Omit<RecoveredSession, 'id'> {
    const stream = {
      ...this.#stream,
      base: this.#base,
      acked: Math.max(this.#stream.acked, this.#base),
      bytes: after(this.#bytes, this.#base - this.#stream.base),
      ended: this.#ended,
      closed: this.#closedInOrder,
    };
    return { stream, record: this.#closed === undefined ? this.#present() : undefined, closed: this.#closed };
  }

  #present(): SessionRecord | undefined {
    return (
      this.#record && {
        ...this.#record,
        positions: { ...this.#record.positions, received: this.#received, delivered: this.#delivered },
        driverEnded: this.#driverEnded,
        // The worker knew of the end and had not passed it on: it is read once more.
        databaseEnded: this.#record.databaseEnded && this.#ended !== undefined,
        watchedBytes: this.#watched,
        paused: false,
        track: this.#tracker.state(),
      }
    );
  }

  #watch(body: Buffer): void {
    const known = Math.min(Math.max(0, this.#watched - (this.#received - body.length)), body.length);
    if (known < body.length) this.#tracker.fromDriver(body.subarray(known), this.#nowMs);
    this.#watched = Math.max(this.#watched, this.#received);
  }

  #note(body: Buffer): void {
    const note = unpackNote(body);
    switch (note.kind) {
      case 'acked':
        this.#acknowledge(note.base);
        break;
      case 'driver-ended':
        this.#driverEnded = true;
        break;
      case 'ended':
        // Nothing comes after an end that was not in order.
        if ((this.#ended ?? 'closed') !== 'closed') break;
        this.#closedInOrder ||= note.code === 'closed';
        this.#ended = note.code;
        break;
      case 'closed':
        this.#closed = note;
        break;
      case 'opened':
        break;
      default:
        assertNever(note);
    }
  }

  #acknowledge(base: Position): void {
    const end = this.#bytes.reduce((sum, { length }) => sum + length, this.#stream.base);
    if (base < this.#base || base > end) {
      throw new TakeoverError('takeover-damaged', `acknowledged up to ${base}, of bytes from ${this.#base} to ${end}`);
    }
    this.#base = base;
  }

  #follows(position: number, expected: number): void {
    if (position === expected) return;
    throw new TakeoverError('takeover-damaged', `bytes from ${position} on where ${expected} was next`);
  }
}

/** What is left of these bytes without so many of the first. */
function after(pieces: readonly Buffer[], count: number): Buffer[] {
  let before = count;
  return pieces.flatMap((piece) => {
    const from = Math.min(before, piece.length);
    before -= from;
    return from === piece.length ? [] : [piece.subarray(from)];
  });
}
