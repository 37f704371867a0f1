/** What the benchmark finds out, as it stands in its JSON, and how it follows from what was measured. */
import type { LoadName } from './conversation.js';
import type { Path, PathName } from './paths.js';
import { median, pairedRatio, rounded, type Spread, spread, sum } from './statistics.js';
import type { Usage } from './usage.js';

export type Level = 'wire' | 'sql';

/** The same load over some way: the unit that is measured in each round. */
export interface Point {
  readonly level: Level;
  readonly load: LoadName;
  readonly connections: number;
}

/** Calls a second of two sides, turn by turn. */
export interface Turns {
  readonly one: readonly number[];
  readonly other: readonly number[];
}

/** One window of one round. */
export interface Sample {
  readonly seconds: number;
  readonly requests: number;
  readonly p50Us: number;
  readonly p99Us: number;
  /** Of the load generator. */
  readonly cpuSeconds: number;
  /** Of the database, then of what is between, in the order of Path.processes. */
  readonly usage: readonly Usage[];
}

/** All rounds of one point over one way. */
export interface Measured {
  readonly path: Path;
  readonly point: Point;
  readonly samples: readonly Sample[];
}

export interface Row extends Point {
  readonly path: PathName;
  readonly rounds: number;
  readonly requestsPerSecond: Spread;
  readonly p50Us: Spread;
  readonly p99Us: Spread;
  /** Both directions, as the driver counts bytes; at the SQL level not known. */
  readonly mebibytesPerSecond: number | undefined;
  /** Of what is between driver and database, together and each: processor seconds for a million requests. */
  readonly cpuSecondsPerMillion: number;
  readonly cpuByProcess: Readonly<Record<string, number>>;
  /** The same processes at the end of the window, with all that they had kept of earlier points. */
  readonly residentMiB: Readonly<Record<string, number>>;
  /** How busy the two ends were, in processors: below one, and they are not what was measured. */
  readonly busy: { readonly generator: number; readonly database: number };
  /** Requests per second, as many times as those of the other way, round by round. */
  readonly times: Readonly<Partial<Record<PathName, number>>>;
}

/** @param bytesOf what a request and its answer have together */
export function rowsOf(all: readonly Measured[], bytesOf: (point: Point) => number | undefined): Row[] {
  return all.map((one) => {
    const others = all.filter((other) => isSamePoint(one.point, other.point) && other !== one);
    return rowOf(one, others, bytesOf(one.point));
  });
}

export function isSamePoint(one: Point, other: Point): boolean {
  return one.level === other.level && one.load === other.load && one.connections === other.connections;
}

function rowOf({ path, point, samples }: Measured, others: readonly Measured[], bytes: number | undefined): Row {
  const rate = spread(samples.map(requestsPerSecond));
  const between = path.processes.map(({ role }, index) => [role, index + 1] as const);
  const cpuOf = (index: number) =>
    rounded(median(samples.map(({ usage, requests }) => ((usage[index]?.cpuSeconds ?? 0) / requests) * 1e6)));
  const residentOf = (index: number) =>
    rounded(median(samples.map(({ usage }) => (usage[index]?.residentBytes ?? 0) / 1_048_576)));
  const rates = samples.map(requestsPerSecond);
  const times = others.map((other) => [other.path.name, pairedRatio(rates, other.samples.map(requestsPerSecond))]);
  return {
    ...point,
    path: path.name,
    rounds: samples.length,
    requestsPerSecond: rate,
    p50Us: spread(samples.map(({ p50Us }) => p50Us)),
    p99Us: spread(samples.map(({ p99Us }) => p99Us)),
    mebibytesPerSecond: bytes === undefined ? undefined : rounded((rate.median * bytes) / 1_048_576),
    cpuSecondsPerMillion: rounded(sum(between.map(([, index]) => cpuOf(index)))),
    cpuByProcess: Object.fromEntries(between.map(([role, index]) => [role, cpuOf(index)])),
    residentMiB: Object.fromEntries(between.map(([role, index]) => [role, residentOf(index)])),
    busy: {
      generator: rounded(median(samples.map(({ cpuSeconds, seconds }) => cpuSeconds / seconds))),
      database: rounded(median(samples.map(({ usage, seconds }) => (usage[0]?.cpuSeconds ?? 0) / seconds))),
    },
    times: Object.fromEntries(times.filter(([, ratio]) => ratio !== undefined)),
  };
}

export function requestsPerSecond({ requests, seconds }: Sample): number {
  return requests / seconds;
}
