import { limits } from './limits.js';

/** Thrown by ByteReader when the bytes end inside a value; the caller turns it into "need more". */
export class OutOfBytes extends Error {
  override readonly name = 'OutOfBytes';
}

/** Thrown by ByteReader for bytes that no sender writes; the caller turns it into "unknown" or an error of its own. */
export class BadScalar extends Error {
  override readonly name = 'BadScalar';
}

/*
 * Made once: looking for the end of a response tries many positions that fail, and making an error costs far more than
 * throwing one. They tell nothing of where they were thrown, and nobody asks.
 */
const outOfBytes = new OutOfBytes('the bytes end inside a value');
const badInteger = new BadScalar('an integer has an impossible length byte');

/** Length byte: null, and "chunks follow" (driver: TNS_NULL_LENGTH_INDICATOR, TNS_LONG_LENGTH_INDICATOR). */
export const nullLength = 255;
export const longLength = 254;
/** Greatest length that stands in the length byte itself (driver: TNS_MAX_SHORT_LENGTH). */
export const shortLengthMax = 252;
const clrChunkBytes = 32_768;

/**
 * Reads the scalars of TTC. UB2, UB4, UB8: a length byte, then that many bytes, big-endian; the high bit of the length
 * byte is the sign of SB2, SB4. CLR: a length byte and bytes, or 254 and chunks, each with a UB4 length, ended by 0.
 */
export class ByteReader {
  readonly #bytes: Buffer;
  #at: number;

  constructor(bytes: Buffer, at = 0) {
    this.#bytes = bytes;
    this.#at = at;
  }

  get at(): number {
    return this.#at;
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  u8(): number {
    const value = this.#bytes[this.#at];
    if (value === undefined) {
      throw outOfBytes;
    }
    this.#at++;
    return value;
  }

  /** The next byte, which is still to be read. */
  peek(): number {
    const value = this.u8();
    this.#at--;
    return value;
  }

  i8(): number {
    const value = this.u8();
    return value > 127 ? value - 256 : value;
  }

  u16(): number {
    return this.bytes(2).readUInt16BE(0);
  }

  u16le(): number {
    return this.bytes(2).readUInt16LE(0);
  }

  /** A view of the next bytes. */
  bytes(count: number): Buffer {
    if (this.left < count) {
      throw outOfBytes;
    }
    this.#at += count;
    return this.#bytes.subarray(this.#at - count, this.#at);
  }

  skip(count: number): void {
    this.bytes(count);
  }

  ub2(): number {
    return this.#integer(2, false);
  }

  ub4(): number {
    return this.#integer(4, false);
  }

  /** @throws BadScalar when the value is beyond 2^53 */
  ub8(): number {
    return this.#integer(8, false);
  }

  sb2(): number {
    return this.#integer(2, true);
  }

  sb4(): number {
    return this.#integer(4, true);
  }

  /** A view (a copy when it came in chunks), or null for lengths 0 and 255. */
  clr(): Buffer | null {
    const length = this.u8();
    if (length === 0 || length === nullLength) {
      return null;
    }
    if (length !== longLength) {
      return this.bytes(length);
    }
    const chunks: Buffer[] = [];
    let total = 0;
    for (let size = this.ub4(); size !== 0; size = this.ub4()) {
      total += size;
      if (total > limits.clrBytesMax) {
        throw new BadScalar(`a value is longer than ${limits.clrBytesMax} bytes`);
      }
      chunks.push(this.bytes(size));
    }
    return Buffer.concat(chunks, total);
  }

  /** A text, '' when null. */
  text(): string {
    return this.clr()?.toString('utf8') ?? '';
  }

  /** UB4 length, then a CLR unless the length is 0. */
  clrWithLength(): Buffer | null {
    return this.ub4() === 0 ? null : this.clr();
  }

  #integer(sizeMax: number, signed: boolean): number {
    const head = this.u8();
    const size = head & 0x7f;
    if (size > sizeMax || (head !== size && !signed)) {
      throw badInteger;
    }
    let value = 0;
    for (const byte of this.bytes(size)) {
      value = value * 256 + byte;
    }
    if (!Number.isSafeInteger(value)) {
      throw new BadScalar('integer beyond 2^53');
    }
    return head === size ? value : -value;
  }
}

/** Writes the scalars of TTC into memory that grows. */
export class ByteWriter {
  #bytes = Buffer.allocUnsafe(1024);
  #at = 0;

  get length(): number {
    return this.#at;
  }

  /** What was written, as a view; valid until the next write. */
  view(): Buffer {
    return this.#bytes.subarray(0, this.#at);
  }

  /** What was written, as a copy; the writer is empty afterwards. */
  take(): Buffer {
    const taken = Buffer.from(this.view());
    this.#at = 0;
    return taken;
  }

  /** Takes back what was written behind a length that `length` gave before. */
  truncate(length: number): void {
    this.#at = Math.min(this.#at, length);
  }

  u8(value: number): this {
    this.#room(1);
    this.#bytes[this.#at++] = value;
    return this;
  }

  u16(value: number): this {
    this.#room(2);
    this.#at = this.#bytes.writeUInt16BE(value, this.#at);
    return this;
  }

  u16le(value: number): this {
    this.#room(2);
    this.#at = this.#bytes.writeUInt16LE(value, this.#at);
    return this;
  }

  bytes(value: Uint8Array): this {
    this.#room(value.length);
    this.#bytes.set(value, this.#at);
    this.#at += value.length;
    return this;
  }

  ub2(value: number): this {
    return this.#integer(value, 0);
  }

  ub4(value: number): this {
    return this.#integer(value, 0);
  }

  ub8(value: number): this {
    return this.#integer(value, 0);
  }

  sb2(value: number): this {
    return this.sb4(value);
  }

  sb4(value: number): this {
    return this.#integer(Math.abs(value), value < 0 ? 0x80 : 0);
  }

  /** Null is a length of 0. */
  clr(value: Uint8Array | null): this {
    if (value === null) {
      return this.u8(0);
    }
    if (value.length <= shortLengthMax) {
      return this.u8(value.length).bytes(value);
    }
    this.u8(longLength);
    for (let at = 0; at < value.length; at += clrChunkBytes) {
      const chunk = value.subarray(at, at + clrChunkBytes);
      this.ub4(chunk.length).bytes(chunk);
    }
    return this.ub4(0);
  }

  text(value: string): this {
    return this.clr(value === '' ? null : Buffer.from(value, 'utf8'));
  }

  /** UB4 length, then a CLR unless it is empty. */
  clrWithLength(value: Uint8Array): this {
    this.ub4(value.length);
    return value.length === 0 ? this : this.clr(value);
  }

  textWithLength(value: string): this {
    return this.clrWithLength(Buffer.from(value, 'utf8'));
  }

  /** Lengths 1, 2, 4 and 8, as the drivers and servers write them. */
  #integer(value: number, sign: number): this {
    if (value === 0) {
      return this.u8(0);
    }
    const size = value <= 0xff ? 1 : value <= 0xffff ? 2 : value <= 0xffff_ffff ? 4 : 8;
    this.u8(size | sign);
    this.#room(size);
    if (size === 8) {
      this.#bytes.writeBigUInt64BE(BigInt(value), this.#at);
    } else {
      this.#bytes.writeUIntBE(value, this.#at, size);
    }
    this.#at += size;
    return this;
  }

  #room(count: number): void {
    if (this.#at + count > this.#bytes.length) {
      const larger = Buffer.allocUnsafe(Math.max(this.#bytes.length * 2, this.#at + count));
      this.#bytes.copy(larger, 0, 0, this.#at);
      this.#bytes = larger;
    }
  }
}
