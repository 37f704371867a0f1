export interface JournalLimits {
  /** A segment is full with so many bytes. Also how much is written at most before the oldest segment is looked at. */
  readonly segmentBytes: number;
  /** Segments kept whatever is in them. With fewer the same checkpoints would be written again and again. */
  readonly segmentsMin: number;
  /** Bytes of the whole journal. What would make it larger fails it. */
  readonly journalBytesMax: number;
}

export const defaultJournalLimits: JournalLimits = {
  segmentBytes: 1024 * 1024,
  segmentsMin: 4,
  journalBytesMax: 4 * 1024 * 1024 * 1024,
};
