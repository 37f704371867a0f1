import { readdirSync, readFileSync } from 'node:fs';
import { residentBytes } from '../soak/resident.js';

/** What a process and its descendants have used and use. Linux only: it is read from /proc. */
export interface Usage {
  readonly cpuSeconds: number;
  readonly residentBytes: number;
}

/** What is gone counts as nothing. */
export function usageOf(pid: number): Usage {
  const all = [pid, ...descendants(pid)];
  const resident = all.map((each) => residentBytes(each)?.now ?? 0);
  return { cpuSeconds: sum(all.map(cpuSeconds)), residentBytes: sum(resident) };
}

/** Processor time since then, memory now. */
export function sinceThen(now: Usage, then: Usage | undefined): Usage {
  return { ...now, cpuSeconds: now.cpuSeconds - (then?.cpuSeconds ?? 0) };
}

/** In nanoseconds at the source; /proc/PID/stat counts in hundredths of a second, too coarse for a window of half a second. */
function cpuSeconds(pid: number): number {
  return sum(tasks(pid).map((task) => Number(read(`/proc/${pid}/task/${task}/schedstat`).split(' ')[0]))) / 1e9;
}

function descendants(pid: number): number[] {
  const texts = tasks(pid).map((task) => read(`/proc/${pid}/task/${task}/children`));
  const children = texts.flatMap((text) => text.split(' ').filter((each) => each.trim() !== '')).map(Number);
  return children.flatMap((child) => [child, ...descendants(child)]);
}

function tasks(pid: number): readonly string[] {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    return [];
  }
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, each) => total + each, 0);
}
