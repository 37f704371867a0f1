/** A proxy gives back what sessions needed while they logged in. */
import t from 'tap';
import { freePort } from '../../fixtures/lab/ports.js';
import { node } from '../../fixtures/lab/world.js';
import { shimContract } from '../../shim/control/contract.js';
import { callControl } from '../../shim/control/rpc-client.js';
import { Stand } from '../bench/paths.js';
import { programs, startDatabase } from '../bench/wire.js';

t.setTimeout(180_000);

/** Enough for more than the young objects of V8. */
const sessions = 4_000;

t.test('thousands of sessions log in and do nothing: the proxy gives memory back, and they go on', async (t) => {
  const stand = new Stand();
  t.teardown(() => stand.close());
  const database = await startDatabase(stand);
  const [port, link] = [await freePort('127.0.0.1'), await freePort('127.0.0.1')];
  const start = (role: 'proxy' | 'shim', ...words: string[]) => {
    const main = new URL(`../../${role}/main.js`, import.meta.url).pathname;
    return stand.start(role, node(main, '--insecure-plaintext', '--control-socket', stand.place(role), ...words));
  };
  const proxy = start('proxy', '--database', `127.0.0.1:${database.port}`, '--listen', `127.0.0.1:${link}`);
  await proxy.printed(/ready for shims/);
  const shim = start(
    'shim',
    ...['--workload', 'idle', '--proxy', `127.0.0.1:${link}`],
    ...['--listen', `127.0.0.1:${port}`],
  );
  await shim.printed(/"bound"/);
  const drivers = stand.start('drivers', node(programs.generator, String(port), 'small', String(sessions), 'idle'));
  await drivers.printed(/loginMs/, 120_000);
  await proxy.printed(/memory was given back/, 30_000);
  t.match(proxy.stderr, /"bytes":[1-9]/);
  const control = { path: stand.place('shim') };
  await callControl(shimContract, control, 'detach', {});
  t.match(await callControl(shimContract, control, 'attach', {}), { streams: sessions }, 'all of them go on');
  t.equal(drivers.child.exitCode, null, 'no session was lost');
});
