/**
 * What must outlive a worker that is killed, in files of a memory file system: for every owner (a session, a workload) its
 * last checkpoint and what happened since. Written before it takes effect, so that whatever the database or a shim may have
 * seen of this worker is in here.
 *
 * The files are one log in segments. When the log has become longer than what is alive in it asks for, the owners whose
 * checkpoints are in its oldest segment write new ones, and the segment is used again. A new one need not repeat what the log has
 * in its other segments: of 256 KiB that a shim has not acknowledged it would copy each byte once more, for half of all that passes. Rejected: a file, or a place in one,
 * for each session: a second descriptor each, and a page or two for the thousands that are idle.
 *
 * Nothing is synced: the memory survives the process, and a machine that dies takes the connections along.
 */
import { existsSync, mkdirSync, unlinkSync } from 'node:fs';
import { basename } from 'node:path';
import { errorCode } from '../../shim/program/errors.js';
import { type Entry, type EntryHead, type EntryKind, entryKinds, headBytes } from './entry.js';
import { JournalError } from './errors.js';
import { defaultJournalLimits, type JournalLimits } from './limits.js';
import { type Body, readSegment, Segment, segmentFiles, segmentNumber } from './segment.js';

/** Bytes of the database, put down before, that stay where they are for now: a checkpoint need not repeat them. */
export interface Kept {
  /** Position of the first of them. All after it are there too. */
  readonly from: number;
  /** Those from this position on are left out. */
  use(position: number): void;
}

/** Says all there is to know of an owner at this moment. What it gives is copied at once. */
export type TakeCheckpoint = (kept?: Kept) => Body;

interface Owner {
  readonly take: TakeCheckpoint;
  /** The oldest segment that its last checkpoint needs: its own, or that of the first byte it has left out. */
  segment: number;
  /** Of its last checkpoint. */
  bytes: number;
  /**
   * Of each segment with bytes of the database that a checkpoint may need: its number, and the position of the first of them. Without
   * objects: with many owners there is a new pair every few entries, and all of them live long.
   */
  data: number[];
}

export interface JournalOptions {
  readonly directory: string;
  readonly limits?: Partial<JournalLimits>;
  /** Once: from now on nothing is written, and what happens is not protected. */
  readonly failed: (error: JournalError) => void;
}

const nothing = Buffer.alloc(0);

export class Journal {
  readonly directory: string;
  readonly #limits: JournalLimits;
  readonly #failed: (error: JournalError) => void;
  readonly #owners = new Map<number, Owner>();
  /** Oldest first. The last one is written. */
  readonly #segments: Segment[] = [];
  readonly #spares: Segment[] = [];
  /** Files of the worker before: of use until every owner has a checkpoint here. */
  #inherited: readonly string[];
  #next: number;
  /** Bytes of all last checkpoints, with their heads. */
  #checkpointBytes = 0;
  #cleaning = false;
  #broken: JournalError | undefined;

  /** @throws JournalError journal-write-failed, journal-version */
  constructor(options: JournalOptions) {
    this.directory = options.directory;
    this.#limits = { ...defaultJournalLimits, ...options.limits };
    this.#failed = options.failed;
    try {
      mkdirSync(options.directory, { recursive: true, mode: 0o700 });
      this.#inherited = segmentFiles(options.directory);
      this.#next = firstFree(options.directory);
      this.#segments.push(new Segment(this.directory, this.#next++, this.#limits.segmentBytes));
    } catch (cause) {
      if (cause instanceof JournalError) throw cause;
      throw new JournalError('journal-write-failed', `no journal in ${options.directory}`, cause);
    }
  }

  /** Why nothing is written any more. */
  get broken(): JournalError | undefined {
    return this.#broken;
  }
  /** Of all its files. */
  get bytes(): number {
    return [...this.#segments, ...this.#spares].reduce((sum, { capacityBytes }) => sum + capacityBytes, 0);
  }

  /** A new owner, or one taken over: with its first checkpoint, which `take` gives, and gives again when asked. */
  begin(owner: number, take: TakeCheckpoint): void {
    this.#owners.set(owner, { take, segment: 0, bytes: 0, data: [] });
    this.checkpoint(owner);
  }

  /** Writes all that is known of an owner; entries before it are of no use any more. */
  checkpoint(owner: number): void {
    const known = this.#owners.get(owner);
    if (known !== undefined) this.#put(owner, known, known.take());
  }

  append(owner: number, kind: EntryKind, position: number, body: Buffer): void {
    const segment = this.#write({ owner, kind, position }, body, body.length);
    if (kind !== entryKinds.fromDatabase || segment === undefined) return;
    const data = this.#owners.get(owner)?.data;
    if (data !== undefined && data[data.length - 2] !== segment) data.push(segment, position);
  }

  /** Writes a checkpoint that leaves out what stands in segments after the one that goes. */
  #renew(owner: number, known: Owner, goes: number): void {
    const { data } = known;
    let first = 0;
    while (first < data.length && (data[first] ?? 0) <= goes) first += 2;
    const from = data[first + 1];
    let used: number | undefined;
    const use = (position: number) => {
      used = position;
    };
    this.#put(owner, known, known.take(from === undefined ? undefined : { from, use }));
    known.data = used === undefined ? [] : data.slice(lastUpTo(data, first, used));
    known.segment = Math.min(known.segment, known.data[0] ?? known.segment);
  }

  #put(owner: number, known: Owner, body: Body): void {
    const length = lengthOf(body);
    const segment = this.#write({ owner, kind: entryKinds.checkpoint, position: 0 }, body, length);
    if (segment === undefined) return;
    known.segment = segment;
    const bytes = headBytes + length;
    this.#checkpointBytes += bytes - known.bytes;
    known.bytes = bytes;
  }

  /** The owner is no more. */
  end(owner: number): void {
    const known = this.#owners.get(owner);
    if (known === undefined) return;
    this.#owners.delete(owner);
    this.#checkpointBytes -= known.bytes;
    this.#write({ owner, kind: entryKinds.ended, position: 0 }, nothing, 0);
  }

  /** Every owner that was taken over has begun here: what the worker before has written is of no use any more. */
  inherit(): void {
    for (const path of this.#inherited) unlinkSync(path);
    this.#inherited = [];
  }

  /** Nothing is written from now on. */
  close(): void {
    this.#broken ??= new JournalError('journal-write-failed', `the journal in ${this.directory} is closed`);
    for (const segment of [...this.#segments, ...this.#spares]) segment.close();
  }

  /** @returns the number of the segment it was written to, undefined when the journal is broken */
  #write(head: EntryHead, body: Body, length: number): number | undefined {
    if (this.#broken !== undefined) return undefined;
    try {
      const segment = this.#roomFor(headBytes + length);
      segment.append(head, body, length);
      return segment.number;
    } catch (cause) {
      this.#break(cause instanceof JournalError ? cause : writeFailed(this.directory, cause));
      return undefined;
    }
  }

  /** @param bytes of one entry */
  #roomFor(bytes: number): Segment {
    const last = this.#segments.at(-1);
    if (last?.hasRoomFor(bytes) === true) return last;
    // Checkpoints written by it may have begun the next one.
    this.#clean();
    const next = this.#segments.at(-1);
    return next?.hasRoomFor(bytes) === true ? next : this.#add(bytes);
  }

  /** What is longer than a segment gets one of its own size. */
  #add(bytes: number): Segment {
    const { segmentBytes, journalBytesMax } = this.#limits;
    const number = this.#next++;
    let segment = bytes <= segmentBytes ? this.#spares.pop() : undefined;
    if (segment === undefined) {
      const roomBytes = Math.max(bytes, segmentBytes);
      if (this.bytes + Segment.fileBytes(roomBytes) > journalBytesMax) {
        throw new JournalError('journal-full', `the journal would exceed ${journalBytesMax} bytes`);
      }
      segment = new Segment(this.directory, number, roomBytes);
    } else segment.reuse(number);
    this.#segments.push(segment);
    return segment;
  }

  /** Makes the log as short as what is alive in it asks for. */
  #clean(): void {
    if (this.#cleaning) return;
    this.#cleaning = true;
    const { segmentBytes, sparesMax } = this.#limits;
    try {
      while (this.#segments.length > this.#segmentsMax) {
        const [oldest] = this.#segments;
        if (oldest === undefined) break;
        for (const [owner, known] of this.#owners) {
          if (known.segment === oldest.number) this.#renew(owner, known, oldest.number);
        }
        this.#segments.shift();
        const isUsual = oldest.capacityBytes === Segment.fileBytes(segmentBytes);
        if (!isUsual || this.#spares.length >= sparesMax) oldest.remove();
        else {
          oldest.retire();
          this.#spares.push(oldest);
        }
      }
    } finally {
      this.#cleaning = false;
    }
  }

  /**
   * Twice what is alive, and room for what comes. Owners grow while they are written anew: a number from before
   * may be less than what is alive by then, and such a log can never be made short enough.
   */
  get #segmentsMax(): number {
    const { segmentsMin, segmentsOfFew, entriesMax, segmentBytes } = this.#limits;
    const entries = this.#segments.reduce((sum, segment) => sum + segment.entries, 0);
    const least = entries > entriesMax ? segmentsMin : Math.max(segmentsMin, segmentsOfFew);
    return Math.max(least, 2 + Math.ceil((2 * this.#checkpointBytes) / segmentBytes));
  }

  #break(error: JournalError): void {
    this.#broken = error;
    this.#failed(error);
  }
}

/** Where in pairs of segment and position the last one stands whose position is not behind `position`; `first` is one of them. */
function lastUpTo(pairs: readonly number[], first: number, position: number): number {
  let found = first;
  for (let at = first + 2; at < pairs.length; at += 2) if ((pairs[at + 1] ?? 0) <= position) found = at;
  return found;
}

/** What a worker has left behind: of each owner its last checkpoint and all entries since, in order. */
export interface Remains {
  readonly checkpoint: Buffer;
  /** Bytes of the database that were put down before it, as far as they are there: it may have left some of them out. */
  readonly before: readonly Entry[];
  readonly since: Entry[];
}

/** Reads what the worker before has left, nothing where there was none. @throws JournalError journal-version */
export function readJournal(directory: string): Map<number, Remains> {
  if (!existsSync(directory)) return new Map();
  const owners = new Map<number, Remains>();
  // Also of owners whose first checkpoint here comes later: it may have left out what is already read then.
  const data = new Map<number, Entry[]>();
  for (const path of segmentsOf(directory)) {
    for (const entry of readSegment(path)) {
      const { owner, kind } = entry;
      if (kind === entryKinds.checkpoint) {
        owners.set(owner, { checkpoint: entry.body, before: data.get(owner)?.slice() ?? [], since: [] });
      } else if (kind === entryKinds.ended) {
        owners.delete(owner);
        data.delete(owner);
      } else owners.get(owner)?.since.push(entry);
      if (kind !== entryKinds.fromDatabase) continue;
      const known = data.get(owner);
      if (known === undefined) data.set(owner, [entry]);
      else known.push(entry);
    }
  }
  return owners;
}

/** What was written last, while somebody else still writes: some entries, to see of what form they are. @throws JournalError journal-version */
export function lastEntries(directory: string): readonly Entry[] {
  try {
    const newest = existsSync(directory) ? segmentsOf(directory).at(-1) : undefined;
    return newest === undefined ? [] : readSegment(newest);
  } catch (error) {
    // Used up and removed in this moment.
    if (errorCode(error) === 'ENOENT') return [];
    throw error;
  }
}

/** The files with something in them, oldest first. */
function segmentsOf(directory: string): string[] {
  return numbered(directory)
    .sort((one, other) => one.number - other.number)
    .map(({ path }) => path);
}

/** No file has been called so, and no segment had the number. */
function firstFree(directory: string): number {
  const names = segmentFiles(directory).map((path) => Number.parseInt(basename(path), 10));
  return Math.max(0, ...names, ...numbered(directory).map(({ number }) => number)) + 1;
}

function numbered(directory: string): { readonly path: string; readonly number: number }[] {
  return segmentFiles(directory).flatMap((path) => {
    const number = segmentNumber(path);
    return number === undefined ? [] : [{ path, number }];
  });
}

function lengthOf(body: Body): number {
  return Buffer.isBuffer(body) ? body.length : body.reduce((sum, { length }) => sum + length, 0);
}

function writeFailed(directory: string, cause: unknown): JournalError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new JournalError('journal-write-failed', `the journal in ${directory} cannot be written: ${why}`, cause);
}
