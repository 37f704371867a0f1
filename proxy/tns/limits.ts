/** Bounds of the packet codec. Wire maxima are from the driver's constants (NSPABSSDULN, NSPMXSDULN). */
export const limits = {
  /** Greatest SDU any version negotiates; no packet is longer. */
  packetBytesMax: 2_097_152,
  /** A packet of the connect phase (length field of 16 bits). */
  connectPacketBytesMax: 65_535,
  /** Connect data, inline or in the DATA packet behind; also the text of REFUSE and REDIRECT. */
  connectDataBytesMax: 32_767,
  /** Connect data above this goes into a DATA packet of its own (MAX_CDATA_LEN in the drivers). */
  inlineConnectDataBytesMax: 230,
  /** Nesting of a descriptor text. */
  descriptorDepthMax: 16,
  sduBytesMin: 512,
  sduBytesDefault: 8192,
} as const;
