import oracledb from 'oracledb';
import t, { type Test } from 'tap';
import { portOf, rejection, start } from './parts.js';

/** What a driver sees when there are as many sessions as there may be, and that there is room again afterwards. */

const login = { user: 'app', password: 'app' };
const oracle = start(t, 'holdfast-oracle', '--listen', '127.0.0.1:0', '--user', 'app/app,other/other');
const database = `127.0.0.1:${await portOf(oracle)}`;
const plain = '--insecure-plaintext';

async function installation(t: Test, ...limits: readonly string[]) {
  const listen = ['--listen', '127.0.0.1:0', '--control-listen', '127.0.0.1:0'];
  const proxy = start(t, 'holdfast-proxy', '--database', database, ...listen, ...limits, plain);
  const address = `127.0.0.1:${await portOf(proxy)}`;
  const shim = async (workload: string) => {
    const words = ['--workload', workload, '--listen', '127.0.0.1:0', '--proxy', address, plain];
    return `127.0.0.1:${await portOf(start(t, 'holdfast-shim', ...words))}/orders`;
  };
  return { proxy, shim };
}

/** A session has gone when the database has closed it, which is a moment after its driver has. */
async function whenThereIsRoom(connectString: string): Promise<oracledb.Connection> {
  for (;;) {
    const found = await oracledb.getConnection({ ...login, connectString }).catch(() => undefined);
    if (found !== undefined) return found;
  }
}

for (const [option, limit] of [
  ['--sessions-max', 'more than 1 sessions at this proxy'],
  ['--sessions-per-workload', 'more than 1 sessions of orders'],
] as const) {
  t.test(`${option}: one session more is refused as a listener does it, and the others go on`, async (t) => {
    const { proxy, shim } = await installation(t, option, '1');
    const connectString = await shim('orders');
    const first = await oracledb.getConnection({ ...login, connectString });
    const error = await rejection(oracledb.getConnection({ ...login, connectString }));
    t.match(error.message, /12516/);
    await proxy.printed(new RegExp(`"proxy-sessions".*${limit}`));
    t.same((await first.execute('SELECT 1 FROM dual')).rows, [[1]]);
    await first.close();
    const next = await whenThereIsRoom(connectString);
    t.same((await next.execute('SELECT 2 FROM dual')).rows, [[2]]);
    await next.close();
  });
}

t.test('--sessions-per-user: one session more ends at its login, that of another user does not', async (t) => {
  const { proxy, shim } = await installation(t, '--sessions-per-user', '1');
  const [orders, billing] = [await shim('orders'), await shim('billing')];
  const first = await oracledb.getConnection({ ...login, connectString: orders });
  const error = await rejection(oracledb.getConnection({ ...login, connectString: billing }));
  t.match(error, { code: /^NJS-50[0-9]$/ });
  await proxy.printed(/"proxy-user-sessions".*more than 1 sessions of database user APP/);
  const other = await oracledb.getConnection({ user: 'other', password: 'other', connectString: billing });
  for (const session of [first, other]) t.same((await session.execute('SELECT 1 FROM dual')).rows, [[1]]);
  await first.close();
  const next = await whenThereIsRoom(billing);
  await next.close();
  await other.close();
});
