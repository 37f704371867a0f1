// The library finds its parts through metadata of decorators; this must come before it.
import 'reflect-metadata';
import { randomBytes, webcrypto, X509Certificate } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import { type Identity, identityText, identityUri } from '../../shim/program/identity.js';
import { authorityDays, clockSkewMsMax } from './limits.js';

/** A private authority: what it signs with, and what others know it by. Both PEM. */
export interface Authority {
  readonly certificate: string;
  readonly key: string;
}

/** P-256: every TLS stack has it, and a handshake costs a fraction of RSA's. */
const curve = { name: 'ECDSA', namedCurve: 'P-256' } as const;
const signature = { name: 'ECDSA', hash: 'SHA-256' } as const;
const dayMs = 86_400_000;

/** Makes a new authority that can sign certificates of parts, but no further authorities. */
export async function newAuthority(): Promise<Authority> {
  const keys = await webcrypto.subtle.generateKey(curve, true, ['sign', 'verify']);
  const id = randomBytes(4).toString('hex');
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: newSerial(),
    name: `CN=Holdfast authority ${id}`,
    ...validity(authorityDays),
    signingAlgorithm: signature,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { certificate: `${certificate.toString('pem')}\n`, key: await keyPem(keys.privateKey) };
}

/**
 * Makes a key and a certificate of it.
 * @param days how long it is good; it ends with the authority at the latest
 * @returns certificate and key in one PEM text
 */
export async function issue(authority: Authority, identity: Identity, days: number): Promise<string> {
  const issuer = new x509.X509Certificate(authority.certificate);
  const keys = await webcrypto.subtle.generateKey(curve, true, ['sign', 'verify']);
  const { notBefore, notAfter } = validity(days);
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: newSerial(),
    subject: `CN=${identityText(identity)}`,
    issuer: issuer.subject,
    notBefore,
    notAfter: new Date(Math.min(notAfter.getTime(), issuer.notAfter.getTime())),
    signingAlgorithm: signature,
    publicKey: keys.publicKey,
    signingKey: await readKey(authority.key),
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension(usages(identity)),
      new x509.SubjectAlternativeNameExtension([{ type: 'url', value: identityUri(identity) }]),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(issuer.publicKey),
    ],
  });
  return `${certificate.toString('pem')}\n${await keyPem(keys.privateKey)}`;
}

/** Did this authority sign that certificate? */
export function hasSigned(authorityCertificate: string, certificate: string): boolean {
  const authority = new X509Certificate(authorityCertificate);
  const signed = new X509Certificate(certificate);
  return signed.checkIssued(authority) && signed.verify(authority.publicKey);
}

/** Workloads and operators only ever dial: their certificates do not pass for a server's, whoever forgets to look at the role. */
function usages({ role }: Identity): string[] {
  const client = x509.ExtendedKeyUsage.clientAuth;
  return role === 'proxy' || role === 'agent' ? [x509.ExtendedKeyUsage.serverAuth, client] : [client];
}

function validity(days: number): { notBefore: Date; notAfter: Date } {
  const now = Date.now();
  return { notBefore: new Date(now - clockSkewMsMax), notAfter: new Date(now + days * dayMs) };
}

/** 127 random bits: positive, and never twice (RFC 5280 4.1.2.2). */
function newSerial(): string {
  const bytes = randomBytes(16);
  bytes.writeUInt8((bytes.readUInt8(0) & 0x7f) | 0x40, 0);
  return bytes.toString('hex');
}

async function keyPem(key: webcrypto.CryptoKey): Promise<string> {
  const der = await webcrypto.subtle.exportKey('pkcs8', key);
  return `${x509.PemConverter.encode(der, 'PRIVATE KEY')}\n`;
}

function readKey(pem: string): Promise<webcrypto.CryptoKey> {
  const [der = new ArrayBuffer(0)] = x509.PemConverter.decode(pem);
  return webcrypto.subtle.importKey('pkcs8', der, curve, false, ['sign']);
}
