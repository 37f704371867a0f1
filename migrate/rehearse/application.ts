/**
 * An application as anybody writes it with the `oracledb` driver: sessions, and on each of them one transaction after the other. It
 * knows nothing of Holdfast. Before it does something it prints what, and afterwards how that ended, one JSON object in a line. When
 * a connection breaks it goes on with another.
 *
 *     REHEARSE_PASSWORD=... node application.js HOST:PORT/SERVICE USER PLAN
 */
import { existsSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import oracledb from 'oracledb';
import { errorText } from '../../shim/program/errors.js';
import { Random, seedOf } from '../../shim/program/random.js';
import type { Action } from '../judge/history.js';
import { Actions, type Call, nextAction } from './actions.js';
import {
  type ApplicationEvent,
  type ApplicationPlan,
  machineMs,
  operationsPerSession,
  type WorkloadKind,
} from './plan.js';

const slowMs = 60;
/** Rolled back on purpose, so that what must not be there is looked for too. */
const rollbackChance = 0.06;
const pauseChance = 0.3;
const connectPauseMs = 100;

class Session {
  readonly #connect: () => Promise<oracledb.Connection>;
  readonly #plan: ApplicationPlan;
  readonly #number: number;
  readonly #kind: WorkloadKind;
  readonly #random: Random;
  readonly #actions: Actions;
  #connection: oracledb.Connection | undefined;
  #life = -1;
  #done = 0;
  /** The last transaction, when nobody has answered its COMMIT: the database is asked by its logical id, if it gave one. */
  #unknown: { readonly op: number; readonly ltxid: Buffer } | undefined;

  constructor(connect: () => Promise<oracledb.Connection>, plan: ApplicationPlan, number: number) {
    this.#connect = connect;
    this.#plan = plan;
    this.#number = number;
    this.#kind = plan.kinds[number % plan.kinds.length] ?? 'ledger';
    this.#random = new Random(seedOf(plan.seed, number));
    this.#actions = new Actions(this.#call, plan, this.#random);
  }

  /** Resolves with a connection, or when all is over. */
  async connect(): Promise<void> {
    while (this.#connection === undefined && !this.#isOver) {
      try {
        this.#connection = await this.#connect();
        this.#life += 1;
        print({ type: 'connected', session: this.#number, life: this.#life, atMs: machineMs() });
      } catch (error) {
        print({ type: 'refused', session: this.#number, error: errorText(error), atMs: machineMs() });
        await setTimeout(connectPauseMs);
      }
    }
  }

  async work(): Promise<void> {
    while (!this.#isOver) {
      await this.connect();
      if (this.#connection === undefined) return;
      if (this.#unknown !== undefined && !(await this.#settle(this.#unknown))) continue;
      await this.#operate(nextAction(this.#kind, this.#number, this.#random));
      this.#done += 1;
      await this.#pause();
    }
    await this.#connection?.close({ drop: true }).catch(() => undefined);
  }

  get #isOver(): boolean {
    const { transactions, stopFile } = this.#plan;
    return (transactions > 0 && this.#done >= transactions) || existsSync(stopFile);
  }

  async #operate(action: Action): Promise<void> {
    const op = this.#number * operationsPerSession + this.#done * rowsApart;
    print({ type: 'invoke', op, session: this.#number, life: this.#life, action, atMs: machineMs() });
    let isCommitting = false;
    let ltxid: Buffer | undefined;
    try {
      const result = await this.#actions.perform(op, action);
      if (this.#random.chance(rollbackChance)) {
        await this.#end('ROLLBACK');
        print({ type: 'fail', op, intended: true, atMs: machineMs() });
        return;
      }
      ltxid = this.#connection?.ltxid;
      isCommitting = true;
      await this.#end('COMMIT');
      print({ type: 'ok', op, result, atMs: machineMs() });
    } catch (error) {
      const how = { op, error: errorText(error), atMs: machineMs() };
      print(isCommitting ? { type: 'info', ...how } : { type: 'fail', intended: false, ...how });
      await this.#recover();
      // A session cannot be asked about itself.
      if (isCommitting && ltxid !== undefined && this.#connection === undefined) this.#unknown = { op, ltxid };
    }
  }

  /** @returns whether the connection is still good */
  async #settle({ op, ltxid }: { readonly op: number; readonly ltxid: Buffer }): Promise<boolean> {
    try {
      const committed = await this.#timed('BEGIN', (connection) => askOutcome(connection, ltxid));
      this.#unknown = undefined;
      print({ type: 'settled', op, committed, atMs: machineMs() });
      return true;
    } catch {
      await this.#recover();
      // Refused: the database does not say, and its content has to. Otherwise it is asked again.
      if (this.#connection !== undefined) this.#unknown = undefined;
      return this.#connection !== undefined;
    }
  }

  /** Of a connection that still answers nothing may be left; any other is given up. */
  async #recover(): Promise<void> {
    try {
      await this.#connection?.rollback();
    } catch {
      await this.#connection?.close({ drop: true }).catch(() => undefined);
      this.#connection = undefined;
    }
  }

  async #end(how: 'COMMIT' | 'ROLLBACK'): Promise<void> {
    await this.#timed(how, (connection) => (how === 'COMMIT' ? connection.commit() : connection.rollback()));
  }

  readonly #call: Call = async (sql, binds = {}, options = {}) => {
    if (this.#random.chance(pauseChance)) await this.#pause();
    const [call = ''] = sql.split(' ');
    const { rows, outBinds } = await this.#timed(call, (connection) => connection.execute(sql, binds, options));
    return { rows: (rows ?? []) as [], outBinds };
  };

  async #timed<T>(call: string, perform: (connection: oracledb.Connection) => Promise<T>): Promise<T> {
    if (this.#connection === undefined) throw new Error('there is no connection');
    const beganMs = machineMs();
    try {
      return await perform(this.#connection);
    } finally {
      const endedMs = machineMs();
      if (endedMs - beganMs > slowMs) print({ type: 'slow', session: this.#number, call, beganMs, endedMs });
    }
  }

  async #pause(): Promise<void> {
    await setTimeout(this.#random.unit() * this.#plan.pauseMsMax);
  }
}

interface Outcome {
  readonly committed: boolean;
}

/** Transaction Guard: one that is not committed by now will never be. Needs EXECUTE on DBMS_APP_CONT. */
async function askOutcome(connection: oracledb.Connection, ltxid: Buffer): Promise<boolean> {
  const { outBinds } = await connection.execute<Outcome>(
    'BEGIN DBMS_APP_CONT.GET_LTXID_OUTCOME(:ltxid, :committed, :completed); END;',
    {
      ltxid: { val: ltxid, type: oracledb.DB_TYPE_RAW },
      committed: { dir: oracledb.BIND_OUT, type: oracledb.DB_TYPE_BOOLEAN },
      completed: { dir: oracledb.BIND_OUT, type: oracledb.DB_TYPE_BOOLEAN },
    },
  );
  if (outBinds === undefined) throw new Error('the database has answered nothing');
  return outBinds.committed;
}

/** Numbers of operations are so far apart that the rows of a long one have texts of their own. */
const rowsApart = 20;

/** Written at once, files and pipes alike: what was told when the process is frozen or killed is all there is. */
function print(event: ApplicationEvent): void {
  console.log(JSON.stringify(event));
}

async function main(): Promise<void> {
  const [connectString = '', user = '', planText = ''] = process.argv.slice(2);
  const plan: ApplicationPlan = JSON.parse(planText);
  const password = process.env.REHEARSE_PASSWORD ?? '';
  const connect = () => oracledb.getConnection({ user, password, connectString });
  const sessions = Array.from({ length: plan.sessions }, (_, index) => new Session(connect, plan, plan.first + index));
  await Promise.all(sessions.map((session) => session.connect()));
  print({ type: 'ready', atMs: machineMs() });
  await Promise.all(sessions.map((session) => session.work()));
  print({ type: 'done', atMs: machineMs() });
}

await main();
// Connections that are lost do not close in order, and must not keep the process.
process.exit(0);
