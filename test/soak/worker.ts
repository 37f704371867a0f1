/**
 * An application as anybody writes it with the `oracledb` driver, which never stops: a pool of connections, and on each of them one
 * transaction after the other. It knows nothing of Holdfast. What it has done it prints, one JSON object in a line; it ends when
 * there is a file of the given name.
 *
 *     node worker.js HOST:PORT/SERVICE USER PASSWORD PLAN
 */
import { existsSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import oracledb from 'oracledb';
import { idsPerConnection, noteOf, RowDigest } from '../../fixtures/apps/rows.js';
import { randomFrom } from '../random.js';

export interface WorkerPlan {
  readonly table: string;
  /** A table with one row for each shard: every transaction changes one of them, and waits for the lock. */
  readonly counters: string;
  readonly shards: number;
  readonly noteBytes: number;
  /** Number of the first session; ids of different sessions do not meet. */
  readonly first: number;
  readonly sessions: number;
  readonly seed: number;
  /** Longest pause between two calls. */
  readonly pauseMsMax: number;
  /** Every session ends after the transaction in which this file appears. */
  readonly stopFile: string;
  /** Rows that were there before, for big fetches. */
  readonly filled: { readonly table: string; readonly firstId: number; readonly rows: number };
}

/** One line of the output. */
export type WorkerEvent =
  | { readonly kind: 'ready' }
  | {
      readonly kind: 'transaction';
      readonly session: number;
      readonly number: number;
      readonly firstId: number;
      readonly rows: number;
      readonly shard: number;
      /** False: rolled back, as planned. */
      readonly committed: boolean;
    }
  /** What was read is not what was written. */
  | { readonly kind: 'wrong'; readonly session: number; readonly what: string }
  | { readonly kind: 'lost'; readonly session: number; readonly error: string }
  | { readonly kind: 'done'; readonly calls: number; readonly fetches: number };

const rowsMax = 30;
const manyRowsMax = 300;

class Worker {
  readonly #connection: oracledb.Connection;
  readonly #session: number;
  readonly #plan: WorkerPlan;
  readonly #random: () => number;
  #lastId: number;
  calls = 0;
  fetches = 0;

  constructor(connection: oracledb.Connection, session: number, plan: WorkerPlan) {
    this.#connection = connection;
    this.#session = session;
    this.#plan = plan;
    this.#random = randomFrom(plan.seed + session);
    this.#lastId = session * idsPerConnection;
  }

  async work(): Promise<void> {
    for (let number = 1; !existsSync(this.#plan.stopFile); number += 1) {
      await this.#transaction(number);
      if (this.#random() < 0.1) await this.#fetchAll();
    }
  }

  async #transaction(number: number): Promise<void> {
    const { table, counters, shards } = this.#plan;
    const firstId = this.#lastId + 1;
    const isBulk = this.#random() < 0.2;
    const rows = 1 + Math.floor(this.#random() * (isBulk ? manyRowsMax : rowsMax));
    if (isBulk) await this.#insertMany(number, rows);
    else for (let row = 0; row < rows; row += 1) await this.#insert(number);
    await this.#readBack(table, firstId, rows, 'its own rows');
    const shard = Math.floor(this.#random() * shards);
    const committed = this.#random() < 0.9;
    await this.#call(`UPDATE ${counters} SET n = n + :more WHERE id = :shard`, { more: rows, shard });
    if (committed) await this.#connection.commit();
    else await this.#connection.rollback();
    this.calls += 1;
    print({ kind: 'transaction', session: this.#session, number, firstId, rows, shard, committed });
  }

  async #insert(number: number): Promise<void> {
    await this.#call(this.#insertSql(), this.#nextRow(number));
  }

  async #insertMany(number: number, count: number): Promise<void> {
    const rows = Array.from({ length: count }, () => this.#nextRow(number));
    const { NUMBER, STRING } = oracledb;
    const bindDefs = {
      id: { type: NUMBER },
      note: { type: STRING, maxSize: this.#plan.noteBytes },
      transaction: { type: NUMBER },
    };
    this.calls += 1;
    await this.#connection.executeMany(this.#insertSql(), rows, { bindDefs });
    await this.#pause();
  }

  #insertSql(): string {
    return `INSERT INTO ${this.#plan.table} (id, note, txn) VALUES (:id, :note, :transaction)`;
  }

  #nextRow(transaction: number): { id: number; note: string; transaction: number } {
    this.#lastId += 1;
    return { id: this.#lastId, note: noteOf(this.#lastId, this.#plan.noteBytes), transaction };
  }

  async #fetchAll(): Promise<void> {
    const { table, firstId, rows } = this.#plan.filled;
    this.fetches += 1;
    await this.#readBack(table, firstId, rows, 'a big fetch');
  }

  /** Reads rows and compares every byte. */
  async #readBack(table: string, firstId: number, rows: number, what: string): Promise<void> {
    const found = new RowDigest();
    const sql = `SELECT id, note FROM ${table} WHERE id BETWEEN :low AND :high ORDER BY id`;
    const result = await this.#call(sql, { low: firstId, high: firstId + rows - 1 }, { fetchArraySize: 500 });
    for (const [id, note] of (result.rows ?? []) as readonly [number, string][]) found.add(id, note);
    const wanted = new RowDigest();
    for (let id = firstId; id < firstId + rows; id += 1) wanted.add(id, noteOf(id, this.#plan.noteBytes));
    if (found.digest() === wanted.digest()) return;
    print({ kind: 'wrong', session: this.#session, what: `${what}: ${found.rows} rows instead of ${rows}, or others` });
  }

  async #call(
    sql: string,
    binds: oracledb.BindParameters,
    options: oracledb.ExecuteOptions = {},
  ): Promise<oracledb.Result<unknown>> {
    this.calls += 1;
    const result = await this.#connection.execute(sql, binds, options);
    await this.#pause();
    return result;
  }

  async #pause(): Promise<void> {
    await setTimeout(this.#random() * this.#plan.pauseMsMax);
  }
}

function print(event: WorkerEvent): void {
  console.log(JSON.stringify(event));
}

async function main(): Promise<void> {
  const [connectString = '', user = '', password = '', planText = ''] = process.argv.slice(2);
  const plan: WorkerPlan = JSON.parse(planText);
  const { sessions: count, first } = plan;
  const options = { user, password, connectString, poolMin: count, poolMax: count, poolPingInterval: -1 };
  const pool = await oracledb.createPool(options);
  const connections = await Promise.all(Array.from({ length: count }, () => pool.getConnection()));
  const workers = connections.map((connection, index) => new Worker(connection, first + index, plan));
  print({ kind: 'ready' });
  const works = workers.map((worker, index) =>
    worker.work().catch((error: unknown) => print({ kind: 'lost', session: first + index, error: String(error) })),
  );
  await Promise.all(works);
  const sum = (of: (worker: Worker) => number): number => workers.reduce((total, worker) => total + of(worker), 0);
  print({ kind: 'done', calls: sum(({ calls }) => calls), fetches: sum(({ fetches }) => fetches) });
}

await main();
// Connections that are lost do not close in order, and must not keep the process.
process.exit(0);
