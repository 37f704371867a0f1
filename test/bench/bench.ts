/** One run of the benchmark: what is measured, for how long, and the report of it. */
import { errorText } from '../../shim/program/errors.js';
import { loads } from './conversation.js';
import { type Compared, comparisons, goalsOf, hasGoal } from './goals.js';
import {
  type ChurnResult,
  type MemoryResult,
  measureChurn,
  measureMemory,
  measureRebind,
  type RebindResult,
  type Say,
} from './holdfast.js';
import { type Path, type PathName, Stand } from './paths.js';
import { describeMachine, type Report } from './report.js';
import { type Measured, type Point, rowsOf } from './results.js';
import { askSql, startFixture, timeLogins } from './sql.js';
import { rounded, sum } from './statistics.js';
import {
  askInTurns,
  askWire,
  measureRounds,
  openWays,
  type Pace,
  startDatabase,
  type Ways,
  warmPace,
  warmUp,
} from './wire.js';

export interface Plan {
  readonly mode: 'quick' | 'full';
  readonly paths: readonly PathName[];
  readonly wire: { readonly points: readonly Point[]; readonly pace: Pace };
  /** Of each side of each comparison. */
  readonly turns: number;
  readonly sql: { readonly paths: readonly PathName[]; readonly points: readonly Point[]; readonly pace: Pace };
  readonly memorySessions: number;
  readonly rebind: { readonly sessions: readonly number[]; readonly repeats: number };
  readonly churnSessions: number;
  readonly logins: number;
}

function points(level: Point['level'], load: Point['load'], ...connections: readonly number[]): Point[] {
  return connections.map((each) => ({ level, load, connections: each }));
}

/** The fixture takes most of the time there: these say all that there is to see in one short window each. */
const quickSqlPaths: ReadonlySet<PathName> = new Set(['direct', 'haproxy-2', 'holdfast', 'holdfast-tls']);

/** Everything that has a goal, in less than four minutes. */
export function quickPlan(paths: readonly PathName[]): Plan {
  return {
    mode: 'quick',
    paths,
    wire: {
      points: [
        ...points('wire', 'small', 1, 16, 256, 1_000),
        ...points('wire', 'fetch', 16),
        ...points('wire', 'bulkd', 16),
        ...points('wire', 'bulku', 16),
      ],
      pace: { warmMs: 300, measureMs: 500, roundsMax: 2, budgetMs: 140_000 },
    },
    turns: 12,
    sql: {
      paths: paths.filter((path) => quickSqlPaths.has(path)),
      points: [...points('sql', 'small', 1, 16), ...points('sql', 'fetch', 16)],
      pace: { warmMs: 300, measureMs: 600, roundsMax: 1, budgetMs: 30_000 },
    },
    memorySessions: 10_000,
    rebind: { sessions: [1_000, 10_000], repeats: 3 },
    churnSessions: 0,
    logins: 100,
  };
}

export function fullPlan(paths: readonly PathName[], rounds: number, measureMs: number): Plan {
  const pace = { warmMs: 500, measureMs, roundsMax: rounds, budgetMs: Number.POSITIVE_INFINITY };
  return {
    mode: 'full',
    paths,
    wire: {
      points: [
        ...points('wire', 'small', 1, 16, 64, 256, 1_000),
        ...points('wire', 'fetch', 1, 16, 64, 256),
        ...points('wire', 'bulkd', 1, 16, 64),
        ...points('wire', 'bulku', 1, 16, 64),
      ],
      pace,
    },
    turns: 60,
    sql: { paths, points: [...points('sql', 'small', 1, 16, 64), ...points('sql', 'fetch', 1, 16)], pace },
    memorySessions: 10_000,
    rebind: { sessions: [1_000, 10_000], repeats: 5 },
    churnSessions: 50_000,
    logins: 1_000,
  };
}

export async function runPlan(plan: Plan, say: Say): Promise<Report> {
  const beganMs = performance.now();
  const at = new Date().toISOString();
  const machine = describeMachine(await haproxyVersion());
  const wire = await measureWire(plan, say);
  const sql = await measureSql(plan, say);
  const held = await measureHolds(plan, say);
  const measured = [...wire.measured, ...sql.measured];
  const msPerThousand = sql.loginsMsPerThousand;
  const { compared } = wire;
  const findings = { measured, compared, ...held, loginsMsPerThousand: msPerThousand };
  return {
    at,
    mode: plan.mode,
    tookSeconds: Math.round((performance.now() - beganMs) / 1_000),
    machine,
    missing: wire.missing,
    rows: rowsOf(measured, ({ level, load }) =>
      level === 'wire' ? loads[load].requestBytes + loads[load].answerBytes : undefined,
    ),
    compared,
    ...held,
    logins: { count: plan.logins, msPerThousand },
    goals: goalsOf(findings),
  };
}

/** What fails is told in the report, and the rest is measured all the same. */
async function measureHolds(plan: Plan, say: Say): Promise<Pick<Report, 'memory' | 'rebind' | 'churn' | 'failures'>> {
  const memory: MemoryResult[] = [];
  const rebind: RebindResult[] = [];
  const churn: ChurnResult[] = [];
  const failures: { what: string; reason: string }[] = [];
  const attempt = async <T>(what: string, into: T[], measure: () => Promise<T>): Promise<void> => {
    try {
      into.push(await measure());
    } catch (error) {
      failures.push({ what, reason: errorText(error).trim() });
    }
  };
  if (plan.paths.includes('holdfast')) {
    const { memorySessions, rebind: again, churnSessions } = plan;
    await attempt(`memory of ${memorySessions} sessions`, memory, () => measureMemory('holdfast', memorySessions, say));
    for (const each of again.sessions) {
      const measure = () => measureRebind('holdfast', each, again.repeats, say);
      await attempt(`binding ${each} sessions again`, rebind, measure);
    }
    if (churnSessions > 0) {
      await attempt(`${churnSessions} sessions that come and go`, churn, () =>
        measureChurn('holdfast', churnSessions, say),
      );
    }
  }
  return { memory, rebind, churn, failures };
}

async function haproxyVersion(): Promise<string> {
  const stand = new Stand();
  try {
    const found = await stand.haproxy();
    return found.kind === 'found' ? found.version : 'none';
  } finally {
    await stand.close();
  }
}

const everything = (): boolean => true;
/** Where time is short, what has no goal is measured once. */
const goalsAgain = (path: Path, point: Point, round: number): boolean => round === 0 || hasGoal(path, point);

async function measureWire(
  { mode, paths, wire, turns }: Plan,
  say: Say,
): Promise<Ways & { readonly measured: readonly Measured[]; readonly compared: readonly Compared[] }> {
  const stand = new Stand();
  try {
    const database = await startDatabase(stand);
    const ways = await openWays(stand, paths, database.port);
    const ask = askWire(stand, database.pid, wire.pace);
    await warmUp(ways.open, askWire(stand, database.pid, warmPace), 'wire', say);
    const isMeasured = mode === 'quick' ? goalsAgain : everything;
    const measured = await measureRounds(ways.open, wire.points, isMeasured, wire.pace, ask, say);
    return { ...ways, measured, compared: await compare(stand, ways.open, turns, say) };
  } finally {
    await stand.close();
  }
}

/** Short, since a machine may become faster and slower within a second. */
const turnMs = 250;

async function compare(stand: Stand, ways: readonly Path[], turns: number, say: Say): Promise<readonly Compared[]> {
  const found: Compared[] = [];
  for (const { name, one, other, connections } of comparisons) {
    const [first, second] = [one, other].map(({ path }) => ways.find((way) => way.name === path)?.port);
    if (first === undefined || second === undefined) continue;
    say(`in turns: ${name}`);
    const both = { one: { ...one, port: first }, other: { ...other, port: second } };
    const rates = await askInTurns(stand, { ...both, connections, turnMs, turns });
    found.push({ name, ratio: rounded(sum(rates.one) / sum(rates.other)), turns });
  }
  return found;
}

async function measureSql(
  { sql, logins }: Plan,
  say: Say,
): Promise<{ readonly measured: readonly Measured[]; readonly loginsMsPerThousand: number }> {
  const stand = new Stand();
  try {
    const fixture = await startFixture(stand);
    say(`${logins} logins of the real driver`);
    const loginsMsPerThousand = rounded(((await timeLogins(stand, fixture.port, logins)) / logins) * 1_000);
    const ways = await openWays(stand, sql.paths, fixture.port);
    const ask = askSql(stand, fixture.pid, sql.pace);
    await warmUp(ways.open, askSql(stand, fixture.pid, warmPace), 'sql', say);
    const measured = await measureRounds(ways.open, sql.points, everything, sql.pace, ask, say);
    return { measured, loginsMsPerThousand };
  } finally {
    await stand.close();
  }
}
