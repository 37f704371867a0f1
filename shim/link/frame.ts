/**
 * Frame facts. Every frame has one header of 24 bytes, big-endian, then `length` bytes of payload:
 *
 *   @0 type u8 | @1 length u24 | @4 stream u32 | @8 position u64 | @16 ack u64
 *
 * One header for all kinds costs a heartbeat some bytes and saves the decoder every special case. `position` is that of
 * the first payload byte (DATA) or of the end (FIN); `ack` is the sender's acknowledgement for the same stream. Control
 * frames have stream, position and ack 0 and a msgpack payload.
 */

declare const brand: unique symbol;
/** Number of a stream, given by the shim, growing, never used twice in the life of a workload. */
export type StreamId = number & { readonly [brand]: 'StreamId' };
/** Number of binds of a workload so far. */
export type Epoch = number & { readonly [brand]: 'Epoch' };
/**
 * Count of bytes in one direction of one stream since its beginning; the end of the direction counts as one more.
 * Not branded: it is computed with on every line that uses it. Kept as a double, so up to 2^53 - 1 (8 PiB).
 */
export type Position = number;

export type ErrorSource = 'frontend' | 'proxy' | 'backend' | 'operator';

/** Version of the protocol. A shim of another version gets REJECTED `try-later`, with the version this end speaks. */
export const protocolVersion = 1;

export const headerBytes = 24;
export const payloadBytesMax = 0xff_ff_ff;

export const frameTypes = {
  /** Shim: a driver has connected. */
  open: 1,
  data: 2,
  ack: 3,
  /** One direction has ended; payload is the code as u16. Takes one position, so that it is acknowledged like a byte. */
  fin: 4,
  heartbeat: 5,
  /** Shim, first frame of every connection: who it is and where each stream stands. */
  resume: 16,
  /** Proxy: the answer that binds. */
  resumeOk: 17,
  /** Proxy: the answer that does not. */
  rejected: 18,
  /** Shim, right after RESUME_OK: it has the new token; from here on the old one is worthless. */
  confirm: 19,
  /** Shim: closes on purpose, in order to be moved. */
  detach: 20,
  /** Shim: stops for good; its sessions end. */
  goodbye: 21,
} as const;

export type FrameType = (typeof frameTypes)[keyof typeof frameTypes];
export type ControlType = 16 | 17 | 18 | 19 | 20 | 21;
