import { execFileSync } from 'node:child_process';
import { cpus, loadavg, release, totalmem } from 'node:os';
import type { Compared, Goal } from './goals.js';
import type { ChurnResult, MemoryResult, RebindResult } from './holdfast.js';
import type { PathName } from './paths.js';
import type { Row } from './results.js';

/** The JSON of a run. */
export interface Report {
  readonly at: string;
  readonly mode: 'quick' | 'full';
  readonly tookSeconds: number;
  readonly machine: Machine;
  /** Ways that could not be measured. */
  readonly missing: readonly { readonly path: PathName; readonly reason: string }[];
  /** What was tried and went wrong: its goals have no value. */
  readonly failures: readonly { readonly what: string; readonly reason: string }[];
  readonly rows: readonly Row[];
  readonly compared: readonly Compared[];
  readonly memory: readonly MemoryResult[];
  readonly rebind: readonly RebindResult[];
  readonly churn: readonly ChurnResult[];
  /** Logins of the real driver at the fixture, with nothing between. */
  readonly logins: { readonly count: number; readonly msPerThousand: number } | undefined;
  readonly goals: readonly Goal[];
}

export interface Machine {
  readonly processors: number;
  readonly model: string;
  readonly memoryGiB: number;
  readonly kernel: string;
  readonly node: string;
  readonly haproxy: string;
  /** Of the last minute, before the run: what else the machine had to do. */
  readonly loadBefore: number;
  readonly commit: string;
}

export function describeMachine(haproxy: string): Machine {
  return {
    processors: cpus().length,
    model: cpus()[0]?.model.trim() ?? 'unknown',
    memoryGiB: Math.round(totalmem() / 1_073_741_824),
    kernel: release(),
    node: process.version,
    haproxy,
    loadBefore: Math.round((loadavg()[0] ?? 0) * 10) / 10,
    commit: commit(),
  };
}

function commit(): string {
  try {
    return execFileSync('git', ['describe', '--always', '--dirty'], { encoding: 'utf8', stdio: 'pipe' }).trim();
  } catch {
    return 'unknown';
  }
}
