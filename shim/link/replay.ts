import type { Position } from './frame.js';

/** Chunks shorter than this are worth merging: below it a Buffer object costs more than its bytes. */
const smallChunkBytes = 1024;
/** So many small chunks are kept apart before they are merged. Only a stalled stream gets there. */
const smallChunksMax = 64;

/**
 * The unacknowledged bytes of one direction of one stream, from `base` to `end`, with a cursor up to which they were
 * handed out on the present link. Bytes are stored before they are sent and dropped only by `trim`.
 *
 *     base ............. cursor ............ end
 *     acknowledged here  handed out to here  stored to here
 *
 * Keeps the chunks it is given (no copy); copies once, into the outgoing batch.
 */
export class Replay {
  #chunks: Buffer[] = [];
  /** Index of the first chunk that still has bytes. */
  #head = 0;
  /** Position of the first byte of `#chunks[#head]`, at most `base`. */
  #headPosition: Position = 0;
  #cursorIndex = 0;
  #cursorOffset = 0;
  #base: Position = 0;
  #cursor: Position = 0;
  #end: Position = 0;
  #smallChunks = 0;

  /** @param base position of the first byte that will be stored */
  constructor(base: Position = 0) {
    this.#headPosition = base;
    this.#base = base;
    this.#cursor = base;
    this.#end = base;
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

  append(bytes: Buffer): void {
    if (bytes.length === 0) return;
    this.#chunks.push(bytes);
    this.#end += bytes.length;
    if (bytes.length < smallChunkBytes && ++this.#smallChunks > smallChunksMax) this.#mergeSmall();
  }

  /** Copies at most `bytesMax` bytes from the cursor into `target` at `at`, moves the cursor, returns the count. */
  copyNext(target: Buffer, at: number, bytesMax: number): number {
    let copied = 0;
    while (copied < bytesMax) {
      const chunk = this.#chunks[this.#cursorIndex];
      if (chunk === undefined) break;
      const taken = chunk.copy(target, at + copied, this.#cursorOffset, this.#cursorOffset + bytesMax - copied);
      copied += taken;
      this.#cursorOffset += taken;
      if (this.#cursorOffset === chunk.length) {
        this.#cursorIndex += 1;
        this.#cursorOffset = 0;
      }
    }
    this.#cursor += copied;
    return copied;
  }

  /** A copy of all that is stored. */
  stored(): Buffer {
    const chunks = this.#chunks.slice(this.#head);
    return Buffer.concat(chunks).subarray(this.#base - this.#headPosition);
  }

  /** Drops all bytes before `position`. The caller has checked that it lies between `base` and `cursor`. */
  trim(position: Position): void {
    if (position <= this.#base) return;
    this.#base = position;
    let chunk = this.#chunks[this.#head];
    while (chunk !== undefined && this.#headPosition + chunk.length <= position) {
      this.#headPosition += chunk.length;
      this.#head += 1;
      chunk = this.#chunks[this.#head];
    }
    if (this.#head === this.#chunks.length) {
      this.#chunks.length = 0;
      this.#smallChunks = 0;
      this.#cursorIndex -= this.#head;
      this.#head = 0;
    } else if (this.#head >= 32 && this.#head * 2 >= this.#chunks.length) {
      this.#chunks.splice(0, this.#head);
      this.#cursorIndex -= this.#head;
      this.#head = 0;
    }
  }

  /** Puts the cursor at `position`, between `base` and `end`: what follows will be handed out (again). */
  seek(position: Position): void {
    let index = this.#head;
    let start = this.#headPosition;
    let chunk = this.#chunks[index];
    while (chunk !== undefined && start + chunk.length <= position) {
      start += chunk.length;
      index += 1;
      chunk = this.#chunks[index];
    }
    this.#cursorIndex = index;
    this.#cursorOffset = position - start;
    this.#cursor = position;
  }

  /** Forgets everything from the cursor on: the stream ends where the peer has been told to. */
  truncate(): void {
    const kept = this.#chunks[this.#cursorIndex];
    if (kept !== undefined && this.#cursorOffset > 0) {
      this.#chunks[this.#cursorIndex] = kept.subarray(0, this.#cursorOffset);
      this.#cursorIndex += 1;
      this.#cursorOffset = 0;
    }
    this.#chunks.length = this.#cursorIndex;
    this.#end = this.#cursor;
  }

  /** A driver that writes byte by byte while the link is down must not cost an object a byte. */
  #mergeSmall(): void {
    const merged: Buffer[] = [];
    let run: Buffer[] = [];
    const flush = (): void => {
      if (run.length > 0) merged.push(run.length === 1 && run[0] !== undefined ? run[0] : Buffer.concat(run));
      run = [];
    };
    for (const chunk of this.#chunks.slice(this.#head)) {
      if (chunk.length >= smallChunkBytes * 16) {
        flush();
        merged.push(chunk);
      } else run.push(chunk);
    }
    flush();
    this.#chunks = merged;
    this.#smallChunks = 0;
    this.#head = 0;
    this.seek(this.#cursor);
  }
}
