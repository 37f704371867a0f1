import { crc32 } from 'node:zlib';
import type { Position } from './frame.js';

/** What one direction of a stream was made of between two positions, its end not counted. */
export interface Range {
  readonly from: Position;
  readonly to: Position;
  readonly crc: number;
}

/** Of one stream: what this end has handed out and the other has, and what has arrived here. */
export interface Fingerprints {
  readonly sent: Range | undefined;
  readonly received: Range | undefined;
}

/** A range is hashed whole up to here, */
export const wholeBytes = 64 * 1024;
/** and behind it so much of each stretch. */
export const partBytes = 1024;
export const stretchBytes = 32 * 1024;

/**
 * A rolling CRC-32 over one direction. Both ends of the link keep one and close a range whenever a link is made: the handshake tells
 * both how far the receiver has come, so they close it at the same position without a word more, and whoever asks both can
 * compare. What follows is the next range.
 *
 * Each end hashes what it really has: the receiver what it passes on, the sender what it has stored, when that is dropped.
 *
 * What comes right behind a bind, where something could have been sent twice or not at all, is hashed whole, of all the rest a
 * thirty-second: hashing every byte at both ends was a tenth of the processor time of bulk traffic. A byte that is missing or there
 * twice moves all that follow, so it is seen by the next part.
 */
export class Fingerprint {
  #from: Position;
  #to: Position;
  #crc = 0;
  #closed: Range | undefined;

  /** @param at position of the first byte that is hashed */
  constructor(at: Position) {
    this.#from = at;
    this.#to = at;
  }

  /** Position behind the last byte that was hashed. */
  get to(): Position {
    return this.#to;
  }
  /** The range that was closed last. */
  get closed(): Range | undefined {
    return this.#closed;
  }

  /** The bytes of a chunk that follow, from `start` up to `end`. */
  add(chunk: Buffer, start = 0, end = chunk.length): void {
    // Offsets into the range.
    const first = this.#to - this.#from;
    const last = first + end - start;
    this.#to += end - start;
    if (first < wholeBytes) this.#hash(chunk, start, Math.min(end, start + wholeBytes - first));
    const behind = Math.max(first, wholeBytes);
    for (let part = behind - (behind % stretchBytes); part < last; part += stretchBytes) {
      this.#hash(chunk, start + Math.max(part, behind) - first, start + Math.min(part + partBytes, last) - first);
    }
  }

  /**
   * A range ends here. One without a byte is none: the range before it stands. So ends agree also when one of them had closed it
   * for a link that the other has never seen.
   */
  close(): void {
    if (this.#to === this.#from) return;
    this.#closed = { from: this.#from, to: this.#to, crc: this.#crc };
    this.#from = this.#to;
    this.#crc = 0;
  }

  #hash(chunk: Buffer, from: number, to: number): void {
    if (from >= to) return;
    const isWhole = from === 0 && to === chunk.length;
    this.#crc = crc32(isWhole ? chunk : chunk.subarray(from, to), this.#crc);
  }
}
