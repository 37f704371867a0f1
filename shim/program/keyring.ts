import { X509Certificate } from 'node:crypto';
import { statSync } from 'node:fs';
import tls from 'node:tls';
import { ConfigError } from './config.js';
import { errorText } from './errors.js';
import { type Identity, identityOf, identityText, isExpected } from './identity.js';
import type { Logger } from './log.js';
import { readTextFile } from './values.js';

/** Where a part's certificate, its key and the authorities it trusts stand; `key` may be the same file as `cert`. */
export interface KeyFiles {
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
}

export interface Material {
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
  readonly identity: Identity;
  readonly expiresMs: number;
  /** Certificate, key and authorities made ready for TLS 1.3. */
  readonly context: tls.SecureContext;
}

/** A certificate with less time left is worth a line in the log, once a day. */
export const warnDays = 30;
const dayMs = 86_400_000;

export const tls13 = { minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3' } as const;

/**
 * A part's certificate, always the newest one: the files are looked at before every handshake, so that new ones are taken up
 * without a signal, and links that are up never notice. Rejected: watching the files (a descriptor that leads out of the
 * tree and that CRIU would have to restore on another host) and a timer (a time in which a part still uses what was replaced).
 *
 * What was loaded stays in memory: files that are missing or do not fit together change nothing but a line in the log. A
 * moved shim goes on with the key in its image on a host that does not have the files.
 */
export class Keyring {
  readonly #files: KeyFiles;
  readonly #own: Identity | undefined;
  readonly #log: Logger | undefined;
  #material: Material;
  readonly #nowMs: () => number;
  /** Of the files when they were last read. */
  #seen: string;
  #warnedMs = Number.NEGATIVE_INFINITY;

  /**
   * @param own who the certificate must be of; undefined takes any
   * @param nowMs time of the day
   * @throws {ConfigError} bad-option, when the files cannot be used
   */
  constructor(files: KeyFiles, own?: Identity, log?: Logger, nowMs: () => number = Date.now) {
    this.#files = files;
    this.#own = own;
    this.#log = log;
    this.#nowMs = nowMs;
    this.#seen = lookAt(files);
    this.#material = load(files, own);
    this.#warn();
  }

  /** Reads the files again if they have changed since. */
  current(): Material {
    const now = lookAt(this.#files);
    if (now !== this.#seen) this.#reload(now);
    this.#warn();
    return this.#material;
  }

  #reload(seen: string): void {
    this.#seen = seen;
    try {
      this.#material = load(this.#files, this.#own);
      this.#log?.info(describe(this.#material), 'new certificate taken up');
    } catch (err) {
      const fields = { err, ...describe(this.#material) };
      this.#log?.warn(fields, 'changed certificate files cannot be used, the former go on');
    }
  }

  #warn(): void {
    const nowMs = this.#nowMs();
    if (this.#material.expiresMs - nowMs > warnDays * dayMs || nowMs - this.#warnedMs < dayMs) return;
    this.#warnedMs = nowMs;
    this.#log?.warn(describe(this.#material), 'the certificate ends soon');
  }
}

/** Changes when any of the files is written or replaced; a file that is missing counts as such. */
function lookAt({ cert, key, ca }: KeyFiles): string {
  const looks = [cert, key, ca].map((file) => {
    const stat = statSync(file, { bigint: true, throwIfNoEntry: false });
    return stat === undefined ? 'missing' : `${stat.dev} ${stat.ino} ${stat.size} ${stat.mtimeNs} ${stat.ctimeNs}`;
  });
  return looks.join(', ');
}

function load(files: KeyFiles, own: Identity | undefined): Material {
  const cert = read('--tls-cert', files.cert);
  const ca = read('--tls-ca', files.ca);
  const key = read('--tls-key', files.key);
  mustBePrivate(files.key);
  let context: tls.SecureContext;
  let certificate: X509Certificate;
  try {
    context = tls.createSecureContext({ ...tls13, cert, key, ca });
    certificate = new X509Certificate(cert);
  } catch (cause) {
    const message = `--tls-cert, --tls-key, --tls-ca cannot be used: ${errorText(cause)}`;
    throw new ConfigError('bad-option', message, { cause });
  }
  const identity = identityOf(certificate.subjectAltName);
  if (identity === undefined) {
    const message = `--tls-cert: ${files.cert} names no role: its alternative names need one URI such as holdfast://proxy`;
    throw new ConfigError('bad-option', message);
  }
  if (own !== undefined && !isExpected(own, identity)) {
    const message = `--tls-cert: ${files.cert} is the certificate of ${identityText(identity)}, not of ${identityText(own)}`;
    throw new ConfigError('bad-option', message);
  }
  return { cert, key, ca, identity, context, expiresMs: Date.parse(certificate.validTo) };
}

function describe({ expiresMs, identity }: Material): Record<string, string> {
  return { identity: identityText(identity), expires: new Date(expiresMs).toISOString() };
}

/** @throws {ConfigError} bad-option, when others than owner and group may read it */
export function mustBePrivate(file: string, optionName = '--tls-key'): void {
  if ((statSync(file).mode & 0o007) === 0) return;
  throw new ConfigError('bad-option', `${optionName}: ${file} can be read by everybody: chmod 600 ${file}`);
}

/** @throws {ConfigError} bad-option */
export function read(optionName: string, file: string): string {
  try {
    return readTextFile(file);
  } catch (cause) {
    throw new ConfigError('bad-option', `${optionName}: ${file} cannot be read: ${errorText(cause)}`, { cause });
  }
}
