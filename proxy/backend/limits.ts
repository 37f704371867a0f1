/** Bounds of one database session. All have a test that reaches them. */
export interface BackendLimits {
  /** Time for one TCP connection to the database, and then for its TLS handshake, milliseconds. */
  readonly dialMs: number;
  /** Time for one listener to answer a CONNECT while there is another address to try, milliseconds. */
  readonly answerMs: number;
  /** Time from the first to the last byte of the connect phase: the driver's CONNECT, redirects and the answer, milliseconds. */
  readonly connectMs: number;
  /** Redirects followed for one session. Oracle's thin drivers stop at 2; 4 leaves room for SCAN and a remote listener. */
  readonly redirectsMax: number;
  /** How often a listener may ask for the CONNECT again. */
  readonly resendsMax: number;
  /** Bytes a driver may send behind its CONNECT before it has the answer. */
  readonly earlyBytesMax: number;
  /** Idle time before the kernel probes the database with TCP keep-alive, milliseconds. */
  readonly keepAliveMs: number;
}

/** Addresses in one `--database`. */
export const addressesMax = 64;

/** A session's record, packed; see record.ts for what it is made of. */
export const recordBytesMax = 160 * 1024;

export const defaultBackendLimits: BackendLimits = {
  dialMs: 10_000,
  answerMs: 15_000,
  connectMs: 60_000,
  redirectsMax: 4,
  resendsMax: 4,
  earlyBytesMax: 64 * 1024,
  keepAliveMs: 60_000,
};
