import { freePort } from '../../fixtures/lab/ports.js';
import { node } from '../../fixtures/lab/world.js';
import type { Stand } from './paths.js';
import { type Ask, askProgram, type Pace } from './wire.js';

const oracle = new URL('../../fixtures/oracle/main.js', import.meta.url).pathname;
const driver = new URL('./sql-driver.js', import.meta.url).pathname;

/** Starts the fixture with a PostgreSQL of its own, and makes the table. */
export async function startFixture(stand: Stand): Promise<{ readonly port: number; readonly pid: number }> {
  const port = await freePort('127.0.0.1');
  const fixture = stand.start('holdfast-oracle', node(oracle, '--listen', `127.0.0.1:${port}`));
  await fixture.printed(/ready for drivers/);
  const { code, stderr } = await stand.start('prepare', node(driver, String(port), 'prepare')).ended;
  if (code !== 0) throw new Error(`the table of the SQL level was not made: ${stderr.trim()}`);
  return { port, pid: fixture.child.pid ?? 0 };
}

export function askSql(stand: Stand, databasePid: number, { warmMs, measureMs }: Pace): Ask {
  return async ({ port, processes }, { load, connections }) => {
    const pids = [databasePid, ...processes.map(({ pid }) => pid)].join(',');
    return askProgram(stand, driver, [port, load, connections, warmMs, measureMs, pids].map(String));
  };
}

/** Milliseconds that logins of the real driver take, with nothing between. */
export async function timeLogins(stand: Stand, port: number, count: number): Promise<number> {
  const { code, stdout, stderr } = await stand.start('logins', node(driver, String(port), 'logins', String(count)))
    .ended;
  if (code !== 0) throw new Error(`logins failed: ${stderr.trim()}`);
  const { ms }: { readonly ms: number } = JSON.parse(stdout);
  return ms;
}
