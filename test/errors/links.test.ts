import { once } from 'node:events';
import { connect } from 'node:net';
import oracledb from 'oracledb';
import t from 'tap';
import { freePort } from '../../fixtures/lab/ports.js';
import { logOf, portOf, rejection, secretFile, start, warning } from './parts.js';

/** What happens between shim and proxy when one is not there, or not who the other takes it for. */

const login = { user: 'app', password: 'app' };
const oracle = start(t, 'holdfast-oracle', '--listen', '127.0.0.1:0');
const database = `127.0.0.1:${await portOf(oracle)}`;

t.test('without a proxy drivers wait for a while and are turned away; with one again they are served', async (t) => {
  const proxyPort = await freePort('127.0.0.1');
  const plain = '--insecure-plaintext';
  const proxy = ['--proxy', `127.0.0.1:${proxyPort}`, plain];
  const waits = ['--workload', 'orders', '--listen', '127.0.0.1:0', '--connect-wait', '500ms', ...proxy];
  const shim = start(t, 'holdfast-shim', ...waits);
  const address = `127.0.0.1:${await portOf(shim)}`;
  const getConnection = () => oracledb.getConnection({ ...login, connectString: `${address}/orders` });

  const startedMs = performance.now();
  const first = await rejection(getConnection());
  t.match(first, { code: 'NJS-500', isRecoverable: true }, 'came early, waited in vain');
  t.ok(performance.now() - startedMs < 30_000);
  const second = connect(Number(address.split(':')[1]), '127.0.0.1');
  await once(second, 'close');
  await shim.printed(/turned away(.|\n)*turned away/);
  const lines = logOf(shim).filter(({ level }) => level >= warning);
  t.match(
    lines.filter(({ msg }) => msg === 'no link to the proxy').slice(0, 3),
    [{ attempt: 1 }, { attempt: 2 }, { attempt: 4 }].map((more) => ({
      code: 'link-unreachable',
      why: `connect ECONNREFUSED 127.0.0.1:${proxyPort}`,
      proxy: { host: '127.0.0.1', port: proxyPort },
      ...more,
    })),
    'attempts become rarer in the log',
  );
  t.strictSame(
    new Set(lines.map(({ code }) => code)),
    new Set(['link-unreachable', 'no-link']),
    'every line has a code',
  );
  t.notMatch(shim.stderr, /"stack"/);

  const listen = ['--listen', `127.0.0.1:${proxyPort}`, '--control-listen', '127.0.0.1:0'];
  start(t, 'holdfast-proxy', '--database', database, ...listen, plain);
  await shim.printed(/"bound"/);
  const connection = await getConnection();
  t.same((await connection.execute('SELECT 1 FROM dual')).rows, [[1]]);
  await connection.close();
  t.match(await shim.stop(), { code: 0 });
});

t.test('a driver that came while there was no link is served by the link that comes in time', async (t) => {
  const proxyPort = await freePort('127.0.0.1');
  const plain = '--insecure-plaintext';
  const words = ['--workload', 'early', '--listen', '127.0.0.1:0', '--proxy', `127.0.0.1:${proxyPort}`, plain];
  const shim = start(t, 'holdfast-shim', ...words);
  const connectString = `127.0.0.1:${await portOf(shim)}/orders`;
  const early = oracledb.getConnection({ ...login, connectString });
  await shim.printed(/no link to the proxy/);
  const listen = ['--listen', `127.0.0.1:${proxyPort}`, '--control-listen', '127.0.0.1:0'];
  start(t, 'holdfast-proxy', '--database', database, ...listen, plain);
  const connection = await early;
  t.same((await connection.execute('SELECT 1 FROM dual')).rows, [[1]]);
  await connection.close();
});

t.test('a driver that comes while the proxy is slow to answer the handshake is served by that link', async (t) => {
  const plain = '--insecure-plaintext';
  const listen = ['--listen', '127.0.0.1:0', '--control-listen', '127.0.0.1:0'];
  const proxy = start(t, 'holdfast-proxy', '--database', database, ...listen, plain);
  const address = `127.0.0.1:${await portOf(proxy)}`;
  // Its kernel accepts, so the shim presents the streams it has, and gets no answer yet.
  proxy.freeze();
  t.teardown(() => proxy.thaw());
  const shim = start(t, 'holdfast-shim', '--workload', 'slow', '--listen', '127.0.0.1:0', '--proxy', address, plain);
  const shimPort = await portOf(shim);
  const early = oracledb.getConnection({ ...login, connectString: `127.0.0.1:${shimPort}/orders` });
  // Connections are accepted in order: when this one is there, the driver's is.
  await once(connect(shimPort, '127.0.0.1'), 'connect');
  proxy.thaw();
  const connection = await early;
  t.same((await connection.execute('SELECT 1 FROM dual')).rows, [[1]]);
  await connection.close();
});

t.test('a shim with another secret gets nothing, and both sides log what is the matter', async (t) => {
  const secret = secretFile(t);
  const listen = ['--listen', '127.0.0.1:0', '--control-listen', '127.0.0.1:0'];
  const proxy = start(t, 'holdfast-proxy', '--database', database, ...listen, '--secret-file', secret);
  const address = `127.0.0.1:${await portOf(proxy)}`;
  const cases = [
    ['link-tls', 'link-tls', ['--secret-file', secretFile(t)]],
    ['link-closed', 'link-tls', ['--insecure-plaintext']],
  ] as const;
  for (const [code, proxyCode, protection] of cases) {
    const words = ['--workload', 'thief', '--listen', '127.0.0.1:0', '--proxy', address, '--connect-wait', '200ms'];
    const shim = start(t, 'holdfast-shim', ...words, ...protection);
    const connectString = `127.0.0.1:${await portOf(shim)}/orders`;
    await shim.printed(/"attempt":4/);
    t.match((await rejection(oracledb.getConnection({ ...login, connectString }))).code, 'NJS-500');
    t.match(
      logOf(shim).filter(({ attempt }) => attempt === 1),
      [{ code, level: warning, proxy: { host: '127.0.0.1' } }],
    );
    t.match(logOf(proxy).at(-1), { code: proxyCode, level: warning, msg: 'a link broke in its handshake' });
    t.notMatch(`${shim.stderr}${proxy.stderr}`, /"stack"|SSL routines|"bound"/);
    await shim.stop();
  }
});
