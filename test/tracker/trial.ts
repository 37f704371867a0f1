/**
 * One trial: a random program on the real driver, through a session of the proxy on real sockets, to a server of one
 * personality over PostgreSQL. After every call the tracker must say of the transaction what the driver says, and that no
 * call is in flight.
 */
import oracledb from 'oracledb';
import type { Database } from '../../fixtures/oracle/database.js';
import { startOracleServer } from '../../fixtures/oracle/server.js';
import type { Personality } from '../../fixtures/oracle/wire/personality.js';
import type { SessionTrack } from '../../proxy/track/view.js';
import { Random } from '../../shim/program/random.js';
import type { TpcConnection } from '../fixtures/oracle/tpc.js';
import { type Pipe, pipe } from '../proxy/backend/pipe.js';
import { actions, draw, type Stage } from './actions.js';

export interface Disagreement {
  /** `--seed` of a run that shows it again. */
  readonly seed: number;
  readonly call: number;
  /** The last actions before it and how they ended, oldest first. */
  readonly trail: readonly string[];
  readonly driver: 'open' | 'none';
  readonly tracker: Pick<SessionTrack, 'transaction' | 'movability'> & { readonly inFlight: number };
}

export interface Trial {
  readonly seed: number;
  readonly calls: number;
  /** Transactions that were opened. */
  readonly transactions: number;
  /** Errors by number, as the driver writes them. */
  readonly errors: Readonly<Record<string, number>>;
  /** How each action ended, by name: `ok` and numbers of errors. */
  readonly answers: ReadonlyMap<string, ReadonlySet<string>>;
  readonly disagreements: readonly Disagreement[];
}

export interface TrialOptions {
  readonly database: Database;
  readonly personality: Personality;
  readonly seed: number;
  readonly calls: number;
  /** What is held against the driver: the tracker's view, unless a test breaks it on the way. */
  readonly look?: (track: SessionTrack) => SessionTrack;
  readonly onCall?: () => void;
  /** Sessions come from a pool of the database (DRCP). */
  readonly pooled?: boolean;
}

const trailLength = 6;
let tables = 0;
const disagreementsMax = 3;
const user = { user: 'scott', password: 'tiger' };

export async function runTrial(options: TrialOptions): Promise<Trial> {
  const undo: (() => unknown)[] = [];
  const scope = { teardown: (action: () => unknown) => void undo.push(action) };
  try {
    return await perform(options, scope);
  } finally {
    for (const action of undo.reverse()) await action();
  }
}

async function perform(options: TrialOptions, scope: { teardown(action: () => unknown): void }): Promise<Trial> {
  const { database, personality, seed } = options;
  const log = { info: () => undefined, warn: () => undefined };
  const server = await startOracleServer({ database, host: '127.0.0.1', port: 0, log, personality });
  scope.teardown(() => server.close());
  const cuts = new Random(seed);
  const chunk = (bytes: Buffer): readonly Buffer[] => {
    const at = cuts.below(bytes.length);
    return [bytes.subarray(0, at), bytes.subarray(at)];
  };
  const front = await pipe(scope as Parameters<typeof pipe>[0], { host: '127.0.0.1', port: server.port }, { chunk });
  const sduBytes = [512, 2048, 8192, 65_535][cuts.below(4)];
  const kind = options.pooled === true ? ':pooled' : '';
  const connectString = `127.0.0.1:${front.port}/freepdb1${kind}?sdu=${sduBytes}`;
  const { connection, renew } = await connectionOf({ ...user, connectString }, options.pooled === true, scope);
  tables += 1;
  const table = `t${tables}`;
  await connection.execute(
    `create table ${table} (id number primary key, name varchar2(4000), text varchar2(32767), big clob)`,
  );
  const stage: Stage = {
    connection,
    random: new Random(seed),
    table,
    open: [],
    check: (what) => verdict.check(what),
    count: 0,
    renew: async () => {
      stage.open.length = 0;
      stage.connection = await renew(stage.connection);
    },
  };
  const verdict: Verdict = new Verdict(
    options,
    () => stage,
    () => trackOf(front, options),
  );
  const trial = await runProgram(options, stage, verdict);
  for (const name of [table, ...[0, 1, 2, 3].map((at) => `${table}_${at}`)]) {
    await stage.connection.execute(`drop table ${name}`).catch(() => undefined);
  }
  await stage.connection.close();
  return trial;
}

/** A connection, by itself or from a pool of the driver over one of the database. */
async function connectionOf(
  login: oracledb.ConnectionAttributes,
  pooled: boolean,
  scope: { teardown(action: () => unknown): void },
): Promise<{ connection: TpcConnection; renew: (connection: TpcConnection) => Promise<TpcConnection> }> {
  if (!pooled) {
    const connection = (await oracledb.getConnection(login)) as TpcConnection;
    return { connection, renew: async () => connection };
  }
  const pool = await oracledb.createPool({ ...login, poolMin: 1, poolMax: 1 });
  scope.teardown(() => pool.close(0));
  const renew = async (connection?: TpcConnection): Promise<TpcConnection> => {
    await connection?.close();
    const next = (await pool.getConnection()) as TpcConnection;
    // What it says before its first call is of the last one who had it.
    await next.ping();
    return next;
  };
  return { connection: await renew(), renew };
}

function trackOf({ sessions }: Pipe, { look }: TrialOptions): SessionTrack {
  const session = sessions.at(-1);
  if (session === undefined) throw new Error('the driver has no session');
  const { track } = session.describe();
  return look === undefined ? track : look(track);
}

/** Holds the tracker against the driver, and counts. */
class Verdict {
  readonly disagreements: Disagreement[] = [];
  readonly trail: string[] = [];
  calls = 0;
  transactions = 0;
  #was: 'open' | 'none' = 'none';
  readonly #options: TrialOptions;
  readonly #stage: () => Stage;
  readonly #track: () => SessionTrack;

  constructor(options: TrialOptions, stage: () => Stage, track: () => SessionTrack) {
    this.#options = options;
    this.#stage = stage;
    this.#track = track;
  }

  /** Behind a call. */
  check(what: string): void {
    this.trail.push(what);
    if (this.trail.length > trailLength) this.trail.shift();
    const driver = this.#stage().connection.transactionInProgress === true ? 'open' : 'none';
    if (driver === 'open' && this.#was === 'none') this.transactions += 1;
    this.#was = driver;
    const { transaction, calls, movability } = this.#track();
    if (transaction.kind !== driver || calls.inFlight !== 0 || movability.reason === 'unknown') {
      const tracker = { transaction, movability, inFlight: calls.inFlight };
      const { seed } = this.#options;
      this.disagreements.push({ seed, call: this.calls, trail: [...this.trail], driver, tracker });
    }
    this.calls += 1;
    this.#options.onCall?.();
  }
}

async function runProgram(options: TrialOptions, stage: Stage, verdict: Verdict): Promise<Trial> {
  const answers = new Map<string, Set<string>>();
  const errors: Record<string, number> = {};
  const names = Object.keys(actions);
  for (let at = 0; verdict.calls < options.calls && verdict.disagreements.length < disagreementsMax; at++) {
    // Each once to begin with, so that a short run has them all.
    const name = names[at] ?? draw(stage.random);
    const answer = await answerOf(actions[name]?.run(stage));
    answers.set(name, (answers.get(name) ?? new Set()).add(answer));
    if (answer !== 'ok') errors[answer] = (errors[answer] ?? 0) + 1;
    verdict.check(`${name}: ${answer}`);
  }
  const { calls, transactions, disagreements } = verdict;
  return { seed: options.seed, calls, transactions, errors, answers, disagreements };
}

async function answerOf(work: Promise<unknown> | undefined): Promise<string> {
  try {
    await work;
    return 'ok';
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    return /\b(?:ORA|NJS)-\d+/.exec(text)?.[0] ?? text;
  }
}
