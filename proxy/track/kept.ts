const nothing = Buffer.alloc(0);

/** Bytes kept of what passes by: copies, for the bytes themselves belong to a chunk that is not kept. */
export class KeptBytes {
  #chunks: Buffer[] | undefined;
  #length = 0;

  constructor(bytes: Buffer = nothing) {
    this.keep(bytes, bytes.length);
  }

  get length(): number {
    return this.#length;
  }

  /** Keeps what still fits below `bytesMax` and lets go of the rest. */
  keep(view: Buffer, bytesMax: number): void {
    const fitting = Math.min(view.length, bytesMax - this.#length);
    if (fitting <= 0) return;
    this.#chunks ??= [];
    this.#chunks.push(Buffer.from(view.subarray(0, fitting)));
    this.#length += fitting;
  }

  /** A copy of all of it. */
  all(): Buffer {
    return this.#chunks === undefined ? nothing : Buffer.concat(this.#chunks, this.#length);
  }

  /** All of it; nothing is kept afterwards. */
  take(): Buffer {
    if (this.#length === 0) return nothing;
    const bytes = this.all();
    this.drop();
    return bytes;
  }

  drop(): void {
    if (this.#length === 0) return;
    this.#chunks = undefined;
    this.#length = 0;
  }
}
