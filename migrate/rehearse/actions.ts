import oracledb from 'oracledb';
import { noteOf } from '../../fixtures/apps/rows.js';
import type { Random } from '../../shim/program/random.js';
import type { Action, Result } from '../judge/history.js';
import { accounts, ledgers, noteBytes, type Tables, type WorkloadKind } from './plan.js';
import { tableOf } from './tables.js';

/** Rows of a long transaction. */
const rowsMin = 3;
const rowsMax = 12;
/** A long transaction looks at its rows by so many at once: the second and later ones come by FETCH. */
const rowsAtOnce = 2;
const amountMax = 50;
/** Items of the queue that a taker chooses from. */
const choiceItems = 12;

/** Draws what a session does next. */
export function nextAction(kind: WorkloadKind, session: number, random: Random): Action {
  switch (kind) {
    case 'ledger':
      return { kind: 'append', ledger: random.between(1, ledgers) };
    case 'bank': {
      if (random.chance(0.2)) return { kind: 'sum' };
      const from = random.between(1, accounts);
      const to = ((from - 1 + random.between(1, accounts - 1)) % accounts) + 1;
      return { kind: 'transfer', from, to, amount: random.between(1, amountMax) };
    }
    case 'batch':
      return { kind: 'batch', rows: random.between(rowsMin, rowsMax) };
    case 'queue':
      return { kind: random.chance(0.5) ? 'put' : 'take' };
    case 'registers':
      return { kind: random.chance(0.6) ? 'write' : 'read', register: session };
  }
}

/** How a session talks to the database: every call is timed, and there is a pause before it now and then. */
export type Call = <Row = unknown>(
  sql: string,
  binds?: oracledb.BindParameters,
  options?: oracledb.ExecuteOptions,
) => Promise<{ readonly rows: readonly Row[]; readonly outBinds: unknown }>;

/** The transactions, up to their COMMIT. Rejects as the driver does. */
export class Actions {
  readonly #call: Call;
  readonly #tables: Tables;
  readonly #random: Random;

  constructor(call: Call, tables: Tables, random: Random) {
    this.#call = call;
    this.#tables = tables;
    this.#random = random;
  }

  perform(op: number, action: Action): Promise<Result> {
    switch (action.kind) {
      case 'append':
        return this.#append(op, action.ledger);
      case 'transfer':
        return this.#transfer(op, action.from, action.to, action.amount);
      case 'sum':
        return this.#sum();
      case 'batch':
        return this.#batch(op, action.rows);
      case 'put':
        return this.#put(op);
      case 'take':
        return this.#take(op);
      case 'write':
        return this.#write(op, action.register);
      case 'read':
        return this.#read(action.register);
    }
  }

  /** The head is locked until the COMMIT, so positions are given away in the order of COMMITs. */
  async #append(op: number, ledger: number): Promise<Result> {
    const sql = `UPDATE ${this.#table('heads')} SET n = n + 1 WHERE id = :ledger RETURNING n INTO :n`;
    const out = { type: oracledb.NUMBER, dir: oracledb.BIND_OUT };
    const { outBinds } = await this.#call(sql, { ledger, n: out });
    const position = (outBinds as { readonly n: readonly number[] }).n[0] ?? 0;
    const note = noteOf(op, noteBytes);
    await this.#call(`INSERT INTO ${this.#table('entries')} VALUES (:ledger, :position, :op, :note)`, {
      ledger,
      position,
      op,
      note,
    });
    return { position };
  }

  async #transfer(op: number, from: number, to: number, amount: number): Promise<Result> {
    const changes = [
      [from, -amount],
      [to, amount],
    ] as const;
    // In one order by all, so that nobody waits in a circle.
    for (const [id, change] of [...changes].sort(([one], [other]) => one - other)) {
      await this.#call(`UPDATE ${this.#table('accounts')} SET balance = balance + :change WHERE id = :id`, {
        change,
        id,
      });
    }
    await this.#call(`INSERT INTO ${this.#table('transfers')} VALUES (:op, :from_id, :to_id, :amount)`, {
      op,
      from_id: from,
      to_id: to,
      amount,
    });
    return {};
  }

  async #sum(): Promise<Result> {
    const { rows } = await this.#call<[number]>(`SELECT SUM(balance) FROM ${this.#table('accounts')}`);
    return { sum: rows[0]?.[0] ?? 0 };
  }

  async #batch(op: number, rows: number): Promise<Result> {
    for (let n = 1; n <= rows; n += 1) {
      const note = noteOf(op + n, noteBytes);
      await this.#call(`INSERT INTO ${this.#table('batches')} VALUES (:op, :n, :note)`, { op, n, note });
    }
    const sql = `SELECT n FROM ${this.#table('batches')} WHERE op = :op`;
    const found = await this.#call<[number]>(sql, { op }, { prefetchRows: rowsAtOnce, fetchArraySize: rowsAtOnce });
    return { seen: (await this.#hasNote(op)) ? found.rows.length : 0 };
  }

  /** The text of the first row, through its locator: a LOB operation of its own. */
  async #hasNote(op: number): Promise<boolean> {
    const sql = `SELECT note FROM ${this.#table('batches')} WHERE op = :op AND n = 1`;
    const { rows } = await this.#call<[oracledb.Lob]>(sql, { op });
    return (await rows[0]?.[0].getData()) === noteOf(op + 1, noteBytes);
  }

  async #put(op: number): Promise<Result> {
    await this.#call(`INSERT INTO ${this.#table('items')} VALUES (:op, 0)`, { op });
    return {};
  }

  /** Looks at a few, locks one, and looks again: it may have gone while the lock was waited for. */
  async #take(op: number): Promise<Result> {
    const items = this.#table('items');
    const waiting = `SELECT item FROM (SELECT item FROM ${items} WHERE taken = 0 ORDER BY item) WHERE ROWNUM <= :most`;
    const { rows } = await this.#call<[number]>(waiting, { most: choiceItems });
    const chosen = rows[this.#random.below(Math.max(1, rows.length))]?.[0];
    if (chosen === undefined) return { item: null };
    const skips = this.#random.chance(0.5) ? ' SKIP LOCKED' : '';
    const lock = `SELECT item FROM ${items} WHERE item = :item AND taken = 0 FOR UPDATE${skips}`;
    const locked = await this.#call<[number]>(lock, { item: chosen });
    const item = locked.rows[0]?.[0];
    if (item === undefined) return { item: null };
    await this.#call(`UPDATE ${items} SET taken = 1 WHERE item = :item`, { item });
    await this.#call(`INSERT INTO ${this.#table('takes')} VALUES (:op, :item)`, { op, item });
    return { item };
  }

  async #write(op: number, register: number): Promise<Result> {
    await this.#call(`UPDATE ${this.#table('registers')} SET value = :op WHERE id = :register`, { op, register });
    const { value } = await this.#read(register);
    await this.#call(`INSERT INTO ${this.#table('writes')} VALUES (:op)`, { op });
    return { seen: value ?? Number.NaN };
  }

  async #read(register: number): Promise<{ readonly value: number }> {
    const sql = `SELECT value FROM ${this.#table('registers')} WHERE id = :register`;
    const { rows } = await this.#call<[number]>(sql, { register });
    return { value: rows[0]?.[0] ?? Number.NaN };
  }

  #table(name: Parameters<typeof tableOf>[1]): string {
    return tableOf(this.#tables, name);
  }
}
