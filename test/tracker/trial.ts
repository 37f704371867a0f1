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
import { type Pipe, pipe } from '../proxy/backend/pipe.js';
import { actions, draw, type Stage } from './actions.js';
import { randomFrom, upTo } from './random.js';

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
}

const trailLength = 6;
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
  const cuts = randomFrom(seed);
  const chunk = (bytes: Buffer): readonly Buffer[] => {
    const at = upTo(cuts, bytes.length);
    return [bytes.subarray(0, at), bytes.subarray(at)];
  };
  const front = await pipe(scope as Parameters<typeof pipe>[0], { host: '127.0.0.1', port: server.port }, { chunk });
  const sduBytes = [512, 2048, 8192, 65_535][upTo(cuts, 4)];
  const connectString = `127.0.0.1:${front.port}/freepdb1?sdu=${sduBytes}`;
  const connection = await oracledb.getConnection({ ...user, connectString });
  const table = `t${seed}_${personality.protocolVersion}`;
  await connection.execute(`create table ${table} (id number primary key, name varchar2(4000), text varchar2(32767))`);
  const stage = { connection, random: randomFrom(seed), table, open: [] };
  const trial = await runProgram(options, stage, () => trackOf(front, options));
  await connection.rollback();
  for (const name of [table, ...[0, 1, 2, 3].map((at) => `${table}_${at}`)]) {
    await connection.execute(`drop table ${name}`).catch(() => undefined);
  }
  await connection.close();
  return trial;
}

function trackOf({ sessions }: Pipe, { look }: TrialOptions): SessionTrack {
  const session = sessions.at(-1);
  if (session === undefined) throw new Error('the driver has no session');
  const { track } = session.describe();
  return look === undefined ? track : look(track);
}

async function runProgram(options: TrialOptions, stage: Stage, track: () => SessionTrack): Promise<Trial> {
  const answers = new Map<string, Set<string>>();
  const errors: Record<string, number> = {};
  const disagreements: Disagreement[] = [];
  const trail: string[] = [];
  let transactions = 0;
  let was: 'open' | 'none' = 'none';
  const names = Object.keys(actions);
  let call = 0;
  for (; call < options.calls && disagreements.length < disagreementsMax; call++) {
    // Each once to begin with, so that a short run has them all.
    const name = names[call] ?? draw(stage.random);
    const answer = await answerOf(actions[name]?.run(stage));
    answers.set(name, (answers.get(name) ?? new Set()).add(answer));
    if (answer !== 'ok') errors[answer] = (errors[answer] ?? 0) + 1;
    trail.push(`${name}: ${answer}`);
    if (trail.length > trailLength) trail.shift();
    const driver = stage.connection.transactionInProgress === true ? 'open' : 'none';
    if (driver === 'open' && was === 'none') transactions += 1;
    was = driver;
    const { transaction, calls, movability } = track();
    if (transaction.kind !== driver || calls.inFlight !== 0 || movability.reason === 'unknown') {
      const tracker = { transaction, movability, inFlight: calls.inFlight };
      disagreements.push({ seed: options.seed, call, trail: [...trail], driver, tracker });
    }
    options.onCall?.();
  }
  return { seed: options.seed, calls: call, transactions, errors, answers, disagreements };
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
