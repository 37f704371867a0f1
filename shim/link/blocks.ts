/** Of a block that a link writes at once: one system call, and one TLS record or four. */
export const batchBytesMax = 64 * 1024;
/** Of a block that keeps bytes: what is read at once takes some of them, what is left of the last one is not much. */
export const keepBytesMax = 16 * 1024;

/** All sizes there are, and how much of each is kept while nobody needs it, in a process: 8 MiB. */
const sizes = [
  { blockBytes: 1024, keptBytesMax: 1024 * 1024 },
  { blockBytes: 4 * 1024, keptBytesMax: 2 * 1024 * 1024 },
  { blockBytes: keepBytesMax, keptBytesMax: 4 * 1024 * 1024 },
  { blockBytes: batchBytesMax, keptBytesMax: 1024 * 1024 },
] as const;

/**
 * Memory for what passes through, used again and again by all links of a process. A buffer made anew for each chunk lies outside
 * of the runtime's heap, and makes its collector look for garbage every few MiB: that took half of the processor time when much
 * passed (docs/performance.md).
 */
export class Blocks {
  readonly #kept = sizes.map(({ blockBytes, keptBytesMax }) => ({
    blockBytes,
    most: keptBytesMax / blockBytes,
    free: [] as Buffer[],
  }));

  /** Of the smallest size that has room for so many bytes, or of the largest one. What is in it is of no use. */
  take(bytes: number): Buffer {
    for (const { blockBytes, free } of this.#kept) {
      if (bytes <= blockBytes) return free.pop() ?? Buffer.allocUnsafeSlow(blockBytes);
    }
    return this.take(batchBytesMax);
  }

  /** Once, and when nobody looks at its bytes any more. */
  giveBack(block: Buffer): void {
    for (const { blockBytes, most, free } of this.#kept) {
      if (block.length === blockBytes && free.length < most) free.push(block);
    }
  }
}

/** Those of this process. */
export const blocks = new Blocks();
