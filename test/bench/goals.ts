/** What the benchmark is held against: each a ratio, or a quantity, of one run. */

import type { LoadName } from './conversation.js';
import type { ChurnResult, MemoryResult, RebindResult } from './holdfast.js';
import type { Path, PathName } from './paths.js';
import { type Measured, type Point, requestsPerSecond, type Sample } from './results.js';
import { pairedRatio, rounded } from './statistics.js';

export interface Goal {
  readonly name: string;
  /** Null: not measured in this run. */
  readonly value: number | null;
  readonly goal: string;
  readonly met: boolean | null;
}

/** All that a run has found out. */
export interface Findings {
  readonly measured: readonly Measured[];
  readonly compared: readonly Compared[];
  readonly memory: readonly MemoryResult[];
  readonly rebind: readonly RebindResult[];
  readonly churn: readonly ChurnResult[];
  /** What a thousand logins of the real driver take. */
  readonly loginsMsPerThousand: number | undefined;
}

const plain = ['holdfast', 'haproxy-2'] as const;
const apart = ['holdfast', 'haproxy-2-apart'] as const;
const tls = ['holdfast-tls', 'haproxy-2-tls'] as const;

/** Two ways, or loads, that differ by a few hundredths: measured by themselves, in short turns. */
export interface Comparison {
  readonly name: string;
  /** Least of one to the other. */
  readonly least: number;
  readonly one: { readonly path: PathName; readonly load: LoadName };
  readonly other: { readonly path: PathName; readonly load: LoadName };
  readonly connections: number;
}

function journalOnToOff(name: string, load: LoadName, connections: number): Comparison {
  return {
    name,
    least: 0.9,
    one: { path: 'holdfast', load },
    other: { path: 'holdfast-no-journal', load },
    connections,
  };
}

export const comparisons: readonly Comparison[] = [
  {
    name: 'requests/s, 256 connections, tracked to untracked',
    least: 0.95,
    one: { path: 'holdfast', load: 'small' },
    // Sessions that encrypt from end to end are carried unseen: the same bytes without the tracker.
    other: { path: 'holdfast', load: 'blind' },
    connections: 256,
  },
  journalOnToOff('requests/s, 256 connections, journal on to off', 'small', 256),
  journalOnToOff('bytes/s, bulk to the driver, journal on to off', 'bulkd', 16),
  journalOnToOff('bytes/s, bulk to the database, journal on to off', 'bulku', 16),
];

/** What a comparison has found. */
export interface Compared {
  readonly name: string;
  /** Of the calls of all turns. */
  readonly ratio: number;
  /** Of each. */
  readonly turns: number;
}

/** What other goals look at, of the wire level. */
const lookedAt: Readonly<Record<string, readonly PathName[]>> = {
  'small 1': plain,
  'small 16': [...plain, 'holdfast-tls'],
  'small 256': [...plain, ...apart, ...tls],
  'small 1000': [...plain, ...tls],
  'bulkd 16': [...plain, ...tls],
  'bulku 16': [...plain, ...tls],
};

/** Where time is short, once is enough for the others. */
export function hasGoal({ name }: Path, { load, connections }: Point): boolean {
  return lookedAt[`${load} ${connections}`]?.includes(name) ?? false;
}

const kibPerSessionMax = 8;
const sessionsOfMemoryGoal = 10_000;

export function goalsOf(findings: Findings): Goal[] {
  const compared = comparisons.map(({ name, least }) =>
    atLeast(least, name, findings.compared.find((each) => each.name === name)?.ratio),
  );
  return [...speedGoals(findings.measured), ...compared, ...holdGoals(findings)];
}

function speedGoals(measured: readonly Measured[]): Goal[] {
  const ratio = (load: LoadName, connections: number, metric: Metric, of: PathName, to: PathName) =>
    pairedRatio(seriesOf(measured, of, load, connections, metric), seriesOf(measured, to, load, connections, metric));
  const rate = requestsPerSecond;
  return [
    atLeast(1.5, 'requests/s, small calls, 256 connections, plain, to HAProxy', ratio('small', 256, rate, ...plain)),
    atLeast(
      1.5,
      'requests/s, small calls, 256 connections, plain, to HAProxy in two processes',
      ratio('small', 256, rate, ...apart),
    ),
    atLeast(1.2, 'requests/s, small calls, 256 connections, TLS, to HAProxy', ratio('small', 256, rate, ...tls)),
    atLeast(
      1.5,
      'requests/s, small calls, 1,000 connections, plain, to HAProxy',
      ratio('small', 1_000, rate, ...plain),
    ),
    atLeast(1.2, 'requests/s, small calls, 1,000 connections, TLS, to HAProxy', ratio('small', 1_000, rate, ...tls)),
    atMost(
      1.15,
      'median round trip, 1 connection, plain, to HAProxy',
      ratio('small', 1, ({ p50Us }) => p50Us, ...plain),
    ),
    atMost(
      1.3,
      'p99 round trip, 16 connections, plain, to HAProxy',
      ratio('small', 16, ({ p99Us }) => p99Us, ...plain),
    ),
    atLeast(0.8, 'bytes/s, bulk to the driver, plain, to HAProxy', ratio('bulkd', 16, rate, ...plain)),
    atLeast(0.8, 'bytes/s, bulk to the database, plain, to HAProxy', ratio('bulku', 16, rate, ...plain)),
    atLeast(0.8, 'bytes/s, bulk to the driver, TLS, to HAProxy', ratio('bulkd', 16, rate, ...tls)),
    atLeast(0.8, 'bytes/s, bulk to the database, TLS, to HAProxy', ratio('bulku', 16, rate, ...tls)),
    atMost(1.2, 'CPU per request, plain, 1,000 connections to 16', growthRatio(measured, 'holdfast')),
    atMost(1.2, 'CPU per request, TLS, 1,000 connections to 16', growthRatio(measured, 'holdfast-tls')),
  ];
}

function holdGoals({ memory, rebind, churn, loginsMsPerThousand }: Findings): Goal[] {
  const ofMemory = (role: string) => memory.find(({ path }) => path === 'holdfast')?.held[role];
  const sessions = memory.find(({ path }) => path === 'holdfast')?.sessions ?? sessionsOfMemoryGoal;
  const ofRebind = (count: number) => rebind.find((one) => one.sessions === count)?.medianMs;
  const thousand = ofRebind(1_000);
  const toLogins =
    thousand === undefined || loginsMsPerThousand === undefined ? undefined : rounded(thousand / loginsMsPerThousand);
  const flat = churn.flatMap((one) => Object.values(one.memory).map(({ isFlat }) => isFlat));
  const isFlat =
    flat.length === 0 || flat.includes(undefined) ? undefined : Number(flat.every((each) => each === true));
  return [
    atMost(kibPerSessionMax, `KiB in the proxy for a held session, ${sessions} sessions`, ofMemory('proxy')),
    atMost(kibPerSessionMax, `KiB in the shim for a held session, ${sessions} sessions`, ofMemory('shim')),
    atMost(50, 'ms until 1,000 sessions are bound again', thousand),
    atMost(0.02, 'time until 1,000 sessions are bound again, to that of 1,000 logins', toLogins),
    atMost(500, 'ms until 10,000 sessions are bound again', ofRebind(10_000)),
    atLeast(1, 'memory flat while sessions come and go (1 is yes)', isFlat),
  ];
}

type Metric = (sample: Sample) => number;

function seriesOf(
  measured: readonly Measured[],
  path: PathName,
  load: LoadName,
  connections: number,
  metric: Metric,
): readonly number[] {
  const found = measured.find(
    (one) =>
      one.path.name === path &&
      one.point.level === 'wire' &&
      one.point.load === load &&
      one.point.connections === connections,
  );
  return (found?.samples ?? []).map(metric);
}

function growthRatio(measured: readonly Measured[], path: PathName): number | undefined {
  const perRequest = ({ usage, requests }: Sample) =>
    usage.slice(1).reduce((total, { cpuSeconds }) => total + cpuSeconds, 0) / requests;
  const many = seriesOf(measured, path, 'small', 1_000, perRequest);
  return pairedRatio(many, seriesOf(measured, path, 'small', 16, perRequest));
}

function atLeast(least: number, name: string, value: number | undefined): Goal {
  return { name, value: value ?? null, goal: `>= ${least}`, met: value === undefined ? null : value >= least };
}

function atMost(most: number, name: string, value: number | undefined): Goal {
  return { name, value: value ?? null, goal: `<= ${most}`, met: value === undefined ? null : value <= most };
}
