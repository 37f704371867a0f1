/** What only Holdfast has: memory of held sessions, binding anew, sessions that come and go. At the wire level. */
import { setTimeout } from 'node:timers/promises';
import type { Program } from '../../fixtures/lab/program.js';
import { node } from '../../fixtures/lab/world.js';
import { shimContract } from '../../shim/control/contract.js';
import { callControl } from '../../shim/control/rpc-client.js';
import { type Growth, growthOf, type Sample as MemorySample } from '../soak/resident.js';
import { type Path, type PathName, Stand } from './paths.js';
import { median, rounded } from './statistics.js';
import { usageOf } from './usage.js';
import { programs, startDatabase } from './wire.js';

export type Say = (text: string) => void;

export interface MemoryResult {
  readonly path: PathName;
  readonly sessions: number;
  /** Resident KiB a session: with the link up, and while they are held. */
  readonly bound: Readonly<Record<string, number>>;
  readonly held: Readonly<Record<string, number>>;
  /** Resident MiB of the processes: before the first session, and while all are held. */
  readonly emptyMiB: Readonly<Record<string, number>>;
  readonly heldMiB: Readonly<Record<string, number>>;
}

export interface RebindResult {
  readonly path: PathName;
  readonly sessions: number;
  /** Each from the beginning of the attach to the bind, with the answers or requests of all sessions under way. */
  readonly boundMs: readonly number[];
  readonly medianMs: number;
  /** Bytes that were sent again, of the last one. */
  readonly replayedBytes: { readonly up: number; readonly down: number };
  /** Of the same number of sessions: new ones with the bytes of a login and a database that does nothing. */
  readonly wireLoginsMs: number;
}

export interface ChurnResult {
  readonly path: PathName;
  readonly sessions: number;
  readonly seconds: number;
  readonly sessionsPerSecond: number;
  readonly memory: Readonly<Record<string, Growth>>;
}

const controlMs = 30_000;
const startMsMax = 120_000;
/** Of sessions that come and go. */
const churnConnections = 64;
const sampleMs = 500;
const settleMs = 6_000;
/** All that was under way when a link went away has come to rest. */
const restMs = 300;

export async function measureMemory(path: PathName, sessions: number, say: Say): Promise<MemoryResult> {
  return withPath(path, async (stand, way) => {
    const empty = await settled(way);
    say(`${way.name}: ${sessions} sessions log in`);
    const drivers = await startDrivers(stand, way, sessions, 'idle');
    const bound = await settled(way);
    await control(way, 'detach');
    say(`${way.name}: ${sessions} sessions are held`);
    const held = await settled(way);
    await drivers.stop();
    const each = (bytes: readonly number[]) =>
      byRole(way, (index) => ((bytes[index] ?? 0) - (empty[index] ?? 0)) / sessions / 1_024);
    const all = (bytes: readonly number[]) => byRole(way, (index) => (bytes[index] ?? 0) / 1_048_576);
    return { path, sessions, bound: each(bound), held: each(held), emptyMiB: all(empty), heldMiB: all(held) };
  });
}

export async function measureRebind(
  path: PathName,
  sessions: number,
  repeats: number,
  say: Say,
): Promise<RebindResult> {
  return withPath(path, async (stand, way) => {
    say(`${way.name}: ${sessions} sessions log in`);
    const drivers = await startDrivers(stand, way, sessions, 'load');
    const boundMs: number[] = [];
    let replayedBytes = { up: 0, down: 0 };
    for (let count = 0; count < repeats; count += 1) {
      await setTimeout(restMs);
      await control(way, 'detach');
      await setTimeout(restMs);
      const attached = await callControl(shimContract, place(way), 'attach', {}, { timeoutMs: controlMs });
      if (attached.streams !== sessions) throw new Error(`${attached.streams} streams were bound, not ${sessions}`);
      boundMs.push(rounded(attached.elapsedMs));
      replayedBytes = attached.replayedBytes;
      say(`${way.name}: ${sessions} sessions bound again in ${rounded(attached.elapsedMs)} ms`);
    }
    await setTimeout(restMs);
    if (drivers.child.exitCode !== null) throw new Error(`a session was lost: ${drivers.stderr.trim()}`);
    await drivers.stop();
    const { loginMs } = loginsOf(drivers.stdout);
    return {
      path,
      sessions,
      boundMs,
      medianMs: rounded(median(boundMs)),
      replayedBytes,
      wireLoginsMs: rounded(loginMs),
    };
  });
}

export async function measureChurn(path: PathName, sessions: number, say: Say): Promise<ChurnResult> {
  return withPath(path, async (stand, way) => {
    const words = [way.port, 'churn', churnConnections, 'sessions', sessions].map(String);
    const drivers = stand.start('drivers', node(programs.generator, ...words));
    const samples = way.processes.map((): MemorySample[] => []);
    let isOver = false;
    void drivers.ended.then(() => {
      isOver = true;
    });
    const fromMs = performance.now();
    while (!isOver) {
      await setTimeout(sampleMs);
      for (const [index, { pid }] of way.processes.entries()) {
        samples[index]?.push({ atMs: performance.now() - fromMs, bytes: usageOf(pid).residentBytes });
      }
      say(`${way.name}: sessions come and go, ${rounded((performance.now() - fromMs) / 1_000)} s`);
    }
    const { code, stderr, stdout } = await drivers.ended;
    if (code !== 0) throw new Error(`sessions were lost: ${stderr.trim()}`);
    const done: { readonly seconds: number; readonly sessions: number } = JSON.parse(stdout);
    const memory = way.processes.map(({ role }, index) => [role, growthOf(samples[index] ?? [])] as const);
    return {
      path,
      sessions: done.sessions,
      seconds: rounded(done.seconds),
      sessionsPerSecond: rounded(done.sessions / done.seconds),
      memory: Object.fromEntries(memory),
    };
  });
}

async function withPath<T>(path: PathName, work: (stand: Stand, way: Path) => Promise<T>): Promise<T> {
  const stand = new Stand();
  try {
    const way = await stand.open(path, (await startDatabase(stand)).port);
    if ('missing' in way) throw new Error(way.missing);
    return await work(stand, way);
  } finally {
    await stand.close();
  }
}

async function startDrivers(stand: Stand, way: Path, sessions: number, what: 'idle' | 'load'): Promise<Program> {
  const words = [way.port, 'small', sessions, what].map(String);
  const drivers = stand.start('drivers', node(programs.generator, ...words));
  await drivers.printed(/loginMs/, startMsMax);
  return drivers;
}

function loginsOf(printed: string): { readonly loginMs: number } {
  return JSON.parse(printed);
}

/**
 * Resident bytes of each process once they have stopped falling: V8 gives back what it does not need some seconds after a process
 * has become idle, and what it keeps until then says nothing of sessions.
 */
async function settled({ processes }: Path): Promise<readonly number[]> {
  const now = () => processes.map(({ pid }) => usageOf(pid).residentBytes);
  let lowest = now();
  for (let leftMs = settleMs; leftMs > 0; leftMs -= sampleMs) {
    await setTimeout(sampleMs);
    lowest = now().map((bytes, index) => Math.min(bytes, lowest[index] ?? bytes));
  }
  return lowest;
}

function byRole({ processes }: Path, of: (index: number) => number): Readonly<Record<string, number>> {
  return Object.fromEntries(processes.map(({ role }, index) => [role, rounded(of(index))]));
}

function place({ name, shimControl }: Path): { readonly path: string } {
  if (shimControl === undefined) throw new Error(`${name} has no shim`);
  return { path: shimControl };
}

async function control(way: Path, verb: 'detach'): Promise<void> {
  await callControl(shimContract, place(way), verb, {}, { timeoutMs: controlMs });
}
