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
  /** The listener asks for TLS on a connection that has none: its address is to be given as `tcps://`. */
  | 'database-wants-tls'
  /** TLS: the certificate of the listener is signed by no authority that the proxy trusts. */
  | 'database-tls-untrusted'
  /** TLS: the certificate of the listener, or of its authority, has expired or is not valid yet. */
  | 'database-tls-expired'
  /** TLS: the certificate is for another host or another DN. */
  | 'database-tls-name'
  /** TLS: the listener asks for a client certificate that it has not got, or does not accept the one it got. */
  | 'database-tls-client'
  /** TLS: the handshake failed otherwise: no common version or cipher, or what listens there speaks no TLS. */
  | 'database-tls-failed'
  /** One of several listeners refused the session (its own text says why); the next address is tried. */
  | 'database-refused'
  /** The database ended the connection, and neither the driver nor a log-off had asked for it. */
  | 'database-ended'
  /** The connection to the database was lost: reset, keep-alive timeout, host gone. */
  | 'database-lost'
  /** The proxy, or the application, has as many sessions as it may have. */
  | 'proxy-sessions'
  /** The database user has as many sessions at this proxy as he may have. */
  | 'proxy-user-sessions'
  /** The proxy is being stopped and lets no session begin. */
  | 'proxy-stopping'
  /** What should be a session's record is none, is of another version, or does not fit the place it is taken up from. */
  | 'record-invalid';

export class BackendError extends Error {
  readonly code: BackendErrorCode;
  readonly source: 'frontend' | 'proxy' | 'backend';

  constructor(code: BackendErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'BackendError';
    this.code = code;
    this.source =
      code === 'record-invalid' || code.startsWith('proxy-')
        ? 'proxy'
        : code.startsWith('driver-')
          ? 'frontend'
          : 'backend';
  }
}

/**
 * The ORA/TNS number a driver is shown (in a REFUSE packet) when no session could be made. Drivers treat these as
 * "the listener said so": clear text for people, and retry logic over address lists works. Errors that are the
 * driver's own fault have none: it is not an Oracle Net client, or it has gone.
 */
const refuseNumbers: Partial<Record<BackendErrorCode, number>> = {
  // "could not find available handler": what a listener says whose handlers are all taken.
  'proxy-sessions': 12516,
  // "all appropriate instances are blocking new connections": what it says of an instance that is being shut down.
  'proxy-stopping': 12528,
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
  'database-tls-untrusted': 29024,
  'database-tls-expired': 29024,
  'database-tls-name': 29024,
  'database-tls-client': 28860,
  'database-tls-failed': 28860,
};

/** The number for the REFUSE that stands for this error, or undefined when the connection just ends. */
export function refuseNumber(error: BackendError): number | undefined {
  return refuseNumbers[error.code];
}

/** What the system says when a connection cannot be made (`code` of Node.js' error). */
const dialFailures: Readonly<Record<string, BackendErrorCode>> = {
  ECONNREFUSED: 'database-no-listener',
  ETIMEDOUT: 'database-dial-timeout',
  EHOSTUNREACH: 'database-unreachable',
  ENETUNREACH: 'database-unreachable',
  ENOTFOUND: 'database-unknown-host',
  EAI_AGAIN: 'database-unknown-host',
  CERT_HAS_EXPIRED: 'database-tls-expired',
  CERT_NOT_YET_VALID: 'database-tls-expired',
  ERR_TLS_CERT_ALTNAME_INVALID: 'database-tls-name',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'database-tls-untrusted',
  UNABLE_TO_GET_ISSUER_CERT: 'database-tls-untrusted',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'database-tls-untrusted',
  SELF_SIGNED_CERT_IN_CHAIN: 'database-tls-untrusted',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'database-tls-untrusted',
  CERT_SIGNATURE_FAILURE: 'database-tls-untrusted',
  CERT_UNTRUSTED: 'database-tls-untrusted',
  INVALID_PURPOSE: 'database-tls-untrusted',
};

/** Alerts with which a server turns a client's certificate, or the lack of one, down (RFC 8446, 6.2). */
const clientCertificateAlerts =
  /^ERR_SSL_.*ALERT_(CERTIFICATE_REQUIRED|BAD_CERTIFICATE|UNKNOWN_CA|CERTIFICATE_UNKNOWN|CERTIFICATE_EXPIRED|CERTIFICATE_REVOKED|UNSUPPORTED_CERTIFICATE|ACCESS_DENIED)$/;

/**
 * The code for what the system, or TLS, says of a connection.
 * @returns undefined for what neither has a code of ours
 */
export function connectionFailure(code: string | undefined): BackendErrorCode | undefined {
  if (code === undefined) return undefined;
  if (clientCertificateAlerts.test(code)) return 'database-tls-client';
  return dialFailures[code] ?? (/^ERR_(SSL|TLS|OSSL)_/.test(code) ? 'database-tls-failed' : undefined);
}
