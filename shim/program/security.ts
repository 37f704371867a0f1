import { hkdfSync } from 'node:crypto';
import { statSync } from 'node:fs';
import tls from 'node:tls';
import { ConfigError, option, optional } from './config.js';
import { errorText } from './errors.js';
import { flag, path, readTextFile } from './values.js';

/**
 * How the sockets between parts of Holdfast are protected. Three ways, one of which must be chosen:
 * - a shared secret: TLS 1.3 with an external pre-shared key (RFC 8446 2.2) and a fresh (EC)DHE exchange, so that a leaked
 *   secret does not open recorded traffic;
 * - certificates: TLS 1.3, both sides prove themselves with a certificate of the given authority;
 * - plain text, said in so many words.
 */
export type Security =
  | { readonly kind: 'secret'; readonly secret: Buffer }
  | { readonly kind: 'certificates'; readonly cert: string; readonly key: string; readonly ca: string }
  | { readonly kind: 'plaintext' };

/** What a socket is for: each purpose has a key of its own, so that a link cannot be played to a control port. */
export type SocketPurpose = 'link' | 'control';

export const securityOptions = {
  'secret-file': optional(path(), 'file with the secret shared by all parts; make one with: openssl rand -base64 32'),
  'tls-cert': optional(path(), 'PEM certificate of this part, instead of a secret'),
  'tls-key': optional(path(), 'PEM key of --tls-cert'),
  'tls-ca': optional(path(), 'PEM certificate of the authority that the other part must be signed by'),
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

/** @throws {ConfigError} when nothing, or more than one way, is chosen; when a file cannot be used */
export function loadSecurity(settings: SecuritySettings): Security {
  const certificateFiles = [settings.tlsCert, settings.tlsKey, settings.tlsCa];
  const hasCertificates = certificateFiles.some((file) => file !== undefined);
  const chosen = [settings.secretFile !== undefined, hasCertificates, settings.insecurePlaintext].filter(Boolean);
  if (chosen.length !== 1) {
    const fault = chosen.length === 0 ? 'sockets are not protected' : 'sockets are protected in more than one way';
    const ways = '--secret-file, or --tls-cert with --tls-key and --tls-ca, or --insecure-plaintext';
    throw new ConfigError('bad-option', `${fault}: choose one of ${ways}`);
  }
  if (settings.secretFile !== undefined) return { kind: 'secret', secret: readSecret(settings.secretFile) };
  if (!hasCertificates) return { kind: 'plaintext' };
  const { tlsCert, tlsKey, tlsCa } = settings;
  if (tlsCert === undefined || tlsKey === undefined || tlsCa === undefined) {
    throw new ConfigError('bad-option', '--tls-cert, --tls-key and --tls-ca belong together: one of them is missing');
  }
  const security: Security = {
    kind: 'certificates',
    cert: readFor('--tls-cert', tlsCert),
    key: readFor('--tls-key', tlsKey),
    ca: readFor('--tls-ca', tlsCa),
  };
  try {
    tls.createSecureContext(security);
  } catch (cause) {
    throw new ConfigError('bad-option', `--tls-cert, --tls-key, --tls-ca cannot be used: ${errorText(cause)}`, {
      cause,
    });
  }
  return security;
}

function readSecret(file: string): Buffer {
  const secret = readFor('--secret-file', file).trim();
  if ((statSync(file).mode & 0o007) !== 0) {
    throw new ConfigError('bad-option', `--secret-file: ${file} can be read by everybody: chmod 600 ${file}`);
  }
  if (secret.length < secretCharactersMin) {
    const advice = `make one with: openssl rand -base64 32 > ${file}`;
    throw new ConfigError(
      'bad-option',
      `--secret-file: ${file} is shorter than ${secretCharactersMin} characters: ${advice}`,
    );
  }
  return Buffer.from(secret);
}

function readFor(optionName: string, file: string): string {
  try {
    return readTextFile(file);
  } catch (cause) {
    throw new ConfigError('bad-option', `${optionName}: ${file} cannot be read: ${errorText(cause)}`, { cause });
  }
}

/** AES first where the processor helps, else ChaCha; both are SHA-256 suites, which OpenSSL demands of external keys. */
const pskCiphers = 'TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256';
const tls13 = { minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3' } as const;

function pskIdentity(purpose: SocketPurpose): string {
  return `holdfast ${purpose} 1`;
}

function pskKey(secret: Buffer, purpose: SocketPurpose): Buffer {
  return Buffer.from(hkdfSync('sha256', secret, 'holdfast', pskIdentity(purpose), 32));
}

/** Options for `tls.createServer`, or undefined for plain text (use `net`). */
export function serverTls(security: Security, purpose: SocketPurpose): tls.TlsOptions | undefined {
  switch (security.kind) {
    case 'plaintext':
      return undefined;
    case 'secret': {
      const key = pskKey(security.secret, purpose);
      const identity = pskIdentity(purpose);
      return {
        ...tls13,
        ciphers: pskCiphers,
        pskCallback: (_socket, presented) => (presented === identity ? key : null),
      };
    }
    case 'certificates':
      return { ...tls13, ...material(security), requestCert: true, rejectUnauthorized: true };
  }
}

/**
 * Options for `tls.connect`, or undefined for plain text (use `net`).
 * @param host name or address that the certificate of the other side must carry; a secret needs none
 */
export function clientTls(security: Security, purpose: SocketPurpose, host: string): tls.ConnectionOptions | undefined {
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
        checkServerIdentity: () => new Error('the other side does not know the shared secret'),
      };
    }
    case 'certificates':
      return {
        ...tls13,
        ...material(security),
        checkServerIdentity: (_name, cert) => tls.checkServerIdentity(host, cert),
      };
  }
}

function material(security: { cert: string; key: string; ca: string }): { cert: string; key: string; ca: string } {
  return { cert: security.cert, key: security.key, ca: security.ca };
}
