/**
 * One file of a journal: a header (magic, version, number; 16 bytes), then entries up to the first that is none. A file that
 * is of no use any more gets another number and is written over from the start.
 *
 * The file is as long as it will ever be from the start, and mapped: an entry is a copy in memory, not a call of the system. The
 * kernel has what was stored when the process is killed.
 */
import { closeSync, openSync, readFileSync, renameSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { mapFile } from '../kernel/shared-memory.js';
import { type Entry, headBytes, readEntry, writeHead } from './entry.js';
import { JournalError } from './errors.js';

const magic = Buffer.from('HFJR');
/** Grows with every change of the files' form. A reader knows this one and those before it. */
export const journalVersion = 1;
const headerBytes = 16;
const suffix = '.journal';
const spareSuffix = '.spare';

const closed = Buffer.alloc(0);

export class Segment {
  /** Of the file, all of it taken from the file system. */
  readonly capacityBytes: number;
  readonly #directory: string;
  readonly #unmap: () => void;
  #memory: Buffer;
  #number: number;
  #bytes = headerBytes;

  /** @param roomBytes of entries, with their heads @throws the error of the file system, also when that is too much */
  constructor(directory: string, number: number, roomBytes: number) {
    this.#directory = directory;
    this.#number = number;
    this.capacityBytes = Segment.fileBytes(roomBytes);
    const path = pathOf(directory, number);
    const file = openSync(path, 'wx+', 0o600);
    try {
      const { bytes, unmap } = mapFile(file, this.capacityBytes);
      this.#memory = bytes;
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

  /** @param bytes of one entry, with its head */
  hasRoomFor(bytes: number): boolean {
    return this.#bytes + bytes <= this.#memory.length;
  }

  /**
   * The head is stored last, and nothing that a reader could take for another one follows: of an entry that was not finished
   * nothing is read. Stores of one thread are in the file in their order, whenever the process is killed.
   */
  append(entry: Entry): void {
    const end = this.#bytes + headBytes + entry.body.length;
    if (end > this.#memory.length) throw new Error(`segment ${this.#number} has no room up to ${end}`);
    entry.body.copy(this.#memory, this.#bytes + headBytes);
    this.#memory.fill(0, end, Math.min(end + headBytes, this.#memory.length));
    writeHead(this.#memory, this.#bytes, this.#number, entry);
    this.#bytes = end;
  }

  /** What is in it is of no use any more: no reader finds it until it is used again. */
  retire(): void {
    renameSync(pathOf(this.#directory, this.#number), this.#sparePath());
  }

  /** Empty again, under another number. Only after `retire`. */
  reuse(number: number): void {
    renameSync(this.#sparePath(), pathOf(this.#directory, number));
    this.#number = number;
    this.#bytes = headerBytes;
    this.#begin();
  }

  close(): void {
    if (this.#memory === closed) return;
    this.#memory = closed;
    this.#unmap();
  }

  remove(): void {
    this.close();
    unlinkSync(pathOf(this.#directory, this.#number));
  }

  #sparePath(): string {
    return join(this.#directory, `${nameOf(this.#number)}${spareSuffix}`);
  }

  /** The magic last: a new file without it is one with nothing in it. */
  #begin(): void {
    this.#memory.fill(0, headerBytes, headerBytes + headBytes);
    this.#memory.writeUInt16LE(journalVersion, 4);
    this.#memory.writeUIntLE(this.#number, 8, 6);
    magic.copy(this.#memory);
  }
}

/** The number of the segment a file of this name is, or undefined. */
export function segmentNumber(name: string): number | undefined {
  return /^\d{12}\.journal$/.test(name) ? Number(name.slice(0, -suffix.length)) : undefined;
}

/** All entries of a segment, in order. @throws JournalError journal-version */
export function readSegment(directory: string, number: number): Entry[] {
  const bytes = readFileSync(pathOf(directory, number));
  // Made, and nothing written yet.
  if (bytes.length < headerBytes || bytes.readUInt32LE(0) === 0) return [];
  const version = bytes.readUInt16LE(4);
  if (!magic.equals(bytes.subarray(0, 4)) || version > journalVersion) {
    throw new JournalError('journal-version', `segment ${number} is of version ${version}, not ${journalVersion}`);
  }
  // A spare one under its new name, and its header not written yet.
  if (bytes.readUIntLE(8, 6) !== number) return [];
  const entries: Entry[] = [];
  for (let at = headerBytes; ; ) {
    const entry = readEntry(bytes, at, number);
    if (entry === undefined) return entries;
    entries.push(entry);
    at += headBytes + entry.body.length;
  }
}

/** A file that waits to be used again. */
export function isSpare(name: string): boolean {
  return name.endsWith(spareSuffix);
}

export function pathOf(directory: string, number: number): string {
  return join(directory, `${nameOf(number)}${suffix}`);
}

function nameOf(number: number): string {
  return String(number).padStart(12, '0');
}
