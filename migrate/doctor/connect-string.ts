/** Connect strings as drivers take them: `host:port/service` (Easy Connect) and descriptors. Pure. */
import {
  type DescriptorNode,
  descriptorValue,
  findDescriptor,
  parseDescriptor,
  TnsError,
} from '../../proxy/tns/index.js';
import { parseAddress } from '../../shim/program/address.js';

export interface ConnectTarget {
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
  /** What stands in the CONNECT. */
  readonly connectData: string;
}

const portDefault = 1521;

/** Undefined when it is neither, or names no host or no service. Of a descriptor the first address counts. */
export function parseConnectString(text: string): ConnectTarget | undefined {
  return text.startsWith('(') ? fromDescriptor(text) : fromEasyConnect(text);
}

function fromEasyConnect(text: string): ConnectTarget | undefined {
  const match = /^(?:(tcps?):)?(?:\/\/)?([^/?]+)\/([^/?:]+)(?::([^/?]+))?(?:\?.*)?$/i.exec(text);
  const [, protocol = 'tcp', where = '', service = '', server] = match ?? [];
  const address = parseAddress(where) ?? parseAddress(`${where}:${portDefault}`);
  if (match === null || address === undefined || address.port === 0) return undefined;
  const kind = server === undefined ? '' : `(SERVER=${server})`;
  const data = `(SERVICE_NAME=${service})${kind}`;
  return { ...address, tls: protocol.toLowerCase() === 'tcps', connectData: connectDataOf(protocol, address, data) };
}

function fromDescriptor(text: string): ConnectTarget | undefined {
  const root = parsed(text);
  const address = root && findDescriptor(root, 'ADDRESS');
  if (root === undefined || address === undefined || findDescriptor(root, 'CONNECT_DATA') === undefined)
    return undefined;
  const host = descriptorValue(address, 'HOST') ?? '';
  const port = Number(descriptorValue(address, 'PORT') ?? portDefault);
  const protocol = descriptorValue(address, 'PROTOCOL')?.toLowerCase() ?? 'tcp';
  if (host === '' || !Number.isInteger(port) || port < 1 || port > 65_535) return undefined;
  if (protocol !== 'tcp' && protocol !== 'tcps') return undefined;
  return { host, port, tls: protocol === 'tcps', connectData: text };
}

function connectDataOf(protocol: string, { host, port }: { host: string; port: number }, data: string): string {
  const address = `(ADDRESS=(PROTOCOL=${protocol})(HOST=${host})(PORT=${port}))`;
  return `(DESCRIPTION=${address}(CONNECT_DATA=${data}(CID=(PROGRAM=holdfast)(HOST=doctor)(USER=doctor))))`;
}

function parsed(text: string): DescriptorNode | undefined {
  try {
    return parseDescriptor(text, 'frontend');
  } catch (error) {
    if (error instanceof TnsError) return undefined;
    throw error;
  }
}
