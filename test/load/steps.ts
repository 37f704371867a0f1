import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import oracledb from 'oracledb';
import { type IdRange, noteOf, RowDigest } from '../../fixtures/apps/rows.js';
import type { LoadEvent, LoadPlan, LoadTable } from './plan.js';

const fetchRows = 500;
const lobPieces = 4;

export function print(event: LoadEvent): void {
  console.log(JSON.stringify(event));
}

/** What one connection is asked to do, and whether the answers are right. Rejects when the connection is lost. */
export class Steps {
  readonly #connection: oracledb.Connection;
  readonly #session: number;
  readonly #plan: LoadPlan;
  /** Ids that were given to LOBs in this life, and to rows: the rest. */
  readonly #lobIds = new Set<number>();
  /** Ids are taken one after the other, by rows and LOBs alike. */
  lastId: number;
  calls = 0;
  fetches = 0;
  lobs = 0;

  constructor(connection: oracledb.Connection, session: number, plan: LoadPlan, lastId: number) {
    this.#connection = connection;
    this.#session = session;
    this.#plan = plan;
    this.lastId = lastId;
  }

  async echo(count: number): Promise<void> {
    const { rows } = await this.#call<[number]>('SELECT :n FROM dual', { n: count });
    if (rows?.[0]?.[0] !== count) this.#wrong(`${rows?.[0]?.[0]} where ${count} was asked for`);
  }

  async insert(transaction: number): Promise<void> {
    await this.#call(this.#insertSql(), this.#nextRow(transaction));
  }

  async insertMany(transaction: number, count: number): Promise<void> {
    const rows = Array.from({ length: count }, () => this.#nextRow(transaction));
    const { NUMBER, STRING } = oracledb;
    const bindDefs = {
      id: { type: NUMBER },
      note: { type: STRING, maxSize: this.#plan.rows.noteBytes },
      transaction: { type: NUMBER },
    };
    this.calls += 1;
    await this.#connection.executeMany(this.#insertSql(), rows, { bindDefs });
  }

  /** A CLOB that is written by pieces, each a call. */
  async writeLob(transaction: number): Promise<void> {
    const { name, noteBytes } = this.#plan.lobs;
    const id = this.#nextId();
    this.#lobIds.add(id);
    const sql = `INSERT INTO ${name} (id, note, txn) VALUES (:id, EMPTY_CLOB(), :transaction) RETURNING note INTO :lob`;
    const out = { type: oracledb.CLOB, dir: oracledb.BIND_OUT };
    const { outBinds } = await this.#call(sql, { id, transaction, lob: out });
    const [lob] = (outBinds as { readonly lob: readonly oracledb.Lob[] }).lob;
    if (lob === undefined) throw new Error('no locator came back');
    const note = noteOf(id, noteBytes);
    const step = Math.ceil(noteBytes / lobPieces);
    const pieces = Array.from({ length: lobPieces }, (_, index) => note.slice(index * step, (index + 1) * step));
    this.lobs += 1;
    this.calls += lobPieces;
    await pipeline(Readable.from(pieces), lob);
  }

  /** Reads the LOBs of this transaction, or those of a few before it, through their locators. */
  async readLobs(firstId: number): Promise<void> {
    const { name, noteBytes } = this.#plan.lobs;
    const wanted = [...this.#lobIds].filter((id) => id >= firstId).slice(-2);
    const sql = `SELECT id, note FROM ${name} WHERE id = :id`;
    for (const id of wanted) {
      const { rows } = await this.#call<[number, oracledb.Lob]>(sql, { id });
      const lob = rows?.[0]?.[1];
      this.lobs += 1;
      const text = lob === undefined ? undefined : await textOf(lob);
      if (text !== noteOf(id, noteBytes)) this.#wrong(`LOB ${id}: ${text?.length} characters, not those written`);
    }
  }

  async fetch(): Promise<void> {
    const { filled } = this.#plan;
    this.fetches += 1;
    const ids = Array.from({ length: filled.rows }, (_, index) => filled.firstId + index);
    await this.#compare(filled, filled, ids, 'a big fetch');
  }

  /** Every row inserted since `firstId`. */
  async readBack(firstId: number): Promise<void> {
    const count = this.lastId + 1 - firstId;
    const ids = Array.from({ length: count }, (_, index) => firstId + index).filter((id) => !this.#lobIds.has(id));
    await this.#compare(this.#plan.rows, { firstId, rows: count }, ids, 'its own rows');
  }

  async count(shard: number, more: number): Promise<void> {
    await this.#call(`UPDATE ${this.#plan.counters} SET n = n + :more WHERE id = :shard`, { more, shard });
  }

  async finish(committed: boolean): Promise<void> {
    this.calls += 1;
    if (committed) await this.#connection.commit();
    else await this.#connection.rollback();
  }

  /** Reads rows and compares every byte with what these ids must have. */
  async #compare({ name, noteBytes }: LoadTable, range: IdRange, ids: readonly number[], what: string): Promise<void> {
    const found = new RowDigest();
    const sql = `SELECT id, note FROM ${name} WHERE id BETWEEN :low AND :high ORDER BY id`;
    const binds = { low: range.firstId, high: range.firstId + range.rows - 1 };
    const result = await this.#call<[number, string]>(sql, binds, { fetchArraySize: fetchRows });
    for (const [id, note] of result.rows ?? []) found.add(id, note);
    const wanted = new RowDigest();
    for (const id of ids) wanted.add(id, noteOf(id, noteBytes));
    if (found.digest() === wanted.digest()) return;
    this.#wrong(`${what}: ${found.rows} rows instead of ${wanted.rows}, or others`);
  }

  #wrong(what: string): void {
    print({ kind: 'wrong', session: this.#session, what });
  }

  #insertSql(): string {
    return `INSERT INTO ${this.#plan.rows.name} (id, note, txn) VALUES (:id, :note, :transaction)`;
  }

  #nextRow(transaction: number): { id: number; note: string; transaction: number } {
    const id = this.#nextId();
    return { id, note: noteOf(id, this.#plan.rows.noteBytes), transaction };
  }

  #nextId(): number {
    this.lastId += 1;
    return this.lastId;
  }

  async #call<Row = unknown>(
    sql: string,
    binds: oracledb.BindParameters,
    options: oracledb.ExecuteOptions = {},
  ): Promise<oracledb.Result<Row>> {
    this.calls += 1;
    return this.#connection.execute<Row>(sql, binds, options);
  }
}

async function textOf(lob: oracledb.Lob): Promise<string> {
  lob.setEncoding('utf8');
  let text = '';
  for await (const piece of lob) text += piece;
  return text;
}
