/** Bounds of watching one session. What does not fit is reported as unknown; the bytes pass through all the same. */
export const limits = {
  /**
   * Last bytes of a response that are copied when it comes in several packets or chunks, to find the end-of-call status. The
   * longest part of it is the error text: a stack of some ten ORA lines.
   */
  tailBytesMax: 4096,
  /**
   * Last bytes that are searched where a response hardly ever ends: in a packet as long as the SDU, of a database that does
   * not mark the end of responses. An ERROR without a long text fits.
   */
  fullPacketTailBytesMax: 512,
  /** First bytes of a response that are kept when it begins with server-side piggybacks. */
  headBytesMax: 512,
  /** Bytes of a MARKER or CONTROL packet that are read. */
  smallPacketBytesMax: 16,
  /** Characters of one value learnt at login (program, machine, ...), as a driver could send megabytes. */
  identityCharactersMax: 256,
} as const;
