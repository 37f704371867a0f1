import { loadavg } from 'node:os';
import { setTimeout } from 'node:timers/promises';
import { account, node, openWorld, type World } from '../../fixtures/lab/world.js';
import type { Column } from '../../migrate/output.js';
import { type MoveRecord, roundMs } from '../../migrate/record.js';
import { median } from '../bench/statistics.js';

const application = new URL('../../fixtures/apps/many.js', import.meta.url).pathname;
const name = 'many';
/** Each is a process of PostgreSQL. */
const transactionsMax = 20;
/** The first moves compile what the later ones run. */
const warmUps = 2;
const pollMs = 100;

/** What we promise, at the median, up to so many sessions. */
const goals = [
  { sessions: 1, ms: 10 },
  { sessions: 1_000, ms: 50 },
] as const;

interface Spread {
  readonly p50: number;
  readonly p95: number;
  readonly max: number;
}

/** Milliseconds. */
export interface Row {
  readonly sessions: number;
  readonly moves: number;
  readonly detach: Spread;
  readonly bind: Spread;
  /** Both. */
  readonly own: Spread;
  /** As the record has it: what lies between the phases too. */
  readonly blackout: Spread;
  /** The median of `own` may not be above it; absent for more sessions than are spoken of. */
  readonly goalMs: number | undefined;
  /** Of the machine, when it was over. */
  readonly load: number;
}

export interface MeasureOptions {
  readonly sessions: number;
  readonly moves: number;
  readonly waitMs: number;
  readonly say: (text: string) => void;
}

export function isFast({ own, goalMs }: Row): boolean {
  return goalMs === undefined || own.p50 <= goalMs;
}

export async function measure(options: MeasureOptions): Promise<Row> {
  const world = await openWorld({ mover: 'relink' });
  try {
    await start(world, options);
    const records: MoveRecord[] = [];
    for (let move = 0; move < warmUps + options.moves; move += 1) {
      const record = await moveOnce(world, move % 2 === 0 ? 'node-b' : 'node-a', options.sessions);
      if (move >= warmUps) records.push(record);
    }
    const blackouts = records.map(({ blackoutMs }) => blackoutMs);
    return {
      ...{ sessions: options.sessions, moves: records.length },
      detach: spread(blackouts.map(({ detach }) => detach)),
      bind: spread(blackouts.map(({ bind }) => bind)),
      own: spread(blackouts.map(({ detach, bind }) => detach + bind)),
      blackout: spread(blackouts.map(({ total }) => total)),
      goalMs: goals.find(({ sessions }) => options.sessions <= sessions)?.ms,
      load: roundMs(loadavg()[0] ?? 0),
    };
  } finally {
    await world.close();
  }
}

async function start(world: World, { sessions, waitMs, say }: MeasureOptions): Promise<void> {
  const login = [`${world.shimAddress}/${account.service}`, account.user, account.password];
  const transactions = Math.min(sessions, transactionsMax);
  const { file, args } = node(application, ...login, String(sessions), String(transactions));
  say(`${sessions} sessions log in, ${transactions} of them begin a transaction`);
  const words = ['--name', name, '--listen', world.shimAddress, '--', file, ...args];
  const { code, stderr } = await world.holdfast('run', ...words);
  if (code !== 0) throw new Error(stderr);
  const deadlineMs = performance.now() + waitMs;
  while (!world.output(name).includes('ready')) {
    if (performance.now() > deadlineMs) throw new Error(`it is not ready within ${waitMs} ms: ${world.output(name)}`);
    await setTimeout(pollMs);
  }
}

async function moveOnce(world: World, to: string, sessions: number): Promise<MoveRecord> {
  const { stdout, stderr } = await world.holdfast('move', name, '--to', to, '--mover', 'relink', '--json');
  if (stdout === '') throw new Error(stderr);
  const record: MoveRecord = JSON.parse(stdout);
  const same = record.sessions.filter((session) => session.same).length;
  if (record.outcome === 'moved' && same === sessions && record.warnings.length === 0) return record;
  const why = [...record.warnings, record.error].map((each) => each?.message).join('; ');
  throw new Error(`a move is ${record.outcome}, with ${same} of ${sessions} sessions: ${why}`);
}

function spread(values: readonly number[]): Spread {
  const sorted = values.toSorted((one, other) => one - other);
  const p95 = sorted[Math.ceil(sorted.length * 0.95) - 1] ?? Number.NaN;
  return { p50: roundMs(median(values)), p95: roundMs(p95), max: roundMs(Math.max(...values)) };
}

const number = (value: number | undefined) => value?.toFixed(1);

export const columns: readonly Column<Row>[] = [
  { head: 'sessions', cell: ({ sessions }) => sessions, align: 'right' },
  { head: 'moves', cell: ({ moves }) => moves, align: 'right' },
  { head: 'detach p50', cell: ({ detach }) => number(detach.p50), align: 'right' },
  { head: 'bind p50', cell: ({ bind }) => number(bind.p50), align: 'right' },
  { head: 'own p50', cell: ({ own }) => number(own.p50), align: 'right' },
  { head: 'p95', cell: ({ own }) => number(own.p95), align: 'right' },
  { head: 'max', cell: ({ own }) => number(own.max), align: 'right' },
  { head: 'blackout p50', cell: ({ blackout }) => number(blackout.p50), align: 'right' },
  { head: 'goal', cell: ({ goalMs }) => goalMs, align: 'right' },
  { head: 'met', cell: (row) => (isFast(row) ? 'yes' : 'NO') },
  { head: 'load', cell: ({ load }) => number(load), align: 'right' },
];
