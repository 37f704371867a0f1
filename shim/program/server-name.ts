import { createHash } from 'node:crypto';

/**
 * How a link says for which workload it comes before anything is encrypted: the server name of its TLS handshake
 * (RFC 6066 3) is made of a hash of the workload's name. A proxy with several workers gives the link to the right one by it.
 * It proves nothing, and binds nothing: who may bind what is decided behind the handshake, as ever. Of the hash there are 32
 * bits, more than enough to choose among workers, and too few to tell a name apart from all others.
 */
const suffix = '.link.holdfast';
const pattern = /^([0-9a-f]{8})\.link\.holdfast$/;

/** A number made of the name of a workload: the same in every process and version, spread over 32 bits. */
export function workloadHash(workload: string): number {
  return createHash('sha256').update(workload).digest().readUInt32BE(0);
}

/** What a link for this workload is to have as its TLS server name. */
export function linkServerName(workload: string): string {
  return `${workloadHash(workload).toString(16).padStart(8, '0')}${suffix}`;
}

/** @returns the `workloadHash` in a server name; undefined for a name that `linkServerName` did not make */
export function hashOfServerName(name: string): number | undefined {
  const [, hexadecimal] = pattern.exec(name) ?? [];
  return hexadecimal === undefined ? undefined : Number.parseInt(hexadecimal, 16);
}
