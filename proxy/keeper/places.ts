/**
 * What a keeper finds where it starts: sockets of the one before, each with the slot it belongs to, and how many slots there were.
 * Workloads are spread over the slots by their number, so it may only change while there is no session.
 */
import { handleOn, type NativeHandle } from '../kernel/handle.js';
import { firstOwner } from './contract.js';
import type { KeptSocket } from './handover.js';
import type { SocketStore } from './keeper.js';
import type { ServiceManager } from './notify.js';

export interface Found {
  /** How many slots there were. */
  readonly of: number;
  readonly sockets: readonly KeptSocket[];
}

/** What sockets are called at a service manager: `holdfast-16`; where there are several slots, `holdfast-1-3-16`, slot 1 of 3. */
const name = /^holdfast-(?:(\d+)-(\d+)-)?(\d+)$/;

export function storeOf(
  manager: Pick<ServiceManager, 'keep' | 'forget'>,
  { index, of }: { readonly index: number; readonly of: number },
): SocketStore {
  const prefix = of === 1 ? 'holdfast-' : `holdfast-${index}-${of}-`;
  return {
    keep: (id, fd) => manager.keep(`${prefix}${id}`, fd),
    forget: (id) => manager.forget(`${prefix}${id}`),
  };
}

/** @param descriptors by their names at the service manager; those of others are passed over */
export function foundIn(descriptors: ReadonlyMap<string, number>): Found {
  let of = 1;
  const sockets: KeptSocket[] = [];
  for (const [text, fd] of descriptors) {
    const [whole, slot = '0', slots = '1', id = ''] = name.exec(text) ?? [];
    if (whole === undefined) continue;
    // Listening sockets may have kept a name of a time with another number; sessions have not.
    if (Number(id) >= firstOwner) of = Number(slots);
    sockets.push([Number(id), fd, Number(slot)]);
  }
  return { of, sockets };
}

/** @returns how many slots there are to be, where this many are wanted */
export function slotsFor(found: Found, wanted: number): number {
  return found.sockets.some(([id]) => id >= firstOwner) ? found.of : wanted;
}

/** The sockets of one slot. */
export function inheritedBy(found: Found, index: number): ReadonlyMap<number, NativeHandle> {
  const own = found.sockets.filter(([, , slot = 0]) => slot === index);
  return new Map(own.map(([id, fd]) => [id, handleOn(fd)]));
}
