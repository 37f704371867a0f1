import { readdirSync, readlinkSync } from 'node:fs';
import os from 'node:os';
import { setTimeout } from 'node:timers/promises';
import { loadSampleMs } from '../limits.js';
import type { Node } from '../node.js';
import { memoryBytes, processTree, readOrNothing } from '../workload/process.js';
import { lifeOf, type StoredWorkload } from '../workload/store.js';
import type { NodeLoad } from './messages.js';
import type { Host } from './placement.js';

/** Looks twice, `loadSampleMs` apart: processor time is only known as a sum since the start. */
export async function loadOf(node: Node): Promise<NodeLoad> {
  const own = node.store.all().filter((workload) => workload.node === node.name && lifeOf(workload) !== 'ended');
  const trees = treesOf(own);
  const usedMs = (name: string) => (trees.get(name) ?? []).reduce((sum, pid) => sum + processMs(pid), 0);
  const before = { machine: machineTimes(), used: new Map(own.map(({ name }) => [name, usedMs(name)])) };
  const beganMs = performance.now();
  await setTimeout(loadSampleMs);
  const passedMs = performance.now() - beganMs;
  const machine = machineTimes();
  const totalTicks = machine.total - before.machine.total;
  return {
    node: node.name,
    cpus: os.cpus().length,
    cpuBusy: totalTicks === 0 ? 0 : round((machine.busy - before.machine.busy) / totalTicks),
    memory: machineMemory(),
    evacuating: node.evacuation !== undefined,
    workloads: own.map(({ name, labels }) => ({
      name,
      labels: labels ?? {},
      memoryBytes: (trees.get(name) ?? []).reduce((sum, pid) => sum + memoryBytes(pid, 'share'), 0),
      cpus: Math.max(0, round((usedMs(name) - (before.used.get(name) ?? 0)) / passedMs)),
    })),
  };
}

/** For the planner. @param sessions of all workloads, by name */
export function hostOf({ node, memory, workloads }: NodeLoad, sessions: (workload: string) => number): Host {
  return { node, memory, workloads, sessions: workloads.reduce((sum, { name }) => sum + sessions(name), 0) };
}

/** One walk through all processes, however many workloads there are. */
function treesOf(workloads: readonly StoredWorkload[]): ReadonlyMap<string, readonly number[]> {
  const spaces = new Map<string, number[]>();
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    const space = pidNamespace(Number(entry));
    if (space !== undefined) spaces.set(space, [...(spaces.get(space) ?? []), Number(entry)]);
  }
  return new Map(
    workloads.map(({ name, pid, isolated }) => [
      name,
      isolated ? (spaces.get(pidNamespace(pid) ?? '') ?? []) : processTree(pid, false),
    ]),
  );
}

function pidNamespace(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/pid`);
  } catch {
    return undefined;
  }
}

/** USER_HZ, in which the kernel tells times to programs, is 100 on all machines that Node.js runs on. */
const tickMs = 10;

/** Fields 14 and 15 of stat: processor time in user and kernel mode. */
function processMs(pid: number): number {
  const stat = readOrNothing(`/proc/${pid}/stat`);
  if (stat === undefined) return 0;
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * tickMs;
}

function machineTimes(): { busy: number; total: number } {
  const all = os.cpus().map(({ times }) => times);
  const total = all.reduce((sum, { user, nice, sys, idle, irq }) => sum + user + nice + sys + idle + irq, 0);
  return { total, busy: total - all.reduce((sum, { idle }) => sum + idle, 0) };
}

function machineMemory(): NodeLoad['memory'] {
  const info = readOrNothing('/proc/meminfo') ?? '';
  const bytes = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(info)?.[1] ?? 0) * 1_024;
  return { totalBytes: bytes('MemTotal'), availableBytes: bytes('MemAvailable') };
}

function round(share: number): number {
  return Math.round(share * 1_000) / 1_000;
}
