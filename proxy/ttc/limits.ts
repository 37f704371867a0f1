/** Bounds of reading TTC in the middle. What does not fit is reported as unknown; the bytes pass through all the same. */
export const limits = {
  /** First bytes of a request kept to find the function behind its piggybacks. */
  requestHeadBytesMax: 16_384,
  /** Last bytes of a response kept to find its ERROR or STATUS message. */
  responseTailBytesMax: 8192,
  /** Login messages are read whole: capabilities, key/value pairs. */
  loginMessageBytesMax: 65_536,
  /** One CLR value (driver: TNS_MAX_LONG_LENGTH is 2 GB; nothing this code reads is that long). */
  clrBytesMax: 64 * 1024 * 1024,
  /** Piggybacks in front of one function. */
  piggybacksMax: 64,
} as const;
