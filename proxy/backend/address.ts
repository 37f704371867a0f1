import { formatAddress } from '../../shim/program/address.js';
import {
  type DescriptorNode,
  descriptorValue,
  findDescriptor,
  findDescriptors,
  parseDescriptor,
  TnsError,
} from '../tns/index.js';

/** Where a listener is. */
export interface DatabaseAddress {
  readonly host: string;
  readonly port: number;
  /** The listener speaks TLS there (TCPS); left out for plain TCP. */
  readonly tls?: true;
}

const portMax = 65_535;

/** As operators write it: `host:port` or `tcps://host:port`. */
export function formatDatabase(address: DatabaseAddress): string {
  return `${address.tls === true ? 'tcps://' : ''}${formatAddress(address)}`;
}

/** The address in an ADDRESS of a descriptor; undefined where host or port are missing, or the protocol is neither TCP nor TCPS. */
export function addressOf(node: DescriptorNode): DatabaseAddress | undefined {
  const host = descriptorValue(node, 'HOST');
  const port = Number(descriptorValue(node, 'PORT'));
  const protocol = descriptorValue(node, 'PROTOCOL')?.toUpperCase() ?? 'TCP';
  if (host === undefined || host === '' || (protocol !== 'TCP' && protocol !== 'TCPS')) return undefined;
  if (!Number.isInteger(port) || port < 1 || port > portMax) return undefined;
  return protocol === 'TCPS' ? { host, port, tls: true } : { host, port };
}

/**
 * The first usable address in the text of a REDIRECT, which is an ADDRESS, or a list or a whole descriptor around some. The
 * thin drivers take the first one too.
 */
export function redirectAddress(text: string): DatabaseAddress | undefined {
  const root = parsedDescriptor(text);
  if (root === undefined) return undefined;
  return findDescriptors(root, 'ADDRESS').flatMap((node) => addressOf(node) ?? [])[0];
}

/** Undefined when the text is no descriptor. */
export function parsedDescriptor(text: string): DescriptorNode | undefined {
  try {
    return parseDescriptor(text, 'backend');
  } catch (error) {
    if (error instanceof TnsError) return undefined;
    throw error;
  }
}

const sniBytesMax = 256;
/** What may stand in CONNECT_DATA for a listener to find the service by the name of the handshake alone (driver: sniAllowedCDParams). */
const sniAllowed: ReadonlySet<string> = new Set([
  'SERVICE_NAME',
  'INSTANCE_NAME',
  'SERVER',
  'COLOCATION_TAG',
  'CONNECTION_ID',
  'POOL_BOUNDARY',
  'POOL_PURITY',
  'POOL_CONNECTION_CLASS',
  'POOL_NAME',
  'SERVICE_TAG',
  'CID',
]);

/**
 * The server name that Oracle's drivers put into a TLS handshake when they are told to use SNI, so that a listener can hand
 * the connection on before it has read a byte: `S6.orders.V3.319`. Undefined where they send none (driver: generateSNI).
 */
export function routingName(connectData: string, version: number): string | undefined {
  const root = parsedDescriptor(connectData);
  const data = root && findDescriptor(root, 'CONNECT_DATA');
  if (root === undefined || data === undefined) return undefined;
  const isRouted = findDescriptors(root, 'SOURCE_ROUTE').some(({ value }) => /^(yes|on|true)$/i.test(value));
  if (isRouted || data.children.some(({ name }) => !sniAllowed.has(name))) return undefined;
  const parts = [
    ['S', descriptorValue(data, 'SERVICE_NAME')],
    ['I', descriptorValue(data, 'INSTANCE_NAME')],
    ['T', descriptorValue(data, 'SERVER')?.slice(0, 1)],
    ['C', descriptorValue(data, 'COLOCATION_TAG')],
  ] as const;
  const named = parts.flatMap(([letter, value]) => (value ? [`${letter}${value.length}.${value}.`] : []));
  const name = `${named.join('')}V3.${version}`;
  return /^[A-Za-z0-9._-]+$/.test(name) && name.length <= sniBytesMax ? name : undefined;
}
