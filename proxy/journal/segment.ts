/**
 * One file of a journal: a header (magic, version, number; 16 bytes), then entries up to the first that is none. A file that
 * is of no use any more gets another number and is written over from the start.
 */
import { closeSync, openSync, readFileSync, renameSync, unlinkSync, writeSync, writevSync } from 'node:fs';
import { join } from 'node:path';
import { type Entry, headBytes, readEntry, writeHead } from './entry.js';
import { JournalError } from './errors.js';

const magic = Buffer.from('HFJR');
/** Grows with every change of the files' form. A reader knows this one and those before it. */
export const journalVersion = 1;
const headerBytes = 16;
const suffix = '.journal';
/** There is one at most. */
const spareName = 'spare';

export class Segment {
  readonly #directory: string;
  readonly #fd: number;
  readonly #head = Buffer.alloc(headBytes);
  #number: number;
  #bytes = headerBytes;

  /** @throws the error of the file system */
  constructor(directory: string, number: number) {
    this.#directory = directory;
    this.#number = number;
    this.#fd = openSync(pathOf(directory, number), 'wx', 0o600);
    this.#begin();
  }

  get number(): number {
    return this.#number;
  }
  get bytes(): number {
    return this.#bytes;
  }
  get isEmpty(): boolean {
    return this.#bytes === headerBytes;
  }

  /** @throws the error of the file system */
  append(entry: Entry): void {
    writeHead(this.#head, this.#number, entry);
    const parts = entry.body.length === 0 ? [this.#head] : [this.#head, entry.body];
    const length = headBytes + entry.body.length;
    const written = writevSync(this.#fd, parts, this.#bytes);
    if (written !== length) throw new Error(`${written} of ${length} bytes written`);
    this.#bytes += length;
  }

  /** What is in it is of no use any more: no reader finds it until it is used again. */
  retire(): void {
    renameSync(pathOf(this.#directory, this.#number), join(this.#directory, spareName));
  }

  /** Empty again, under another number. Only after `retire`. */
  reuse(number: number): void {
    renameSync(join(this.#directory, spareName), pathOf(this.#directory, number));
    this.#number = number;
    this.#bytes = headerBytes;
    this.#begin();
  }

  close(): void {
    closeSync(this.#fd);
  }

  remove(): void {
    this.close();
    unlinkSync(pathOf(this.#directory, this.#number));
  }

  #begin(): void {
    const header = Buffer.alloc(headerBytes);
    magic.copy(header);
    header.writeUInt16LE(journalVersion, 4);
    header.writeUIntLE(this.#number, 8, 6);
    writeSync(this.#fd, header, 0, headerBytes, 0);
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
  if (bytes.length < headerBytes) return [];
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

export function pathOf(directory: string, number: number): string {
  return join(directory, `${String(number).padStart(12, '0')}${suffix}`);
}
