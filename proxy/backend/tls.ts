/**
 * TLS to the database (TCPS). What is trusted comes from a wallet: a PEM file with the certificates of authorities, and with
 * a client certificate and its key where the listener asks for one; `ewallet.pem` of Oracle is such a file.
 */
import { readFileSync, statSync } from 'node:fs';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import tls, { type PeerCertificate, type SecureContext, type TLSSocket } from 'node:tls';
import { ConfigError } from '../../shim/program/config.js';
import { errorText } from '../../shim/program/errors.js';
import { routingName } from './address.js';
import type { DialPlan } from './connect-phase.js';

export interface DatabaseTls {
  readonly secureContext: SecureContext;
  /** Undefined: the certificate must be for the host. */
  readonly dn: string | undefined;
  /** False: whose certificate it is does not count, as long as an authority has signed it. */
  readonly dnMatch: boolean;
  readonly sni: 'off' | 'host' | 'service';
}

export interface DatabaseTlsSettings {
  readonly databaseWallet: string | undefined;
  readonly walletPasswordFile: string | undefined;
  readonly databaseDn: string | undefined;
  readonly databaseSni: DatabaseTls['sni'];
}

const walletFile = 'ewallet.pem';

/**
 * Without a wallet the authorities of this machine's Node.js are trusted, as for databases with public certificates.
 * @throws {ConfigError} when a file cannot be read or used
 */
export function loadDatabaseTls(
  settings: DatabaseTlsSettings,
  target: Pick<DatabaseTls, 'dn' | 'dnMatch'>,
): DatabaseTls {
  const { databaseWallet: wallet, walletPasswordFile: passwordFile, databaseSni: sni } = settings;
  const rest = { dn: settings.databaseDn ?? target.dn, dnMatch: target.dnMatch, sni };
  if (wallet === undefined) {
    if (passwordFile !== undefined) {
      throw new ConfigError('bad-option', '--wallet-password-file is of no use without --database-wallet');
    }
    return { secureContext: tls.createSecureContext(), ...rest };
  }
  try {
    const pem = readFileSync(statSync(wallet).isDirectory() ? join(wallet, walletFile) : wallet, 'utf8');
    const passphrase = passwordFile === undefined ? {} : { passphrase: readFileSync(passwordFile, 'utf8').trim() };
    const hasKey = /-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(pem);
    if (!/-----BEGIN (TRUSTED )?CERTIFICATE-----/.test(pem)) throw new Error('there is no certificate in it');
    const own = hasKey ? { cert: pem, key: pem, ...passphrase } : {};
    return { secureContext: tls.createSecureContext({ ca: pem, ...own }), ...rest };
  } catch (cause) {
    // OpenSSL's words for a wrong or missing password tell nobody what to do.
    const hint = /decrypt|passphrase|password/i.test(errorText(cause)) ? ' (is --wallet-password-file right?)' : '';
    throw new ConfigError('bad-option', `--database-wallet: ${wallet} cannot be used: ${errorText(cause)}${hint}`, {
      cause,
    });
  }
}

let fallback: DatabaseTls | undefined;

/** For sessions that were not told what to trust. */
export function publicTls(): DatabaseTls {
  fallback ??= { secureContext: tls.createSecureContext(), dn: undefined, dnMatch: true, sni: 'off' };
  return fallback;
}

/** A TLS handshake over a connected socket; `secureConnect` follows, or `error`. Half-open as the socket below it. */
export function secure(raw: Socket, settings: DatabaseTls, plan: DialPlan): TLSSocket {
  const servername = serverName(settings.sni, plan);
  return tls.connect({
    socket: raw,
    secureContext: settings.secureContext,
    rejectUnauthorized: true,
    checkServerIdentity: (_name, certificate) => nameFailure(settings, plan, certificate),
    ...(servername === undefined ? {} : { servername }),
  });
}

/** Drivers send none as a rule; a name that is an address may not be sent (RFC 6066, 3). */
function serverName(sni: DatabaseTls['sni'], plan: DialPlan): string | undefined {
  if (sni === 'off') return undefined;
  if (sni === 'service') return routingName(plan.connectData, plan.version);
  return /^[\d.]+$|:/.test(plan.address.host) ? undefined : plan.address.host;
}

function nameFailure(settings: DatabaseTls, plan: DialPlan, certificate: PeerCertificate): Error | undefined {
  if (!settings.dnMatch) return undefined;
  if (settings.dn !== undefined) {
    if (sameDn(settings.dn, certificate)) return undefined;
    const subject = attributesOf(certificate).join(',');
    return nameError(`its certificate is for ${subject}, and not for ${settings.dn}`);
  }
  const hosts = [plan.address.host, plan.origin.host];
  if (hosts.some((host) => tls.checkServerIdentity(host, certificate) === undefined)) return undefined;
  return tls.checkServerIdentity(plan.address.host, certificate);
}

function nameError(message: string): Error {
  return Object.assign(new Error(message), { code: 'ERR_TLS_CERT_ALTNAME_INVALID' });
}

/** The same attributes, in any order: Oracle's tools write a DN from the end. */
function sameDn(wanted: string, certificate: PeerCertificate): boolean {
  const parts = wanted.split(/(?<!\\),/).map((part) => {
    const at = part.indexOf('=');
    return `${part.slice(0, at).trim().toUpperCase()}=${part
      .slice(at + 1)
      .trim()
      .replaceAll('\\,', ',')}`;
  });
  return parts.sort().join('\n') === [...attributesOf(certificate)].sort().join('\n');
}

function attributesOf(certificate: PeerCertificate): readonly string[] {
  return Object.entries(certificate.subject).flatMap(([name, value = []]) =>
    [value].flat().map((each) => `${name.toUpperCase()}=${each}`),
  );
}
