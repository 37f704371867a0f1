import t from 'tap';
import { goalsOf } from './goals.js';
import type { PathName } from './paths.js';
import { type Measured, type Point, rowsOf, type Sample } from './results.js';

const second: Point = { level: 'wire', load: 'small', connections: 256 };
const mebi = 1_048_576;

function sample(requests: number, ...cpuSeconds: readonly number[]): Sample {
  const usage = cpuSeconds.map((each, index) => ({ cpuSeconds: each, residentBytes: (index + 1) * 10 * mebi }));
  return { seconds: 2, requests, p50Us: 1e9 / requests, p99Us: 2e9 / requests, cpuSeconds: 1, usage };
}

function measured(name: PathName, samples: readonly Sample[], point = second): Measured {
  const roles = name.startsWith('haproxy') ? ['sidecar', 'central'] : ['shim', 'proxy'];
  const processes = roles.map((role, index) => ({ role, pid: index + 1 }));
  return { path: { name, port: 1, processes, shimControl: undefined }, point, samples };
}

const ours = measured('holdfast', [sample(60_000, 0.5, 0.3, 0.6), sample(90_000, 0.5, 0.3, 0.6)]);
const theirs = measured('haproxy-2', [sample(30_000, 0.5, 0.2, 0.2), sample(60_000, 0.5, 0.2, 0.2)]);

t.test('a row has the rate, and how many times that of others it is in the same round', async (t) => {
  const [row] = rowsOf([ours, theirs], () => 1_000);
  t.match(row, {
    path: 'holdfast',
    rounds: 2,
    requestsPerSecond: { median: 37_500, low: 30_000, high: 45_000 },
    times: { 'haproxy-2': 1.75 },
    mebibytesPerSecond: 35.8,
  });
});

t.test('processor time is told for a million requests: of those between, not of the ends', async (t) => {
  const [row] = rowsOf([measured('holdfast', [sample(60_000, 0.5, 0.3, 0.6)])], () => undefined);
  t.strictSame(row?.cpuByProcess, { shim: 5, proxy: 10 });
  t.equal(row?.cpuSecondsPerMillion, 15);
  t.strictSame(row?.residentMiB, { shim: 20, proxy: 30 });
  t.strictSame(row?.busy, { generator: 0.5, database: 0.25 });
  t.equal(row?.mebibytesPerSecond, undefined);
});

t.test('other points are not compared with', async (t) => {
  const elsewhere = measured('haproxy-2', theirs.samples, { ...second, connections: 16 });
  t.strictSame(rowsOf([ours, elsewhere], () => undefined)[0]?.times, {});
});

const nothing = { measured: [], compared: [], memory: [], rebind: [], churn: [], loginsMsPerThousand: undefined };
const goalOf = (findings: Parameters<typeof goalsOf>[0], name: RegExp) =>
  goalsOf(findings).find((goal) => name.test(goal.name));

t.test('a goal that was not measured is neither met nor missed', async (t) => {
  const goals = goalsOf(nothing);
  t.ok(goals.length >= 18);
  for (const { value, met } of goals) t.strictSame([value, met], [null, null]);
  t.equal(new Set(goals.map(({ name }) => name)).size, goals.length, 'names are different');
});

t.test('a goal is met or missed by the ratio of rounds', async (t) => {
  const speed = /requests.s, small calls, 256 connections, plain/;
  t.match(goalOf({ ...nothing, measured: [ours, theirs] }, speed), { value: 1.75, met: true, goal: '>= 1.5' });
  t.match(goalOf({ ...nothing, measured: [theirs, { ...ours, samples: theirs.samples }] }, speed), {
    value: 1,
    met: false,
  });
});

t.test('what differs by hundredths is a ratio of its own turns', async (t) => {
  const name = 'bytes/s, bulk to the database, journal on to off';
  const goal = (ratio: number) => goalOf({ ...nothing, compared: [{ name, ratio, turns: 4 }] }, new RegExp(name));
  t.match(goal(0.9), { value: 0.9, met: true });
  t.match(goal(0.899), { value: 0.899, met: false });
});

t.test('binding again is held against logins, memory against its session', async (t) => {
  const rebind = {
    path: 'holdfast',
    boundMs: [20],
    medianMs: 20,
    replayedBytes: { up: 0, down: 0 },
    wireLoginsMs: 1,
  } as const;
  const findings = { ...nothing, loginsMsPerThousand: 500, rebind: [{ ...rebind, sessions: 1_000 }] };
  t.match(goalOf(findings, /to that of 1,000 logins/), { value: 0.04, met: false });
  t.match(goalOf(findings, /ms until 1,000/), { value: 20, met: true });
  const none = { shim: 0, proxy: 0 };
  const memory = {
    path: 'holdfast',
    sessions: 10,
    bound: none,
    held: { shim: 8, proxy: 8.1 },
    emptyMiB: none,
    heldMiB: none,
  } as const;
  t.match(goalOf({ ...nothing, memory: [memory] }, /in the proxy for a held/), { value: 8.1, met: false });
  t.match(goalOf({ ...nothing, memory: [memory] }, /in the shim for a held/), { value: 8, met: true });
});
