import oracledb from 'oracledb';
import { noteOf } from '../../fixtures/apps/rows.js';
import type { Content } from '../judge/judge.js';
import { firstValue } from '../judge/registers.js';
import { accounts, ledgers, noteBytes, openingBalance, type Tables } from './plan.js';

/**
 * No table has a key over operations: what is done twice must be there twice. Where rows are found again and again there is an
 * index.
 */
const definitions = {
  heads: '(id NUMBER(10) PRIMARY KEY, n NUMBER(12))',
  entries: `(ledger NUMBER(10), pos NUMBER(12), op NUMBER(12), note VARCHAR2(${noteBytes}))`,
  accounts: '(id NUMBER(10) PRIMARY KEY, balance NUMBER(12))',
  transfers: '(op NUMBER(12), from_id NUMBER(10), to_id NUMBER(10), amount NUMBER(12))',
  batches: '(op NUMBER(12), n NUMBER(10), note CLOB)',
  items: '(item NUMBER(12), taken NUMBER(1))',
  takes: '(op NUMBER(12), item NUMBER(12))',
  registers: '(id NUMBER(10) PRIMARY KEY, value NUMBER(12))',
  writes: '(op NUMBER(12))',
} as const;
type TableName = keyof typeof definitions;
const indexes = { batches: 'op', items: 'item' } as const;

const tableMissing = 942;
const fetchRows = 1_000;

export function tableOf({ prefix }: Tables, name: TableName): string {
  return `${prefix}_${name}`;
}

/** @param registers how many sessions have one, the first of them number 1 */
export async function createTables(connection: oracledb.Connection, tables: Tables, registers: number): Promise<void> {
  for (const [name, columns] of Object.entries(definitions)) {
    await connection.execute(`CREATE TABLE ${tables.prefix}_${name} ${columns}`);
  }
  for (const [name, column] of Object.entries(indexes)) {
    await connection.execute(`CREATE INDEX ${tables.prefix}_${name}_i ON ${tables.prefix}_${name} (${column})`);
  }
  const fill = async (name: TableName, count: number, value: number): Promise<void> => {
    const rows = Array.from({ length: count }, (_, index) => [index + 1, value]);
    await connection.executeMany(`INSERT INTO ${tableOf(tables, name)} VALUES (:1, :2)`, rows);
  };
  await fill('heads', ledgers, 0);
  await fill('accounts', accounts, openingBalance);
  await fill('registers', registers, firstValue);
  await connection.commit();
}

/** Tables that are not there are none to drop. */
export async function dropTables(connection: oracledb.Connection, tables: Tables): Promise<void> {
  for (const name of Object.keys(definitions)) {
    await connection.execute(`DROP TABLE ${tables.prefix}_${name}`).catch((error: { readonly errorNum?: number }) => {
      if (error.errorNum !== tableMissing) throw error;
    });
  }
}

/** Everything there is. Read it when nobody writes any more. */
export async function readContent(connection: oracledb.Connection, tables: Tables): Promise<Content> {
  const rowsOf = async (columns: string, name: TableName): Promise<readonly Row[]> => {
    const sql = `SELECT ${columns} FROM ${tableOf(tables, name)}`;
    const { rows } = await connection.execute<Row>(sql, [], {
      fetchArraySize: fetchRows,
      fetchTypeHandler: textOfLobs,
    });
    return rows ?? [];
  };
  const pairsOf = async (columns: string, name: TableName): Promise<ReadonlyMap<number, number>> =>
    new Map((await rowsOf(columns, name)).map((row) => [at(row, 0), at(row, 1)]));
  const entries = await rowsOf('ledger, pos, op, note', 'entries');
  const transfers = await rowsOf('op, from_id, to_id, amount', 'transfers');
  const batches = await rowsOf('op, n, note', 'batches');
  const items = await rowsOf('item, taken', 'items');
  const takes = await rowsOf('op, item', 'takes');
  return {
    ledger: {
      heads: await pairsOf('id, n', 'heads'),
      entries: entries.map((row) => ({
        ledger: at(row, 0),
        position: at(row, 1),
        op: at(row, 2),
        wrong: row[3] !== noteOf(at(row, 2), noteBytes),
      })),
    },
    bank: {
      opening: openingBalance,
      balances: await pairsOf('id, balance', 'accounts'),
      transfers: transfers.map((row) => ({ op: at(row, 0), from: at(row, 1), to: at(row, 2), amount: at(row, 3) })),
    },
    batch: batches.map((row) => ({
      op: at(row, 0),
      row: at(row, 1),
      wrong: row[2] !== noteOf(at(row, 0) + at(row, 1), noteBytes),
    })),
    queue: {
      items: items.map((row) => ({ item: at(row, 0), taken: at(row, 1) === 1 })),
      takes: takes.map((row) => ({ op: at(row, 0), item: at(row, 1) })),
    },
    registers: {
      values: await pairsOf('id, value', 'registers'),
      writes: (await rowsOf('op', 'writes')).map((row) => at(row, 0)),
    },
  };
}

function textOfLobs({ dbType }: oracledb.Metadata<unknown>): oracledb.FetchTypeResponse | undefined {
  return dbType === oracledb.DB_TYPE_CLOB ? { type: oracledb.STRING } : undefined;
}

type Row = readonly (number | string)[];

function at(row: Row, index: number): number {
  return Number(row[index]);
}
