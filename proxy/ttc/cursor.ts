import { limits } from './limits.js';
import { longLength, nullLength } from './scalar.js';

/**
 * Reads the scalars of ByteReader at places where they may not be: what does not fit sets `failed`, and all later reads give 0.
 * Looking for the end of a call tries many such places, and an exception for each costs more than all of the reading.
 */
export class Cursor {
  failed = false;
  at = 0;
  readonly #bytes: Buffer;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  moveTo(at: number): void {
    this.at = at;
    this.failed = false;
  }

  u8(): number {
    const value = this.#bytes[this.at];
    if (value === undefined || this.failed) return this.#fail();
    this.at += 1;
    return value;
  }

  skip(count: number): void {
    if (count > this.#bytes.length - this.at) this.#fail();
    else this.at += count;
  }

  /** UB2, UB4, UB8 by their greatest size. */
  ub(bytesMax: 2 | 4 | 8): number {
    const size = this.u8();
    return size > bytesMax ? this.#fail() : this.#integer(size);
  }

  /** An SB2 or SB4; nobody here wants its value. */
  skipSigned(bytesMax: 2 | 4): void {
    const size = this.u8() & 0x7f;
    if (size > bytesMax) this.#fail();
    else this.skip(size);
  }

  /** A CLR, with its chunks. */
  skipClr(): void {
    const length = this.u8();
    if (length === nullLength) return;
    if (length !== longLength) {
      this.skip(length);
      return;
    }
    let total = 0;
    for (let size = this.ub(4); size !== 0 && !this.failed; size = this.ub(4)) {
      total += size;
      if (total > limits.clrBytesMax) this.#fail();
      else this.skip(size);
    }
  }

  /** UB4 length, then a CLR unless the length is 0. */
  skipClrWithLength(): void {
    if (this.ub(4) !== 0) this.skipClr();
  }

  #integer(size: number): number {
    if (this.failed || size > this.#bytes.length - this.at) return this.#fail();
    let value = 0;
    for (let left = size; left > 0; left--) {
      value = value * 256 + (this.#bytes[this.at] ?? 0);
      this.at += 1;
    }
    return value <= Number.MAX_SAFE_INTEGER ? value : this.#fail();
  }

  #fail(): 0 {
    this.failed = true;
    return 0;
  }
}
