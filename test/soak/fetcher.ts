/**
 * An application with many sessions of the `oracledb` driver, each of which asks for one large result in a single round trip.
 *
 *     node fetcher.js HOST:PORT/SERVICE USER PASSWORD PLAN
 *
 * It prints `ready` when all sessions are logged in, waits for the file of the plan, asks, and prints what every session got.
 */
import { existsSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import oracledb from 'oracledb';
import { RowDigest } from '../../fixtures/apps/rows.js';

export interface FetcherPlan {
  readonly table: string;
  readonly sessions: number;
  readonly rows: number;
  /** The first session reads from id 1, the next from so much more, and so on: no two get the same. */
  readonly step: number;
  readonly goFile: string;
}

export interface Fetched {
  readonly session: number;
  readonly rows: number;
  readonly digest: string;
}

const [connectString = '', user = '', password = '', planText = ''] = process.argv.slice(2);
const plan: FetcherPlan = JSON.parse(planText);

const pool = await oracledb.createPool({ user, password, connectString, poolMin: 0, poolMax: plan.sessions });
const connections = await Promise.all(Array.from({ length: plan.sessions }, () => pool.getConnection()));
// The statement is parsed before: only the fetch itself is to be under way later.
for (const connection of connections) await fetchRows(connection, 1, 1);
console.log('ready');
while (!existsSync(plan.goFile)) await setTimeout(20);

await Promise.all(
  connections.map(async (connection, session) => {
    const digest = await fetchRows(connection, 1 + session * plan.step, plan.rows);
    console.log(JSON.stringify({ session, rows: digest.rows, digest: digest.digest() } satisfies Fetched));
  }),
);
await pool.close(0);

async function fetchRows(connection: oracledb.Connection, firstId: number, rows: number): Promise<RowDigest> {
  const sql = `SELECT id, note FROM ${plan.table} WHERE id BETWEEN :low AND :high ORDER BY id`;
  const options = { fetchArraySize: rows + 1, prefetchRows: rows + 1 };
  const result = await connection.execute<[number, string]>(sql, [firstId, firstId + rows - 1], options);
  const digest = new RowDigest();
  for (const [id, note] of result.rows ?? []) digest.add(id, note);
  return digest;
}
