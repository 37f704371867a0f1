import { compareStakes, type Stakes } from './stakes.js';

/** Workloads with the same value of this label are kept on different nodes. */
export const antiAffinityLabel = 'anti-affinity';
/** Of a node's memory, what stays free for everybody who is there already. */
export const memoryReserveShare = 0.1;

export type Labels = Readonly<Record<string, string>>;

/** A workload that has to go somewhere. */
export interface Guest extends Stakes {
  readonly name: string;
  readonly memoryBytes: number;
  readonly labels: Labels;
}

/** A node that could take some. */
export interface Host {
  readonly node: string;
  readonly memory: { readonly totalBytes: number; readonly availableBytes: number };
  readonly workloads: readonly { readonly name: string; readonly labels: Labels }[];
  /** Sessions of its workloads. */
  readonly sessions: number;
}

export interface Placement {
  readonly workload: string;
  readonly to: string;
}

export interface Unplaced {
  readonly workload: string;
  readonly code: 'no-memory' | 'anti-affinity';
  readonly message: string;
}

export interface Placements {
  /** In the order in which they should be moved. */
  readonly moves: readonly Placement[];
  readonly unplaced: readonly Unplaced[];
}

interface Room {
  readonly host: Host;
  freeBytes: number;
  guests: number;
  sessions: number;
  readonly groups: Set<string>;
}

/**
 * Which workload goes where. Those that have to be kept apart choose first, then the large ones: each goes to the node that
 * has, with it, the greatest share of its memory free; among equals to the one with fewer sessions, then workloads. The same
 * input in any order gives the same answer. What does not fit is named; nothing is placed beyond memory or against labels.
 */
export function placeGuests(
  guests: readonly Guest[],
  hosts: readonly Host[],
  options: { readonly ignoreAntiAffinity?: boolean } = {},
): Placements {
  const groupOf = ({ labels }: { labels: Labels }) =>
    options.ignoreAntiAffinity ? undefined : labels[antiAffinityLabel];
  const rooms = hosts.map((host) => roomOf(host, groupOf)).sort((a, b) => compareText(a.host.node, b.host.node));
  const placed = new Map<string, string>();
  const unplaced: Unplaced[] = [];
  for (const guest of guests.toSorted((a, b) => bySize(a, b, groupOf))) {
    const group = groupOf(guest);
    const apart = rooms.filter(({ groups }) => group === undefined || !groups.has(group));
    const fitting = apart.filter(({ freeBytes }) => freeBytes >= guest.memoryBytes);
    const [best] = fitting.toSorted((a, b) => compareRooms(a, b, guest));
    if (best === undefined) {
      unplaced.push(reasonOf(guest, group, apart.length > 0));
      continue;
    }
    best.freeBytes -= guest.memoryBytes;
    best.guests += 1;
    best.sessions += guest.sessions;
    if (group !== undefined) best.groups.add(group);
    placed.set(guest.name, best.host.node);
  }
  const ordered = guests.toSorted((a, b) => compareStakes(a, b) || compareText(a.name, b.name));
  const moves = ordered.flatMap(({ name }) => {
    const to = placed.get(name);
    return to === undefined ? [] : [{ workload: name, to }];
  });
  return { moves, unplaced };
}

type GroupOf = (labelled: { labels: Labels }) => string | undefined;

function roomOf(host: Host, groupOf: GroupOf): Room {
  return {
    host,
    freeBytes: Math.max(0, host.memory.availableBytes - memoryReserveShare * host.memory.totalBytes),
    guests: host.workloads.length,
    sessions: host.sessions,
    groups: new Set(host.workloads.flatMap((workload) => groupOf(workload) ?? [])),
  };
}

function bySize(one: Guest, other: Guest, groupOf: GroupOf): number {
  const bound = Number(groupOf(other) !== undefined) - Number(groupOf(one) !== undefined);
  return (
    bound || other.memoryBytes - one.memoryBytes || other.sessions - one.sessions || compareText(one.name, other.name)
  );
}

function compareRooms(one: Room, other: Room, guest: Guest): number {
  const share = ({ freeBytes, host }: Room) => (freeBytes - guest.memoryBytes) / Math.max(1, host.memory.totalBytes);
  return (
    share(other) - share(one) ||
    one.sessions - other.sessions ||
    one.guests - other.guests ||
    compareText(one.host.node, other.host.node)
  );
}

function reasonOf({ name, memoryBytes }: Guest, group: string | undefined, isApart: boolean): Unplaced {
  if (!isApart && group !== undefined) {
    const message = `every node that could take ${name} has a workload with ${antiAffinityLabel}=${group}`;
    return { workload: name, code: 'anti-affinity', message };
  }
  const mebibytes = Math.ceil(memoryBytes / 1_048_576);
  return { workload: name, code: 'no-memory', message: `no node has ${mebibytes} MiB for ${name}` };
}

/** Not by locale: the plan is the same on all hosts. */
export function compareText(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0;
}
