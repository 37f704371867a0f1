/** Where shim and proxy spend their processor time under a load, by V8's own profiler. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import type { Say } from './holdfast.js';
import { type PathName, Stand } from './paths.js';
import type { Point } from './results.js';
import { rounded, sum } from './statistics.js';
import { askWire, startDatabase } from './wire.js';

/** What is used of a file that `node --cpu-prof` writes. */
export interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  }[];
  /** Which node was running, and microseconds since the sample before. */
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

export interface Hot {
  /** Function, file and line; system calls stand under the function of the runtime that makes them (`writev`). */
  readonly where: string;
  /** Of the time in which the process was not idle, without what it called. */
  readonly percent: number;
}

export interface ProfileResult {
  readonly path: PathName;
  readonly point: Point;
  readonly requestsPerSecond: number;
  readonly processes: readonly { readonly role: string; readonly busySeconds: number; readonly hot: readonly Hot[] }[];
}

const hotMax = 25;
const warmMs = 1_000;
const measureMs = 5_000;

export async function measureProfile(path: PathName, point: Point, say: Say): Promise<ProfileResult> {
  const directory = mkdtempSync(join(tmpdir(), 'hf-profile-'));
  const roles: string[] = [];
  const flags = (role: string): readonly string[] => {
    roles.push(role);
    return ['--cpu-prof', `--cpu-prof-dir=${join(directory, role)}`];
  };
  const stand = new Stand(flags);
  try {
    const database = await startDatabase(stand);
    const way = await stand.open(path, database.port);
    if ('missing' in way) throw new Error(way.missing);
    say(`${path}: ${point.load}, ${point.connections} connections`);
    const pace = { warmMs, measureMs, roundsMax: 1, budgetMs: 0 };
    const { requests, seconds } = await askWire(stand, database.pid, pace)(way, point);
    await stand.stop();
    const processes = roles.map((role) => ({ role, ...hottest(profilesIn(join(directory, role))) }));
    return { path, point, requestsPerSecond: rounded(requests / seconds), processes };
  } finally {
    await stand.close();
    rmSync(directory, { recursive: true });
  }
}

/** A process may have had children: each has written a file. */
function profilesIn(directory: string): readonly CpuProfile[] {
  return readdirSync(directory).map((file): CpuProfile => JSON.parse(readFileSync(join(directory, file), 'utf8')));
}

/** The functions that took most, over all profiles. */
export function hottest(profiles: readonly CpuProfile[]): {
  readonly busySeconds: number;
  readonly hot: readonly Hot[];
} {
  const microseconds = new Map<string, number>();
  for (const { nodes, samples, timeDeltas } of profiles) {
    const frames = new Map(nodes.map(({ id, callFrame }) => [id, callFrame]));
    for (const [index, id] of samples.entries()) {
      const frame = frames.get(id);
      if (frame === undefined || frame.functionName === '(idle)') continue;
      const where = nameOf(frame);
      microseconds.set(where, (microseconds.get(where) ?? 0) + (timeDeltas[index] ?? 0));
    }
  }
  const busy = sum([...microseconds.values()]);
  const sorted = [...microseconds].sort(([, one], [, other]) => other - one).slice(0, hotMax);
  const hot = sorted.map(([where, each]) => ({ where, percent: rounded((each / busy) * 100) }));
  return { busySeconds: rounded(busy / 1e6), hot };
}

function nameOf({ functionName, url, lineNumber }: CpuProfile['nodes'][number]['callFrame']): string {
  const name = functionName === '' ? '(anonymous)' : functionName;
  return url === '' ? name : `${name} ${basename(url)}:${lineNumber + 1}`;
}
