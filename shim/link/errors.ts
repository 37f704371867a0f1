import type { ErrorSource } from './frame.js';

/** What can be wrong with bytes or with a peer on the link. docs/errors.md says what each means to an operator. */
export type LinkErrorCode =
  | 'link-frame-unknown'
  | 'link-frame-too-long'
  | 'link-frame-malformed'
  | 'link-position-too-large'
  | 'link-unexpected-frame'
  | 'link-version'
  | 'link-silent'
  | 'link-handshake-timeout'
  | 'link-streams-exhausted'
  | 'link-unreachable'
  | 'link-tls'
  | 'link-closed';

/** An error of the link as a whole: the link is severed and resumed, no stream ends because of it. */
export class LinkError extends Error {
  override readonly name = 'LinkError';
  readonly code: LinkErrorCode;
  readonly source: ErrorSource;

  constructor(code: LinkErrorCode, message: string, options: { source?: ErrorSource; cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.code = code;
    this.source = options.source ?? 'frontend';
  }
}

/** Of OpenSSL, of Node.js, and of the check of a certificate (X509_verify_cert_error_string), which has no prefix. */
const tlsCodes = /^(ERR_(SSL|TLS)_|CERT_|CRL_|SELF_SIGNED_|DEPTH_ZERO_|UNABLE_TO_|INVALID_|HOSTNAME_|PATH_)/;

/** What an error of a socket means for the link. */
export function brokenBy(cause: Error & { code?: string; syscall?: string; reason?: string }): LinkError {
  if (cause.syscall === 'connect' || cause.syscall === 'getaddrinfo') {
    return new LinkError('link-unreachable', cause.message, { cause });
  }
  if (cause.code === 'EPROTO' || (cause.code !== undefined && tlsCodes.test(cause.code))) {
    const message = `TLS failed (${cause.reason ?? cause.code}): do both ends use the same secret, or certificates?`;
    return new LinkError('link-tls', message, { cause });
  }
  return new LinkError('link-closed', `link broken: ${cause.message}`, { cause });
}

/**
 * How one direction of a stream ended, as carried in FIN. Everything but `closed` ends both directions.
 * The numbers are on the wire: never reuse one.
 */
export const endCodes = {
  /** The socket behind was closed in order. */
  closed: 0,
  /** The socket behind broke (reset, timeout). */
  lost: 1,
  /** A byte was missing: what arrived began beyond what was expected. */
  gap: 2,
  /** A byte came twice. */
  overlap: 3,
  /** The peer sent more than the window allows. */
  'window-exceeded': 4,
  /** The peer acknowledged bytes that were never sent. */
  'ack-beyond-sent': 5,
  /** The other end does not have this stream any more. */
  forgotten: 6,
  /** The end that held the stream was stopped. */
  shutdown: 7,
  /** The hold of the workload ran out. */
  'hold-expired': 8,
  /** An operator ended it. */
  operator: 9,
  /** The link was refused for good; this copy of the workload must not go on. */
  refused: 10,
} as const;

export type EndCode = keyof typeof endCodes;

const names = new Map<number, EndCode>(Object.entries(endCodes).map(([name, code]) => [code, name as EndCode]));

/** A code this version does not know (a newer peer) ends the stream all the same, as `lost`. */
export function endCodeOf(wire: number): EndCode {
  return names.get(wire) ?? 'lost';
}
