/**
 * Every bound of the link, in one place. Both ends state their own receive window in the handshake; all other numbers
 * are local. Defaults suit one shim with up to a few thousand driver connections.
 */
export interface LinkLimits {
  /** Bytes of one stream and direction that may be unacknowledged. It is the credit of the sender and the replay buffer in one. */
  readonly windowBytes: number;
  /** Most data bytes in one frame: what one stream may put in front of the others. */
  readonly frameBytesMax: number;
  /** Longest control frame (RESUME, RESUME_OK, REJECTED). 10,000 streams need about 300 KB. */
  readonly controlBytesMax: number;
  /** Streams that may live at one time on a link. */
  readonly streamsMax: number;
  /** A bare ACK waits this long for data to ride on. */
  readonly ackDelayMs: number;
  /** An end that has sent nothing for this long sends a heartbeat. */
  readonly heartbeatMs: number;
  /** A peer that has been silent for this long is taken for dead; at least twice `heartbeatMs`. */
  readonly silenceMs: number;
  /** From connecting (or accepting) until the verdict of the handshake. */
  readonly handshakeMs: number;
  /** First pause between two attempts to reach the proxy; doubles up to `retryMsMax`. */
  readonly retryMs: number;
  readonly retryMsMax: number;
}

export const defaultLimits: LinkLimits = {
  windowBytes: 256 * 1024,
  frameBytesMax: 16 * 1024,
  controlBytesMax: 1024 * 1024,
  streamsMax: 10_000,
  ackDelayMs: 5,
  heartbeatMs: 5_000,
  silenceMs: 15_000,
  handshakeMs: 5_000,
  retryMs: 50,
  retryMsMax: 2_000,
};
