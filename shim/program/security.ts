import { constants, hkdfSync } from 'node:crypto';
import type { Socket } from 'node:net';
import tls from 'node:tls';
import { ConfigError, option, optional } from './config.js';
import { type Identity, identityOf, identityText, isExpected, type Peer } from './identity.js';
import { Keyring, mustBePrivate, read, tls13 } from './keyring.js';
import type { Logger } from './log.js';
import { flag, path } from './values.js';

/**
 * How the sockets between parts of Holdfast are protected. Three ways, one of which must be chosen:
 * - a shared secret: TLS 1.3 with an external pre-shared key (RFC 8446 2.2) and a fresh (EC)DHE exchange, so that a leaked
 *   secret does not open recorded traffic;
 * - certificates: TLS 1.3, both sides prove with a certificate of the given authority who they are (identity.ts);
 * - plain text, said in so many words.
 */
export type Security =
  | { readonly kind: 'secret'; readonly secret: Buffer }
  | { readonly kind: 'certificates'; readonly keyring: Keyring }
  | { readonly kind: 'plaintext' };

/** What a socket is for: each purpose has a key of its own, so that a link cannot be played to a control port. */
export type SocketPurpose = 'link' | 'control' | 'image';

export const securityOptions = {
  'secret-file': optional(path(), 'file with the secret shared by all parts; make one with: openssl rand -base64 32'),
  'tls-cert': optional(path(), 'PEM certificate of this part, instead of a secret; make one with: holdfast keys'),
  'tls-key': optional(path(), 'PEM key of --tls-cert, where it does not stand in the same file'),
  'tls-ca': optional(path(), 'PEM certificates of the authorities that other parts must be signed by'),
  'insecure-plaintext': option(flag(), 'false', 'no encryption and no authentication; for trials on one machine'),
} as const;

export interface SecuritySettings {
  readonly secretFile: string | undefined;
  readonly tlsCert: string | undefined;
  readonly tlsKey: string | undefined;
  readonly tlsCa: string | undefined;
  readonly insecurePlaintext: boolean;
}

/** A passphrase short enough to guess would be the weakest part: the key derivation below does not slow guessing down. */
const secretCharactersMin = 32;

/**
 * @param own who the certificate must be of: a part with somebody else's would be refused by all others
 * @param log told of certificates that are taken up later
 * @throws {ConfigError} when nothing, or more than one way, is chosen; when a file cannot be used
 */
export function loadSecurity(settings: SecuritySettings, own?: Identity, log?: Logger): Security {
  const certificateFiles = [settings.tlsCert, settings.tlsKey, settings.tlsCa];
  const hasCertificates = certificateFiles.some((file) => file !== undefined);
  const chosen = [settings.secretFile !== undefined, hasCertificates, settings.insecurePlaintext].filter(Boolean);
  if (chosen.length !== 1) {
    const fault = chosen.length === 0 ? 'sockets are not protected' : 'sockets are protected in more than one way';
    const ways = '--secret-file, or --tls-cert with --tls-ca, or --insecure-plaintext';
    throw new ConfigError('bad-option', `${fault}: choose one of ${ways}`);
  }
  if (settings.secretFile !== undefined) return { kind: 'secret', secret: readSecret(settings.secretFile) };
  if (!hasCertificates) return { kind: 'plaintext' };
  const { tlsCert, tlsKey, tlsCa } = settings;
  if (tlsCert === undefined || tlsCa === undefined) {
    throw new ConfigError('bad-option', '--tls-cert and --tls-ca belong together: one of them is missing');
  }
  return { kind: 'certificates', keyring: new Keyring({ cert: tlsCert, key: tlsKey ?? tlsCert, ca: tlsCa }, own, log) };
}

function readSecret(file: string): Buffer {
  const secret = read('--secret-file', file).trim();
  mustBePrivate(file, '--secret-file');
  if (secret.length < secretCharactersMin) {
    const advice = `make one with: openssl rand -base64 32 > ${file}`;
    throw new ConfigError(
      'bad-option',
      `--secret-file: ${file} is shorter than ${secretCharactersMin} characters: ${advice}`,
    );
  }
  return Buffer.from(secret);
}

/** AES first where the processor helps, else ChaCha; both are SHA-256 suites, which OpenSSL demands of external keys. */
const pskCiphers = 'TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256';

/**
 * Every connection proves itself anew. A session ticket would let a peer back in on a certificate that is no longer trusted;
 * without tickets OpenSSL keeps sessions in a cache, which Node.js switches off.
 */
const noTickets = { secureOptions: constants.SSL_OP_NO_TICKET } as const;

function pskIdentity(purpose: SocketPurpose): string {
  return `holdfast ${purpose} 1`;
}

function pskKey(secret: Buffer, purpose: SocketPurpose): Buffer {
  return Buffer.from(hkdfSync('sha256', secret, 'holdfast', pskIdentity(purpose), 32));
}

/** Options for `tls.createServer`, or undefined for plain text (use `net`). Put `guardServer` before it. */
export function serverTls(security: Security, purpose: SocketPurpose): tls.TlsOptions | undefined {
  switch (security.kind) {
    case 'plaintext':
      return undefined;
    case 'secret': {
      const key = pskKey(security.secret, purpose);
      const identity = pskIdentity(purpose);
      return {
        ...tls13,
        ...noTickets,
        ciphers: pskCiphers,
        pskCallback: (_socket, presented) => (presented === identity ? key : null),
      };
    }
    case 'certificates':
      return { ...certificateTls(security.keyring), requestCert: true, rejectUnauthorized: true };
  }
}

/** What the certificate files say now. */
export function certificateTls(keyring: Keyring): tls.SecureContextOptions {
  const { cert, key, ca } = keyring.current();
  return { ...tls13, ...noTickets, cert, key, ca };
}

/** Who is at the other end of a connection that was accepted with `serverTls`, after its handshake. */
export function peerOf(socket: Socket, security: Security): Peer {
  if (security.kind !== 'certificates') return { kind: 'trusted', by: security.kind };
  const certificate = socket instanceof tls.TLSSocket ? socket.getPeerX509Certificate() : undefined;
  const identity = identityOf(certificate?.subjectAltName);
  return identity === undefined ? { kind: 'nameless' } : { kind: 'certified', identity };
}

/**
 * Options for `tls.connect`, or undefined for plain text (use `net`). To be asked for anew for each connection.
 * @param expected who must be at the other side, where certificates tell
 */
export function clientTls(
  security: Security,
  purpose: SocketPurpose,
  expected: Identity,
): tls.ConnectionOptions | undefined {
  switch (security.kind) {
    case 'plaintext':
      return undefined;
    case 'secret': {
      const psk = pskKey(security.secret, purpose);
      const identity = pskIdentity(purpose);
      return {
        ...tls13,
        ciphers: pskCiphers,
        pskCallback: () => ({ psk, identity }),
        // Called only when the server proved itself with a certificate instead of the key; any authority could have
        // signed that, so it proves nothing here.
        checkServerIdentity: () => wrongServer('the other side does not know the shared secret'),
      };
    }
    case 'certificates':
      return {
        secureContext: security.keyring.current().context,
        checkServerIdentity: (_host, { subjectaltname }) => {
          const found = identityOf(subjectaltname);
          if (found !== undefined && isExpected(expected, found)) return undefined;
          const other = found === undefined ? 'a certificate without a role' : identityText(found);
          return wrongServer(`the other side is ${other}, expected was ${identityText(expected)}`);
        },
      };
  }
}

/** Sorted with the errors of TLS by its code. */
function wrongServer(message: string): Error {
  return Object.assign(new Error(message), { code: 'ERR_TLS_WRONG_SERVER' });
}
