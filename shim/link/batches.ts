/** Most bytes of one batch: one system call, and one TLS record or four. */
export const batchBytesMax = 64 * 1024;
/** Of so few bytes a batch takes a piece of the runtime's own pool (Buffer.poolSize), which costs next to nothing. */
const smallBytesMax = 2 * 1024;
/** So many are kept while nobody needs them, in a process: 1 MiB. */
const keptMax = 16;

/**
 * Memory for batches, used again and again by all links of a process. A buffer of this size made anew for each batch lies outside
 * of the runtime's heap, and makes its collector look for garbage every few MiB: that took up to a third of the processor time
 * when much passed (docs/performance.md).
 */
export class Batches {
  readonly #kept: Buffer[] = [];

  /** At least so many bytes, up to `batchBytesMax`. */
  take(bytes: number): Buffer {
    return bytes <= smallBytesMax
      ? Buffer.allocUnsafe(bytes)
      : (this.#kept.pop() ?? Buffer.allocUnsafeSlow(batchBytesMax));
  }

  /** Once, and when nobody looks at its bytes any more. */
  giveBack(batch: Buffer): void {
    if (batch.length === batchBytesMax && this.#kept.length < keptMax) this.#kept.push(batch);
  }
}
