import { readdirSync, readlinkSync } from 'node:fs';
import type { Address } from '../../shim/program/address.js';
import { readOrNothing } from './process.js';

/** One line of /proc/net/tcp (proc_pid_net(5)). */
export interface TcpSocket {
  readonly local: Address;
  readonly remote: Address;
  readonly listening: boolean;
  readonly inode: string;
}

const listenState = '0A';

/** All TCP sockets of the network namespace of a process. */
export function tcpTable(pid: number | 'self'): readonly TcpSocket[] {
  return ['tcp', 'tcp6'].flatMap((table) => parseTcpTable(readOrNothing(`/proc/${pid}/net/${table}`) ?? ''));
}

/** The same of UDP, whose table has the same form; nothing there listens. */
export function udpTable(pid: number | 'self'): readonly TcpSocket[] {
  return ['udp', 'udp6'].flatMap((table) => parseTcpTable(readOrNothing(`/proc/${pid}/net/${table}`) ?? ''));
}

export function parseTcpTable(table: string): readonly TcpSocket[] {
  return table
    .split('\n')
    .slice(1)
    .flatMap((line) => {
      const [, local, remote, state, , , , , , inode] = line.trim().split(/\s+/);
      if (local === undefined || remote === undefined || inode === undefined) return [];
      return [
        { local: parseHexAddress(local), remote: parseHexAddress(remote), listening: state === listenState, inode },
      ];
    });
}

/** Addresses are printed as 32-bit words in the machine's byte order, ports as numbers. */
function parseHexAddress(text: string): Address {
  const [hex = '', port = '0'] = text.split(':');
  const bytes = Buffer.from(hex, 'hex').swap32();
  const host = bytes.length === 4 ? bytes.join('.') : ipv6(bytes);
  return { host, port: Number.parseInt(port, 16) };
}

const mappedPrefix = '00000000000000000000ffff';

function ipv6(bytes: Buffer): string {
  if (bytes.toString('hex', 0, 12) === mappedPrefix) return bytes.subarray(12).join('.');
  const words = Array.from({ length: 8 }, (_each, index) => bytes.readUInt16BE(index * 2).toString(16));
  const text = words.join(':');
  return text === '0:0:0:0:0:0:0:1' ? '::1' : text === '0:0:0:0:0:0:0:0' ? '::' : text;
}

export function isLoopback(host: string): boolean {
  return host.startsWith('127.') || host === '::1';
}

/** Of the sockets that a process holds. */
export function socketInodes(pid: number): readonly string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).flatMap((descriptor) => socketInode(`/proc/${pid}/fd/${descriptor}`));
  } catch {
    return [];
  }
}

function socketInode(link: string): readonly string[] {
  try {
    const inode = /^socket:\[(\d+)\]$/.exec(readlinkSync(link))?.[1];
    return inode === undefined ? [] : [inode];
  } catch {
    return [];
  }
}
