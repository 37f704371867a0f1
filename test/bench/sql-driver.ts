/**
 * The drivers of the SQL level: the real oracledb, so many connections, each with one call under way at any moment.
 *
 *     node sql-driver.js PORT LOAD CONNECTIONS WARM_MS MEASURE_MS PID,PID...   one line of JSON, a Sample
 *     node sql-driver.js PORT prepare                                          makes the table
 *     node sql-driver.js PORT logins COUNT                                     logs in so often, prints the time as { ms }
 */
import { createHistogram } from 'node:perf_hooks';
import oracledb from 'oracledb';
import { account } from '../../fixtures/lab/world.js';
import type { Sample } from './results.js';
import { sinceThen, usageOf } from './usage.js';

const [port = '', load = '', countText = '', warmMs = '', measureMs = '', pidsText = ''] = process.argv.slice(2);
const { user, password, service } = account;
const login = () => oracledb.getConnection({ user, password, connectString: `127.0.0.1:${port}/${service}` });
const rows = 200;
const noteBytes = 150;
/** Logins under way at a time. */
const loginsAtOnce = 16;

/** Each is one round trip: all rows come with the answer to the execution. */
const calls: Readonly<Record<string, (connection: oracledb.Connection) => Promise<unknown>>> = {
  small: (connection) => connection.execute('SELECT id, note FROM bench WHERE id = :id', [7]),
  fetch: (connection) =>
    connection.execute('SELECT id, note FROM bench', [], { prefetchRows: rows + 1, fetchArraySize: rows + 1 }),
};

async function prepare(): Promise<void> {
  const connection = await login();
  await connection.execute(`CREATE TABLE bench (id NUMBER(10) PRIMARY KEY, note VARCHAR2(${noteBytes}))`);
  const binds = Array.from({ length: rows }, (_, id) => [id, 'x'.repeat(noteBytes)]);
  await connection.executeMany('INSERT INTO bench VALUES (:id, :note)', binds);
  await connection.commit();
  await connection.close();
}

async function logins(count: number): Promise<number> {
  const fromMs = performance.now();
  let left = count;
  const one = async () => {
    for (; left > 0; ) {
      left -= 1;
      await login();
    }
  };
  await Promise.all(Array.from({ length: loginsAtOnce }, one));
  return performance.now() - fromMs;
}

async function measure(connections: readonly oracledb.Connection[], pids: readonly number[]): Promise<Sample> {
  const call = calls[load];
  if (call === undefined) throw new Error(`no load: ${load}`);
  const times = createHistogram();
  let [isOver, requests] = [false, 0];
  const work = async (connection: oracledb.Connection) => {
    while (!isOver) {
      const askedMs = performance.now();
      await call(connection);
      times.record(Math.max(1, Math.round((performance.now() - askedMs) * 1e6)));
      requests += 1;
    }
  };
  const works = connections.map(work);
  await pause(Number(warmMs));
  times.reset();
  requests = 0;
  const [own, before, fromMs] = [usageOf(process.pid), pids.map(usageOf), performance.now()];
  await pause(Number(measureMs));
  const sample = {
    seconds: (performance.now() - fromMs) / 1_000,
    requests,
    p50Us: times.percentile(50) / 1_000,
    p99Us: times.percentile(99) / 1_000,
    cpuSeconds: sinceThen(usageOf(process.pid), own).cpuSeconds,
    usage: pids.map((pid, index) => sinceThen(usageOf(pid), before[index])),
  };
  isOver = true;
  await Promise.all(works);
  return sample;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

if (load === 'prepare') await prepare();
else if (load === 'logins') console.log(JSON.stringify({ ms: await logins(Number(countText)) }));
else {
  const connections = await Promise.all(Array.from({ length: Number(countText) }, login));
  console.log(JSON.stringify(await measure(connections, pidsText.split(',').map(Number))));
}
process.exit();
