export interface JournalLimits {
  /** A segment is full with so many bytes. Also how much is written at most before the oldest segment is looked at. */
  readonly segmentBytes: number;
  /**
   * Segments kept whatever is in them, at least two. With fewer the same checkpoints would be written again and again; with more
   * there is more to read when a worker is followed by another one.
   */
  readonly segmentsMin: number;
  /**
   * So many are kept as long as there are no more than `entriesMax` entries in them. Where much passes they are long, and each time
   * around costs a checkpoint of every session; what takes time when a worker is followed is their number.
   */
  readonly segmentsOfFew: number;
  readonly entriesMax: number;
  /** Segments of no use that are kept for the next ones, which would have to be made, and filled with zeros by the kernel. */
  readonly sparesMax: number;
  /** Bytes of the whole journal. What would make it larger fails it. */
  readonly journalBytesMax: number;
}

export const defaultJournalLimits: JournalLimits = {
  segmentBytes: 1024 * 1024,
  // With four, checkpoints were a twentieth of the processor time of small calls, and a sixth of that of bulk (docs/performance.md).
  segmentsMin: 8,
  segmentsOfFew: 16,
  entriesMax: 32_768,
  // What is alive goes up and down with what shims have not acknowledged: 4 MiB with sixteen streams that are busy.
  sparesMax: 8,
  journalBytesMax: 4 * 1024 * 1024 * 1024,
};
