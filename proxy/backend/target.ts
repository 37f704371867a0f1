/**
 * What `--database` says: the addresses of listeners, and in which order they are tried. The words are Oracle's: FAILOVER
 * tries the next address when one does not answer or refuses, LOAD_BALANCE begins with any of them.
 */
import { parseAddress } from '../../shim/program/address.js';
import { type DescriptorNode, descriptorValue, findDescriptors } from '../tns/index.js';
import { addressOf, type DatabaseAddress, formatDatabase, parsedDescriptor } from './address.js';
import { addressesMax } from './limits.js';

/** Addresses that stand for the same thing: an ADDRESS_LIST. */
export interface AddressList {
  readonly addresses: readonly DatabaseAddress[];
  readonly loadBalance: boolean;
}

export interface DatabaseTarget {
  readonly lists: readonly AddressList[];
  /** The lists are tried in random order too. */
  readonly loadBalance: boolean;
  /** False: only the first address in the order is tried. */
  readonly failover: boolean;
  /** SSL_SERVER_CERT_DN: the subject that the certificate of the listener must have, instead of the name of its host. */
  readonly dn: string | undefined;
  /** SSL_SERVER_DN_MATCH: false trusts any certificate of the authority, whatever its name. */
  readonly dnMatch: boolean;
}

/**
 * `host:port`, `tcps://host:port`, several of them with commas between, or a descriptor `(DESCRIPTION=(ADDRESS=...)...)`.
 * Undefined when the text is none of these, names no address, or more than `addressesMax`.
 */
export function parseTarget(text: string): DatabaseTarget | undefined {
  const target = text.startsWith('(') ? fromDescriptor(text) : fromList(text);
  const count = target?.lists.reduce((sum, { addresses }) => sum + addresses.length, 0) ?? 0;
  return count > 0 && count <= addressesMax ? target : undefined;
}

export function formatTarget({ lists }: DatabaseTarget): string {
  return lists
    .flatMap(({ addresses }) => addresses)
    .map(formatDatabase)
    .join(',');
}

/** The addresses in the order in which one session tries them. @param random numbers from 0 to 1 */
export function dialOrder(target: DatabaseTarget, random: () => number): readonly DatabaseAddress[] {
  const lists = target.loadBalance ? shuffled(target.lists, random) : target.lists;
  const all = lists.flatMap(({ addresses, loadBalance }) => (loadBalance ? shuffled(addresses, random) : addresses));
  return target.failover ? all : all.slice(0, 1);
}

function fromList(text: string): DatabaseTarget | undefined {
  const addresses: DatabaseAddress[] = [];
  for (const part of text.split(',')) {
    const match = /^(tcps?:\/\/)?(.+)$/i.exec(part.trim());
    const address = parseAddress(match?.[2] ?? '');
    if (address === undefined || address.port === 0) return undefined;
    addresses.push(match?.[1]?.toLowerCase() === 'tcps://' ? { ...address, tls: true } : address);
  }
  return {
    lists: [{ addresses, loadBalance: false }],
    loadBalance: false,
    failover: true,
    dn: undefined,
    dnMatch: true,
  };
}

function fromDescriptor(text: string): DatabaseTarget | undefined {
  const root = parsedDescriptor(text);
  if (root === undefined) return undefined;
  const lists: AddressList[] = [];
  for (const description of findDescriptors(root, 'DESCRIPTION')) {
    const grouped = findDescriptors(description, 'ADDRESS_LIST');
    for (const group of grouped.length > 0 ? grouped : [description]) {
      const addresses = findDescriptors(group, 'ADDRESS').map(addressOf);
      // An address that is not understood is a mistake, not one address less.
      if (addresses.includes(undefined)) return undefined;
      const loadBalance = isOn(group, 'LOAD_BALANCE') ?? isOn(description, 'LOAD_BALANCE') ?? false;
      lists.push({ addresses: addresses.flatMap((address) => address ?? []), loadBalance });
    }
  }
  const security = findDescriptors(root, 'SECURITY')[0];
  return {
    lists,
    loadBalance: isOn(root, 'LOAD_BALANCE') ?? false,
    failover: findDescriptors(root, 'FAILOVER').every(({ value }) => isYes(value)),
    dn: security && descriptorValue(security, 'SSL_SERVER_CERT_DN'),
    dnMatch: (security && isOn(security, 'SSL_SERVER_DN_MATCH')) ?? true,
  };
}

function isOn(node: DescriptorNode, name: string): boolean | undefined {
  const value = descriptorValue(node, name);
  return value === undefined ? undefined : isYes(value);
}

function isYes(value: string): boolean {
  return /^(on|yes|true)$/i.test(value);
}

/** In any order, each as likely as the others (Fisher and Yates). */
function shuffled<T>(values: readonly T[], random: () => number): readonly T[] {
  const left = [...values];
  const taken: T[] = [];
  while (left.length > 0) taken.push(...left.splice(Math.floor(random() * left.length), 1));
  return taken;
}
