/**
 * What can go wrong between the proxy and one database session.
 *
 * `source` says who is at fault: `frontend` is the driver's side, `backend` the listener or the database, `proxy` this program.
 */
export type BackendErrorCode =
  /** The driver's first bytes are neither an Oracle Net CONNECT nor a TLS handshake. */
  | 'driver-not-oracle-net'
  /** The driver sent bytes behind its CONNECT, before the answer, beyond `earlyBytesMax`. */
  | 'driver-too-early'
  /** No whole CONNECT arrived within `connectMs`. */
  | 'driver-connect-timeout'
  /** ECONNREFUSED: no listener at the address. */
  | 'database-no-listener'
  /** The host or its network cannot be reached. */
  | 'database-unreachable'
  /** The host name has no address. */
  | 'database-unknown-host'
  /** The TCP connection was not made within `dialMs`. */
  | 'database-dial-timeout'
  /** The TCP connection failed in another way; see `cause`. */
  | 'database-dial-failed'
  /** The listener accepted TCP and did not answer the CONNECT within `connectMs`. */
  | 'database-answer-timeout'
  /** The listener closed the connection without an answer. */
  | 'database-closed-early'
  /** The listener's answer is not Oracle Net, or not an answer to CONNECT. */
  | 'database-not-oracle-net'
  /** More than `redirectsMax` redirects, or more than `resendsMax` requests to send the CONNECT again. */
  | 'database-too-many-redirects'
  /** A redirect with no usable TCP address in it. */
  | 'database-redirect-unusable'
  /** The listener asks for a new TLS handshake, which the proxy does not do. */
  | 'database-wants-tls'
  /** The database ended the connection, and neither the driver nor a log-off had asked for it. */
  | 'database-ended'
  /** The connection to the database was lost: reset, keep-alive timeout, host gone. */
  | 'database-lost'
  /** What should be a session's record is none, is of another version, or does not fit the place it is taken up from. */
  | 'record-invalid';

export class BackendError extends Error {
  readonly code: BackendErrorCode;
  readonly source: 'frontend' | 'proxy' | 'backend';

  constructor(code: BackendErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'BackendError';
    this.code = code;
    this.source = code === 'record-invalid' ? 'proxy' : code.startsWith('driver-') ? 'frontend' : 'backend';
  }
}

/**
 * The ORA/TNS number a driver is shown (in a REFUSE packet) when no session could be made. Drivers treat these as
 * "the listener said so": clear text for people, and retry logic over address lists works. Errors that are the
 * driver's own fault have none: it is not an Oracle Net client, or it has gone.
 */
const refuseNumbers: Partial<Record<BackendErrorCode, number>> = {
  'database-no-listener': 12541,
  'database-unreachable': 12543,
  'database-unknown-host': 12545,
  'database-dial-timeout': 12535,
  'database-dial-failed': 12560,
  'database-answer-timeout': 12535,
  'database-closed-early': 12537,
  'database-not-oracle-net': 12592,
  'database-too-many-redirects': 12235,
  'database-redirect-unusable': 12235,
  'database-wants-tls': 12560,
};

/** The number for the REFUSE that stands for this error, or undefined when the connection just ends. */
export function refuseNumber(error: BackendError): number | undefined {
  return refuseNumbers[error.code];
}
