import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { pollMs } from '../limits.js';

/** What proc(5) tells of processes. Everything here is gone or empty for a process that has ended. */
export interface ProcessState {
  /** R, S, D, T (stopped), Z ... */
  readonly state: string;
  readonly session: number;
  /** Start time in clock ticks: with the process id, the identity of a process. */
  readonly startTicks: string;
}

/** Fields 3, 6 and 22 of stat; the second, the name, may hold spaces and parentheses. */
export function processState(pid: number): ProcessState | undefined {
  const stat = readOrNothing(`/proc/${pid}/stat`);
  if (stat === undefined) return undefined;
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return { state: fields[0] ?? '', session: Number(fields[3]), startTicks: fields[19] ?? '' };
}

/** A zombie has ended: what is left of it is for its parent. */
export function isAlive(pid: number, startTicks: string): boolean {
  const found = processState(pid);
  return found !== undefined && found.startTicks === startTicks && found.state !== 'Z' && found.state !== 'X';
}

/** The init of a workload and all that came from it: its process-id namespace, or else its session. */
export function processTree(init: number, isolated: boolean): readonly number[] {
  const wanted = isolated ? namespaceOf(init) : init;
  if (wanted === undefined) return [];
  const belongs = (pid: number) => (isolated ? namespaceOf(pid) : processState(pid)?.session) === wanted;
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter(belongs);
}

/** Whether a process is on this host's network: agents of several nodes may share a machine. */
export function sameNetwork(pid: number): boolean {
  const own = namespaceOf(process.pid, 'net');
  return own !== undefined && namespaceOf(pid, 'net') === own;
}

/** A process and all that it has started, as far as they are still its own. */
export function descendants(pid: number): readonly number[] {
  const children =
    readOrNothing(`/proc/${pid}/task/${pid}/children`)?.trim().split(/\s+/).filter(Boolean).map(Number) ?? [];
  return [pid, ...children.flatMap(descendants)];
}

function namespaceOf(pid: number, kind: 'pid' | 'net' = 'pid'): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/${kind}`);
  } catch {
    return undefined;
  }
}

/** Memory that a process has in use; shared pages count for each. */
export function residentBytes(pid: number): number {
  const kibibytes = /^VmRSS:\s+(\d+) kB$/m.exec(readOrNothing(`/proc/${pid}/status`) ?? '')?.[1];
  return Number(kibibytes ?? 0) * 1_024;
}

/** Sums of smaps_rollup (proc(5)), of which each answers another question. */
const memorySums = {
  /** What it takes of the machine: pages of its own and its part of shared ones, also those that are swapped out. */
  share: ['Pss', 'SwapPss'],
  /** What an image of it holds: not the pages of files, which the target has as well. */
  image: ['Anonymous', 'SwapPss', 'Pss_Shmem'],
} as const;

/** Memory of a process, in bytes; 0 for one that has ended, or may not be looked at. */
export function memoryBytes(pid: number, sum: keyof typeof memorySums): number {
  const rollup = readOrNothing(`/proc/${pid}/smaps_rollup`) ?? '';
  const kib = (field: string) => Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(rollup)?.[1] ?? 0);
  return memorySums[sum].reduce((all, field) => all + kib(field), 0) * 1_024;
}

/** The member of a tree that has this id in the tree's own namespace. */
export function outerPid(tree: readonly number[], inner: number): number | undefined {
  return tree.find((pid) => innerPid(pid) === inner);
}

function innerPid(pid: number): number | undefined {
  const ids = readOrNothing(`/proc/${pid}/status`)
    ?.match(/^NSpid:\s+(.*)$/m)?.[1]
    ?.split(/\s+/);
  return ids === undefined ? undefined : Number(ids.at(-1));
}

/** Two agents with the same answer see the same processes under the same ids. */
export function machineIdentity(): string {
  const boot = readOrNothing('/proc/sys/kernel/random/boot_id')?.trim() ?? 'unknown';
  return `${boot} ${namespaceOf(process.pid) ?? 'unknown'}`;
}

export function signal(pids: readonly number[], name: NodeJS.Signals): void {
  for (const pid of pids) {
    try {
      process.kill(pid, name);
    } catch {
      // Ended in the meantime.
    }
  }
}

/** @returns whether it became true in time */
export async function waitUntil(condition: () => boolean, waitMs: number): Promise<boolean> {
  const deadlineMs = performance.now() + waitMs;
  while (!condition()) {
    if (performance.now() > deadlineMs) return false;
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
  return true;
}

export function readOrNothing(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}
