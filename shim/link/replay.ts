import { blocks, keepBytesMax } from './blocks.js';
import { Fingerprint } from './fingerprint.js';
import type { Position } from './frame.js';

/** Each block of a stream is so many times as large as the one before, up to the largest. */
const growth = 4;

/**
 * The unacknowledged bytes of one direction of one stream, from `base` to `end`, with a cursor up to which they were
 * handed out on the present link. Bytes are stored before they are sent and dropped only by `trim`.
 *
 *     base ............. cursor ............ end
 *     acknowledged here  handed out to here  stored to here
 *
 * Copies what it is given into blocks, and from there into the outgoing batch. The bytes it is given may so be a view of memory
 * that the next read overwrites, and a stream that keeps nothing has no memory. All blocks but the last one are full.
 */
export class Replay {
  #blocks: Buffer[] = [];
  /** Bytes of the last block that are in use. */
  #lastBytes = 0;
  /** Index of the first block that still has bytes; those before it have been given back. */
  #head = 0;
  /** Position of the first byte of `#blocks[#head]`, at most `base`. */
  #headPosition: Position = 0;
  #cursorIndex = 0;
  #cursorOffset = 0;
  #base: Position = 0;
  #cursor: Position = 0;
  #end: Position = 0;
  /** Of what was dropped, and of what the peer was seen to have at the last bind. */
  readonly fingerprint: Fingerprint;

  /** @param base position of the first byte that will be stored */
  constructor(base: Position = 0) {
    this.#headPosition = base;
    this.#base = base;
    this.#cursor = base;
    this.#end = base;
    this.fingerprint = new Fingerprint(base);
  }

  get base(): Position {
    return this.#base;
  }
  get cursor(): Position {
    return this.#cursor;
  }
  get end(): Position {
    return this.#end;
  }
  /** Bytes stored. */
  get storedBytes(): number {
    return this.#end - this.#base;
  }
  /** Bytes not yet handed out on this link. */
  get pendingBytes(): number {
    return this.#end - this.#cursor;
  }

  /** The bytes are copied. */
  append(bytes: Buffer): void {
    for (let from = 0; from < bytes.length; ) {
      let last = this.#blocks[this.#blocks.length - 1];
      if (last === undefined || this.#lastBytes === last.length) {
        last = this.#add(bytes.length - from);
      }
      const taken = bytes.copy(last, this.#lastBytes, from);
      this.#lastBytes += taken;
      from += taken;
    }
    this.#end += bytes.length;
  }

  /** Copies at most `bytesMax` bytes from the cursor into `target` at `at`, moves the cursor, returns the count. */
  copyNext(target: Buffer, at: number, bytesMax: number): number {
    const wanted = Math.min(bytesMax, this.#end - this.#cursor);
    for (let copied = 0; copied < wanted; ) {
      const block = this.#blocks[this.#cursorIndex];
      if (block === undefined) throw new Error(`nothing is stored at ${this.#cursor + copied}`);
      const taken = block.copy(target, at + copied, this.#cursorOffset, this.#cursorOffset + wanted - copied);
      copied += taken;
      this.#cursorOffset += taken;
      if (this.#cursorOffset === block.length) {
        this.#cursorIndex += 1;
        this.#cursorOffset = 0;
      }
    }
    this.#cursor += wanted;
    return wanted;
  }

  /** All that is stored, in order: views, valid until anything else is called. */
  stored(): readonly Buffer[] {
    const kept = this.#blocks.slice(this.#head);
    const last = kept.pop();
    if (last !== undefined) kept.push(last.subarray(0, this.#lastBytes));
    const [first] = kept;
    if (first !== undefined) kept[0] = first.subarray(this.#base - this.#headPosition);
    return kept;
  }

  /** Drops all bytes before `position`. The caller has checked that it lies between `base` and `cursor`. */
  trim(position: Position): void {
    if (position <= this.#base) return;
    this.#hashTo(position);
    this.#base = position;
    if (position === this.#end) {
      this.#empty();
      return;
    }
    let block = this.#blocks[this.#head];
    while (block !== undefined && this.#headPosition + block.length <= position) {
      blocks.giveBack(block);
      this.#headPosition += block.length;
      this.#head += 1;
      block = this.#blocks[this.#head];
    }
    if (this.#head >= 32 && this.#head * 2 >= this.#blocks.length) {
      this.#blocks.splice(0, this.#head);
      this.#cursorIndex -= this.#head;
      this.#head = 0;
    }
  }

  /** The peer has everything before `position`, which lies between `base` and `end`: a range of the fingerprint ends there. */
  closeRange(position: Position): void {
    this.#hashTo(position);
    // A peer that is behind what it had is an older image: what ranges it closes nobody knows.
    if (position === this.fingerprint.to) this.fingerprint.close();
  }

  /** Puts the cursor at `position`, between `base` and `end`: what follows will be handed out (again). */
  seek(position: Position): void {
    let index = this.#head;
    let start = this.#headPosition;
    let block = this.#blocks[index];
    while (block !== undefined && start + block.length <= position) {
      start += block.length;
      index += 1;
      block = this.#blocks[index];
    }
    this.#cursorIndex = index;
    this.#cursorOffset = position - start;
    this.#cursor = position;
  }

  /** Forgets everything from the cursor on: the stream ends where the peer has been told to. */
  truncate(): void {
    this.#end = this.#cursor;
    if (this.#base === this.#end) {
      this.#empty();
      return;
    }
    const isInside = this.#cursorOffset > 0;
    for (const block of this.#blocks.splice(this.#cursorIndex + (isInside ? 1 : 0))) blocks.giveBack(block);
    this.#lastBytes = isInside ? this.#cursorOffset : (this.#blocks.at(-1)?.length ?? 0);
  }

  /** Forgets everything: the stream is over. */
  drop(): void {
    this.#base = this.#end;
    this.#cursor = this.#end;
    this.#empty();
  }

  #hashTo(position: Position): void {
    let at = this.#headPosition;
    for (let index = this.#head; at < position; index += 1) {
      const block = this.#blocks[index];
      if (block === undefined) return;
      const from = this.fingerprint.to - at;
      const to = Math.min(block.length, position - at);
      if (from < to) this.fingerprint.add(block, from, to);
      at += block.length;
    }
  }

  /** Nothing is stored: all memory is given back. */
  #empty(): void {
    for (let index = this.#head; index < this.#blocks.length; index += 1) {
      const block = this.#blocks[index];
      if (block !== undefined) blocks.giveBack(block);
    }
    this.#blocks.length = 0;
    this.#lastBytes = 0;
    this.#head = 0;
    this.#headPosition = this.#base;
    this.#cursorIndex = 0;
    this.#cursorOffset = 0;
  }

  /** A block behind the last one: a small answer takes little memory, a driver that writes byte by byte takes few blocks. */
  #add(bytes: number): Buffer {
    const before = this.#blocks.length === this.#head ? 0 : (this.#blocks.at(-1)?.length ?? 0);
    const block = blocks.take(Math.min(keepBytesMax, Math.max(bytes, before * growth)));
    this.#blocks.push(block);
    this.#lastBytes = 0;
    return block;
  }
}
