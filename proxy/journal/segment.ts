/**
 * One file of a journal: a header (magic, version, number; 16 bytes), then entries up to the first that is none. A file that
 * is of no use any more loses its magic, then gets another number and is written over from the start. What counts is the number in
 * its header: its name, which is the first one it had, is never changed, for that would be two calls of the system a MiB.
 *
 * The file is as long as it will ever be from the start, and mapped: an entry is a copy in memory, not a call of the system. The
 * kernel has what was stored when the process is killed.
 */
import { closeSync, openSync, readdirSync, readFileSync, readSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { mapFile } from '../kernel/shared-memory.js';
import { type Entry, type EntryHead, headBytes, readEntry, viewOf, writeHead, writeNone } from './entry.js';
import { JournalError } from './errors.js';

const magic = Buffer.from('HFJR');
/** Grows with every change of the files' form. A reader knows this one and those before it. */
export const journalVersion = 2;
const headerBytes = 16;
const suffix = '.journal';
/** What files of no use were called by programs that gave them other names. */
const formerSuffix = '.spare';

const closed = Buffer.alloc(0);

/** What an entry holds, in one piece or in several, which are copied one after the other. */
export type Body = Buffer | readonly Buffer[];

export class Segment {
  /** Of the file, all of it taken from the file system. */
  readonly capacityBytes: number;
  readonly #path: string;
  readonly #unmap: () => void;
  #memory: Buffer;
  #view: DataView;
  #number: number;
  #bytes = headerBytes;
  #entries = 0;

  /** @param roomBytes of entries, with their heads @throws the error of the file system, also when that is too much */
  constructor(directory: string, number: number, roomBytes: number) {
    const path = join(directory, `${String(number).padStart(12, '0')}${suffix}`);
    this.#path = path;
    this.#number = number;
    this.capacityBytes = Segment.fileBytes(roomBytes);
    const file = openSync(path, 'wx+', 0o600);
    try {
      const { bytes, unmap } = mapFile(file, this.capacityBytes);
      this.#memory = bytes;
      this.#view = viewOf(bytes);
      this.#unmap = unmap;
    } catch (error) {
      unlinkSync(path);
      throw error;
    } finally {
      closeSync(file);
    }
    this.#begin();
  }

  /** The size of the file of a segment with so much room. */
  static fileBytes(roomBytes: number): number {
    return headerBytes + roomBytes;
  }

  get number(): number {
    return this.#number;
  }
  /** How many there are. */
  get entries(): number {
    return this.#entries;
  }

  /** @param bytes of one entry, with its head */
  hasRoomFor(bytes: number): boolean {
    return this.#bytes + bytes <= this.#memory.length;
  }

  /**
   * The head is stored last, and nothing that a reader could take for another one follows: of an entry that was not finished
   * nothing is read. Stores of one thread are in the file in their order, whenever the process is killed.
   */
  append(head: EntryHead, body: Body, length: number): void {
    const end = this.#bytes + headBytes + length;
    if (end > this.#memory.length) throw new Error(`segment ${this.#number} has no room up to ${end}`);
    let at = this.#bytes + headBytes;
    if (Buffer.isBuffer(body)) this.#memory.set(body, at);
    else
      for (const piece of body) {
        this.#memory.set(piece, at);
        at += piece.length;
      }
    writeNone(this.#view, end);
    writeHead(this.#view, this.#bytes, this.#number, head, length);
    this.#bytes = end;
    this.#entries += 1;
  }

  /** What is in it is of no use any more: no reader finds it until it is used again. */
  retire(): void {
    this.#memory.fill(0, 0, magic.length);
  }

  /** Empty again, under another number. Only after `retire`. */
  reuse(number: number): void {
    this.#number = number;
    this.#bytes = headerBytes;
    this.#entries = 0;
    this.#begin();
  }

  close(): void {
    if (this.#memory === closed) return;
    this.#memory = closed;
    this.#view = viewOf(closed);
    this.#unmap();
  }

  remove(): void {
    this.close();
    unlinkSync(this.#path);
  }

  /** The magic last: a new file without it is one with nothing in it. */
  #begin(): void {
    writeNone(this.#view, headerBytes);
    this.#memory.writeUInt16LE(journalVersion, 4);
    this.#memory.writeUIntLE(this.#number, 8, 6);
    magic.copy(this.#memory);
  }
}

/** Paths of all files of a journal, also of those with nothing in them. */
export function segmentFiles(directory: string): string[] {
  const names = readdirSync(directory).filter((name) => name.endsWith(suffix) || name.endsWith(formerSuffix));
  return names.map((name) => join(directory, name));
}

/** The number of the segment in this file; undefined when nothing is in it. @throws JournalError journal-version */
export function segmentNumber(path: string): number | undefined {
  return numberIn(path, firstBytes(path, headerBytes));
}

/** All entries of the segment in a file, in order; none when nothing is in it. @throws JournalError journal-version */
export function readSegment(path: string): Entry[] {
  const bytes = readFileSync(path);
  const number = numberIn(path, bytes);
  const version = number === undefined ? 0 : versionIn(bytes);
  const entries: Entry[] = [];
  for (let at = headerBytes; number !== undefined; ) {
    const entry = readEntry(bytes, at, number, version);
    if (entry === undefined) break;
    entries.push(entry);
    at += headBytes + entry.body.length;
  }
  return entries;
}

function numberIn(path: string, bytes: Buffer): number | undefined {
  // Made, and nothing written yet; or of no use any more.
  if (path.endsWith(formerSuffix) || bytes.length < headerBytes || bytes.readUInt32LE(0) === 0) return undefined;
  const version = versionIn(bytes);
  if (!magic.equals(bytes.subarray(0, magic.length)) || version > journalVersion) {
    throw new JournalError('journal-version', `${path} is of version ${version}, not ${journalVersion}`);
  }
  return bytes.readUIntLE(8, 6);
}

function versionIn(bytes: Buffer): number {
  return bytes.readUInt16LE(4);
}

function firstBytes(path: string, count: number): Buffer {
  const file = openSync(path, 'r');
  try {
    const bytes = Buffer.alloc(count);
    return bytes.subarray(0, readSync(file, bytes, 0, count, 0));
  } finally {
    closeSync(file);
  }
}
