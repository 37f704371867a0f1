import { readFileSync, statfsSync } from 'node:fs';
import { release } from 'node:os';
import { dirname, join } from 'node:path';
import { programVersion } from '../../shim/program/version.js';
import type { ToolState } from '../movers/mover.js';
import { readOrNothing } from '../workload/process.js';
import type { HostFacts } from './facts.js';

/**
 * What this host has to give, as its agent sees it.
 * @param carrier what the mover says of its programs; undefined for one that needs none
 */
export async function hostFacts(carrier: Promise<ToolState> | undefined, stateDirectory: string): Promise<HostFacts> {
  const { bavail, bsize } = statfsSync(stateDirectory);
  return {
    version: programVersion(),
    ...(carrier === undefined ? {} : { carrier: await carrier }),
    architecture: process.arch,
    processor: processorFeatures(readOrNothing('/proc/cpuinfo') ?? ''),
    kernel: release(),
    memoryFreeBytes: Math.min(
      availableBytes(readOrNothing('/proc/meminfo') ?? ''),
      cgroupRoom('memory.max', 'memory.current'),
    ),
    processesFree: Math.min(processRoom(), cgroupRoom('pids.max', 'pids.current')),
    imageFreeBytes: bavail * bsize,
  };
}

/** Features that compilers and libraries choose code by; the rest of the list is the kernel's own business. */
const usedByPrograms =
  /^(mmx|sse|ssse|avx|amx|aes|vaes|pclmul|vpclmul|fma|bmi|adx|sha|gfni|xsave|f16c|movbe|popcnt|rd(rand|seed|pid)|fsgsbase|erms|fsrm|clflushopt|clwb|abm|lzcnt|cx16|lahf|rtm|hle|pku|ospke|serialize|movdir|3dnow|xop|tbm|fma4|asimd|neon|crc32|atomics|sve|sm[234e]|fp$|fphp|pmull|lrcpc|dcpop|fcma|jscvt|uscat|paca|pacg|bti|mte)/;

/** Of the first processor: all of a host have the same. x86 says flags, Arm says Features. */
export function processorFeatures(cpuinfo: string): string[] {
  const line = /^(?:flags|Features)\s*:\s*(.*)$/m.exec(cpuinfo)?.[1] ?? '';
  return line.split(' ').filter((word) => usedByPrograms.test(word));
}

export function availableBytes(meminfo: string): number {
  const kib = /^MemAvailable:\s+(\d+) kB$/m.exec(meminfo)?.[1];
  return kib === undefined ? Number.MAX_SAFE_INTEGER : Number(kib) * 1_024;
}

/** Ids are given to processes and threads of the whole machine; the last field of loadavg but one says how many there are. */
function processRoom(): number {
  const used = Number(/\/(\d+) /.exec(readOrNothing('/proc/loadavg') ?? '')?.[1] ?? 0);
  const limits = ['pid_max', 'threads-max'].map((name) => Number(readOrNothing(`/proc/sys/kernel/${name}`)));
  return Math.min(...limits.filter((limit) => limit > 0)) - used;
}

const cgroupRoot = '/sys/fs/cgroup';

/**
 * What the control groups of this process still allow (version 2): what is restored becomes a member of the same. In a
 * container the files of its own group are at the root.
 */
function cgroupRoom(limitFile: string, usedFile: string): number {
  const path = /^0::(\/.*)$/m.exec(readOrNothing('/proc/self/cgroup') ?? '')?.[1] ?? '/';
  let room = Number.MAX_SAFE_INTEGER;
  for (let group = join(cgroupRoot, path); group.startsWith(cgroupRoot); group = dirname(group)) {
    const limit = number(join(group, limitFile));
    const used = number(join(group, usedFile));
    if (limit !== undefined && used !== undefined) room = Math.min(room, Math.max(0, limit - used));
  }
  return room;
}

/** Absent: no limit (`max`), or no such file. */
function number(file: string): number | undefined {
  try {
    const value = Number(readFileSync(file, 'utf8'));
    return Number.isFinite(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
