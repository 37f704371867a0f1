/** Who sent the bytes that are wrong. */
export type TnsSource = 'frontend' | 'backend';

export type TnsErrorCode =
  /** A declared packet length is below what its type needs. */
  | 'packet-too-short'
  /** A declared packet length is above the limit; nothing of it was collected. */
  | 'packet-too-long'
  /** Another packet type than the phase allows. */
  | 'packet-unexpected'
  /** A field points outside its packet, or has a value that no version defines. */
  | 'field-invalid'
  /** Connect data (also of a REFUSE or REDIRECT) above the limit. */
  | 'connect-data-too-long'
  /** A descriptor text that is not `(NAME=value)`, or nested deeper than the limit. */
  | 'descriptor-invalid';

/** Bytes that are not Oracle Net. Total decoding: a frame, "need more", or this. */
export class TnsError extends Error {
  override readonly name = 'TnsError';
  readonly code: TnsErrorCode;
  readonly source: TnsSource;

  constructor(code: TnsErrorCode, source: TnsSource, message: string, options: { cause?: unknown } = {}) {
    super(message, options);
    this.code = code;
    this.source = source;
  }
}
