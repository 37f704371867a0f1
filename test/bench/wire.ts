import { performance } from 'node:perf_hooks';
import { freePort } from '../../fixtures/lab/ports.js';
import { node } from '../../fixtures/lab/world.js';
import type { LoadName } from './conversation.js';
import type { Path, PathName, Stand } from './paths.js';
import type { Measured, Point, Sample, Turns } from './results.js';

/** How long and how often. */
export interface Pace {
  readonly warmMs: number;
  readonly measureMs: number;
  readonly roundsMax: number;
  /** No round is begun that would end later than so much after the first began. */
  readonly budgetMs: number;
}

/** Asks one point of one way. */
export type Ask = (path: Path, point: Point) => Promise<Sample>;

export interface Ways {
  readonly open: readonly Path[];
  readonly missing: readonly { readonly path: PathName; readonly reason: string }[];
}

export const programs = {
  database: new URL('./database.js', import.meta.url).pathname,
  generator: new URL('./generator.js', import.meta.url).pathname,
} as const;

/** Starts the database of the wire level. */
export async function startDatabase(stand: Stand): Promise<{ readonly port: number; readonly pid: number }> {
  const port = await freePort('127.0.0.1');
  const database = stand.start('database', node(programs.database, String(port)));
  await database.printed(/ready for drivers/);
  return { port, pid: database.child.pid ?? 0 };
}

export async function openWays(stand: Stand, names: readonly PathName[], databasePort: number): Promise<Ways> {
  const open: Path[] = [];
  const missing: { path: PathName; reason: string }[] = [];
  for (const name of names) {
    const way = await stand.open(name, databasePort);
    if ('missing' in way) missing.push({ path: name, reason: way.missing });
    else open.push(way);
  }
  return { open, missing };
}

/** Has one process of its own make the load, which is gone afterwards. */
export function askWire(stand: Stand, databasePid: number, { warmMs, measureMs }: Pace): Ask {
  return async ({ port, processes }, { load, connections }) => {
    const pids = [databasePid, ...processes.map(({ pid }) => pid)].join(',');
    const words = [port, load, connections, warmMs, measureMs, pids].map(String);
    return askProgram(stand, programs.generator, words);
  };
}

/** Two ways with the same number of connections, from one process. */
export interface Against {
  readonly one: { readonly port: number; readonly load: LoadName };
  readonly other: { readonly port: number; readonly load: LoadName };
  readonly connections: number;
  readonly turnMs: number;
  readonly turns: number;
}

export async function askInTurns(stand: Stand, { one, other, connections, turnMs, turns }: Against): Promise<Turns> {
  const words = [one.port, one.load, connections, 'against', other.port, other.load, turnMs, turns].map(String);
  return askProgram(stand, programs.generator, words);
}

export async function askProgram<T = Sample>(stand: Stand, program: string, words: readonly string[]): Promise<T> {
  const { code, stdout, stderr } = await stand.start('generator', node(program, ...words)).ended;
  if (code !== 0) throw new Error(`${program} ${words.join(' ')}: ${stderr.trim()}`);
  return JSON.parse(stdout);
}

/** Of the windows over each way before anything counts. */
export const warmPace: Pace = { warmMs: 0, measureMs: 1_000, roundsMax: 1, budgetMs: 0 };

/** All ways have the first one; a runtime has to have seen each kind of load, and as many connections as it will see. */
const warmLoads = [
  { load: 'small', connections: 16 },
  { load: 'small', connections: 1_000 },
  { load: 'bulkd', connections: 16 },
  { load: 'bulku', connections: 16 },
] as const;

/**
 * Programs that have just been started are not what is measured: a runtime compiles what it does often, a proxy makes memory that
 * it keeps. With one connection Holdfast was measured at a quarter of its pace without this, bulk at two thirds after the first
 * window alone.
 */
export async function warmUp(ways: readonly Path[], ask: Ask, level: Point['level'], say: (text: string) => void) {
  for (const way of ways) {
    say(`warming up, ${level}: ${way.name}`);
    const isCompiled = way.shimControl === undefined;
    for (const each of isCompiled || level === 'sql' ? warmLoads.slice(0, 1) : warmLoads) {
      await ask(way, { level, ...each });
    }
  }
}

/** Interleaved: each round has each point once over each way, every other round in the opposite order of ways. */
export async function measureRounds(
  ways: readonly Path[],
  points: readonly Point[],
  isMeasured: (path: Path, point: Point, round: number) => boolean,
  pace: Pace,
  ask: Ask,
  say: (text: string) => void,
): Promise<Measured[]> {
  const pairs = points.flatMap((point) =>
    ways.filter((path) => isMeasured(path, point, 0)).map((path) => ({ path, point })),
  );
  const samples = new Map(pairs.map((pair) => [pair, [] as Sample[]]));
  const beganMs = performance.now();
  for (let round = 0, roundMs = 0; round < pace.roundsMax; round += 1) {
    const roundBeganMs = performance.now();
    if (round > 0 && roundBeganMs - beganMs + roundMs > pace.budgetMs) break;
    for (const point of points) {
      say(`round ${round + 1}: ${point.level}, ${point.load}, ${point.connections} connections`);
      const here = pairs.filter((pair) => pair.point === point && isMeasured(pair.path, point, round));
      for (const pair of round % 2 === 0 ? here : here.toReversed()) {
        samples.get(pair)?.push(await ask(pair.path, pair.point));
      }
    }
    roundMs = performance.now() - roundBeganMs;
  }
  return pairs.map((pair) => ({ ...pair, samples: samples.get(pair) ?? [] }));
}

export function wirePoints(load: LoadName, connections: readonly number[]): Point[] {
  return connections.map((each) => ({ level: 'wire', load, connections: each }));
}
