import pg from 'pg';
import { type IdRange, noteSql } from '../../fixtures/apps/rows.js';

/** What PostgreSQL says of the session behind an Oracle session. */
export interface BackendProcess {
  readonly databasePid: number;
  /** Transaction id; null while the session has written nothing in a transaction. */
  readonly databaseXid: string | null;
  readonly databaseState: string;
  /** When its present or last statement began, as text. */
  readonly queryStart: string;
}

/** One id in a table: how often it is there, and what its rows are like. */
export interface Copies {
  readonly id: number;
  readonly copies: number;
  /** Its content is not what was inserted. */
  readonly wrong: boolean;
}

/** The same in a table that notes who has made its rows. */
export interface FoundId extends Copies {
  readonly transaction: string;
  readonly process: number;
}

/** The database behind the database, asked directly: it knows nothing of moves, of Oracle, or of these tests. */
export class Witness {
  readonly #client: pg.Client;
  #last: Promise<unknown> = Promise.resolve();

  private constructor(client: pg.Client) {
    this.#client = client;
  }

  static async open(url: string): Promise<Witness> {
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    return new Witness(client);
  }

  async backend(sid: number, serial: number): Promise<BackendProcess | undefined> {
    const rows = await this.#query<BackendProcess>(
      `select pid as "databasePid", backend_xid::text as "databaseXid", state as "databaseState",
         query_start::text as "queryStart"
       from pg_stat_activity where application_name = $1`,
      [`sid=${sid} serial=${serial}`],
    );
    return rows[0];
  }

  /** Rows that others than their writer can see. */
  async visibleRows(table: string): Promise<number> {
    const rows = await this.#query<{ count: number }>(`select count(*)::int as count from app.${table}`);
    return rows[0]?.count ?? 0;
  }

  /** Looks at every byte of every visible row. */
  async contents(table: string, noteBytes: number): Promise<{ rows: number; wrong: number; idSum: number }> {
    const [row] = await this.#query<{ rows: number; wrong: number; sum: number }>(
      `select count(*)::int as rows, coalesce(sum(id), 0)::float8 as sum,
         count(*) filter (where note is distinct from ${noteSql(noteBytes)})::int as wrong from app.${table}`,
    );
    return { rows: row?.rows ?? 0, wrong: row?.wrong ?? 0, idSum: row?.sum ?? 0 };
  }

  /** Looks at every byte of every visible row, which may be there more than once. */
  async copies(table: string, noteBytes: number): Promise<readonly Copies[]> {
    return this.#query<Copies>(
      `select id::float8 as id, count(*)::int as copies, bool_or(note is distinct from ${noteSql(noteBytes)}) as wrong
       from app.${table} group by id`,
    );
  }

  /** Makes rows that an application would take long to make. */
  async fill(table: string, { firstId, rows }: IdRange, noteBytes: number): Promise<void> {
    const ids = `generate_series(${firstId}, ${firstId + rows - 1}) id`;
    await this.#query(`insert into app.${table} (id, note) select id, ${noteSql(noteBytes)} from ${ids}`);
  }

  /** Processes that wait for a lock which this process holds. */
  async waitingFor(databasePid: number): Promise<readonly number[]> {
    const rows = await this.#query<{ pid: number }>(
      `select pid from pg_stat_activity where wait_event_type = 'Lock' and $1::int = any(pg_blocking_pids(pid))`,
      [databasePid],
    );
    return rows.map(({ pid }) => pid);
  }

  /** Processes of Oracle sessions that have written something and not committed it. */
  async writers(): Promise<readonly number[]> {
    const rows = await this.#query<{ pid: number }>(
      `select pid from pg_stat_activity where application_name like 'sid=%' and backend_xid is not null`,
    );
    return rows.map(({ pid }) => pid);
  }

  /** As an application would make it: `id NUMBER(10), note VARCHAR2(noteBytes)`, and no key, so that a row can be there twice. */
  async createTable(table: string, noteBytes: number): Promise<void> {
    await this.#query(`create table app.${table} (id numeric(10), note varchar(${noteBytes}))`);
  }

  /** From now on every new row of the table tells which transaction and which process of PostgreSQL has made it. */
  async noteMakers(table: string): Promise<void> {
    const columns = 'add made_in xid8 default pg_current_xact_id(), add made_by int default pg_backend_pid()';
    await this.#query(`alter table app.${table} ${columns}`);
  }

  /** Looks at every byte of every visible row of a table with makers, which may have an id more than once. */
  async everyId(table: string, noteBytes: number): Promise<readonly FoundId[]> {
    return this.#query<FoundId>(
      `select id::float8 as id, count(*)::int as copies, bool_or(note is distinct from ${noteSql(noteBytes)}) as wrong,
         min(made_in)::text as transaction, min(made_by) as process
       from app.${table} group by id`,
    );
  }

  /** The processes behind all Oracle sessions, by their names: `sid=N serial=N`. */
  async sessions(): Promise<ReadonlyMap<string, number>> {
    const rows = await this.#query<{ name: string; pid: number }>(
      `select application_name as name, pid from pg_stat_activity where application_name like 'sid=%'`,
    );
    return new Map(rows.map(({ name, pid }) => [name, pid]));
  }

  async numbers(sql: string): Promise<ReadonlyMap<number, number>> {
    const rows = await this.#query<{ key: number; value: number }>(sql);
    return new Map(rows.map(({ key, value }) => [key, value]));
  }

  async close(): Promise<void> {
    await this.#client.end();
  }

  /** One after the other, whoever asks. */
  async #query<Row extends pg.QueryResultRow>(text: string, values: readonly unknown[] = []): Promise<readonly Row[]> {
    const result = this.#last.then(() => this.#client.query<Row>(text, [...values]));
    this.#last = result.catch(() => undefined);
    return (await result).rows;
  }
}
