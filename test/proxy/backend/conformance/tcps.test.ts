/** TCPS to the database: the driver speaks plain TCP to the shim, the proxy speaks TLS to the listener. */
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SecureContextOptions } from 'node:tls';
import oracledb from 'oracledb';
import t, { type Test } from 'tap';
import { openChain } from '../../../../fixtures/captures/chain.js';
import { defaultBackendLimits } from '../../../../proxy/backend/limits.js';
import { type DatabaseTlsSettings, loadDatabaseTls } from '../../../../proxy/backend/tls.js';
import { formatAddress } from '../../../../shim/program/address.js';
import {
  authority,
  expiredCertificate,
  expiredKey,
  hostCertificate,
  hostKey,
  otherCertificate,
  otherKey,
  wallet,
  walletPassword,
} from './certificates.js';
import { address, connect, connectError, forward, listener, login, server, service, works } from './stand.js';

const host = { cert: hostCertificate, key: hostKey };
const other = { cert: otherCertificate, key: otherKey };

const directory = mkdtempSync(join(tmpdir(), 'holdfast-tcps-'));
const file = (name: string, text: string): string => {
  writeFileSync(join(directory, name), text);
  return join(directory, name);
};
const authorityFile = file('authority.pem', authority);
file('ewallet.pem', wallet);
const passwordFile = file('password', `${walletPassword}\n`);

function trust(
  settings: Partial<DatabaseTlsSettings> = {},
  target = { dn: undefined as string | undefined, dnMatch: true },
) {
  return loadDatabaseTls(
    {
      databaseWallet: authorityFile,
      walletPasswordFile: undefined,
      databaseDn: undefined,
      databaseSni: 'off',
      ...settings,
    },
    target,
  );
}

/** A TCPS listener before a server. */
async function tcps(t: Test, context: SecureContextOptions = host) {
  const database = await server(t);
  const secured = await listener(t, () => forward(database), { tls: context });
  return { ...secured, at: { host: '127.0.0.1', port: secured.port, tls: true } as const };
}

t.test('a session over TCPS works, and its service, SDU and breaks are negotiated as over TCP', async (t) => {
  const secured = await tcps(t);
  const { connection, front } = await connect(t, secured.at, { tls: trust() });
  await works(t, connection);
  const { database, track } = front.sessions[0]?.describe() ?? {};
  t.match(database, { tls: true });
  t.match(track, { phase: 'ready', protocol: { version: 319, sduBytes: 8192 } });
  const [request] = secured.requests;
  t.equal((request?.connect.options ?? 0) & 0x0400, 0, 'no out-of-band breaks');
  t.equal(request?.servername, undefined, 'no SNI unless asked for, as drivers do');
  t.match(request?.connectData, new RegExp(service));
});

t.test(
  'real shim and proxy: the driver speaks TCP on loopback, the proxy TCPS to the first listener whose certificate is right',
  async (t) => {
    const bad = await tcps(t, other);
    const secured = await tcps(t);
    const targets = [bad, secured].map(({ port }) => `tcps://localhost:${port}`).join(',');
    const chain = await openChain(targets, ['--database-wallet', authorityFile, '--database-sni', 'service']);
    t.teardown(() => chain.close());
    const connectString = `${formatAddress(chain)}/${service}`;
    const connection = await oracledb.getConnection({ ...login, connectString });
    await works(t, connection);
    await chain.detach();
    await chain.attach();
    await works(t, connection);
    t.match(await chain.sessions(), [
      { database: `tcps://localhost:${secured.port}`, movable: true, transaction: 'none' },
    ]);
    t.match(chain.log, /database-tls-name/, 'why the other was passed over is in the log');
    t.equal(secured.requests[0]?.servername, `S${service.length}.${service}.V3.319`);
    await connection.close();
  },
);

t.test('a session over TCPS goes on from its record, in the same process', async (t) => {
  const secured = await tcps(t);
  const { connection, front } = await connect(t, secured.at, { tls: trust() });
  front.replace(0);
  await works(t, connection);
});

t.test('large requests and answers pass through TCPS in both directions', async (t) => {
  const secured = await tcps(t);
  const { connection } = await connect(t, secured.at, { tls: trust() });
  const text = 'x'.repeat(300_000);
  const { rows } = await connection.execute<[string]>('select echo :1', [text]);
  t.equal(rows?.[0]?.[0], text);
});

t.test('RESEND with a new TLS handshake gets one, on the same connection', async (t) => {
  const database = await server(t);
  const again = await listener(
    t,
    (_request, all) => (all.length < 3 ? { kind: 'resend', tls: true } : forward(database)),
    { tls: host },
  );
  const { connection } = await connect(t, { host: '127.0.0.1', port: again.port, tls: true }, { tls: trust() });
  await works(t, connection);
  t.strictSame(
    again.requests.map(({ handshakes }) => handshakes),
    [1, 2, 3],
  );
  t.equal(again.connections, 1);
});

t.test('REDIRECT from TCPS to TCPS is followed, to TCP it is not', async (t) => {
  const secured = await tcps(t);
  const plain = await server(t);
  const first = await listener(t, () => ({ kind: 'redirect', address: address(secured, 'TCPS') }), { tls: host });
  const down = await listener(t, () => ({ kind: 'redirect', address: address(plain) }), { tls: host });
  const at = (port: number) => ({ host: '127.0.0.1', port, tls: true }) as const;
  await works(t, (await connect(t, at(first.port), { tls: trust() })).connection);
  t.match((await connectError(t, at(down.port), { tls: trust() })).message, /ORA-12235/);
});

t.test('REDIRECT from TCP to TCPS is followed with TLS', async (t) => {
  const secured = await tcps(t);
  const first = await listener(t, () => ({ kind: 'redirect', address: address(secured, 'tcps') }));
  await works(t, (await connect(t, first, { tls: trust() })).connection);
});

t.test('a certificate is checked: who signed it, for whom, and until when', async (t) => {
  const failures = [
    [
      'an unknown authority',
      host,
      loadDatabaseTls(noWallet, { dn: undefined, dnMatch: true }),
      'database-tls-untrusted',
      29024,
    ],
    ['another host', other, trust(), 'database-tls-name', 29024],
    ['another DN', host, trust({ databaseDn: 'CN=db1.example,C=US' }), 'database-tls-name', 29024],
    ['its time is over', { cert: expiredCertificate, key: expiredKey }, trust(), 'database-tls-expired', 29024],
  ] as const;
  for (const [what, context, settings, code, number] of failures) {
    const secured = await tcps(t, context);
    const { error, closed } = await failure(t, secured.at, settings);
    t.match(error.message, new RegExp(`ORA-${number}`), what);
    t.equal(closed, code, what);
  }
});

t.test('DN match takes the DN in any order, from the option or the descriptor, and can be switched off', async (t) => {
  const dn = 'C=US, O=Example\\, Inc, CN=db1.example';
  for (const settings of [
    trust({ databaseDn: dn }),
    trust({}, { dn: 'CN=db1.example,O=Example\\, Inc,C=US', dnMatch: true }),
    trust({}, { dn: undefined, dnMatch: false }),
  ]) {
    const secured = await tcps(t, other);
    await works(t, (await connect(t, secured.at, { tls: settings })).connection);
  }
});

t.test('a wallet gives the client certificate that a listener asks for', async (t) => {
  const asking = { ...host, ca: authority };
  for (const maxVersion of ['TLSv1.3', 'TLSv1.2'] as const) {
    const secured = await tcps(t, { ...asking, maxVersion });
    const settings = trust({ databaseWallet: directory, walletPasswordFile: passwordFile });
    await works(t, (await connect(t, secured.at, { tls: settings })).connection);
    t.equal(secured.requests[0]?.clientName, 'holdfast proxy', maxVersion);
    const { error } = await failure(t, secured.at, trust());
    t.match(error.message, /ORA-28860|ORA-12537/, `${maxVersion}: without one there is no session`);
  }
});

t.test('SNI names the host or the service, as told', async (t) => {
  const secured = await tcps(t);
  const at = { ...secured.at, host: 'localhost' };
  await works(t, (await connect(t, at, { tls: trust({ databaseSni: 'host' }) })).connection);
  await works(t, (await connect(t, at, { tls: trust({ databaseSni: 'service' }) })).connection);
  await works(t, (await connect(t, secured.at, { tls: trust({ databaseSni: 'host' }) })).connection);
  t.strictSame(
    secured.requests.map(({ servername }) => servername),
    ['localhost', `S${service.length}.${service}.V3.319`, undefined],
  );
});

t.test('what speaks no TLS, or none that we speak, is an error with a code', async (t) => {
  const plain = await server(t);
  const web = await listener(t, () => ({ kind: 'silence' }), {
    greeting: Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'),
  });
  const old = await tcps(t, { ...host, maxVersion: 'TLSv1.1', minVersion: 'TLSv1.1' });
  const silent = await listener(t, () => ({ kind: 'silence' }));
  t.equal((await failure(t, old.at, trust())).closed, 'database-tls-failed');
  t.equal((await failure(t, { host: '127.0.0.1', port: web.port, tls: true }, trust())).closed, 'database-tls-failed');
  for (const { port } of [plain, silent]) {
    const late = await failure(t, { host: '127.0.0.1', port, tls: true }, trust(), 200);
    t.equal(late.closed, 'database-dial-timeout', 'it waits for more of what it takes for a packet');
    t.match(late.error.message, /ORA-12535/);
  }
});

t.test('the next listener gets the session when the certificate of one is bad', async (t) => {
  const bad = await tcps(t, other);
  const good = await tcps(t);
  await works(t, (await connect(t, [bad.at, good.at], { tls: trust() })).connection);
  t.equal(bad.requests.length, 0, 'nothing was said to the one with the bad certificate');
});

t.test(
  'a driver that speaks TLS to the database itself passes through as opaque bytes, also where the address is tcps',
  async (t) => {
    const secured = await tcps(t);
    for (const at of [secured.at, { host: secured.at.host, port: secured.at.port }]) {
      const { connection, front } = await connect(t, at, {
        tls: trust(),
        connectString: (port) => `tcps://localhost:${port}/${service}`,
        walletContent: `${hostKey}\n${hostCertificate}\n${authority}`,
      });
      await works(t, connection);
      const { track, state } = front.sessions[0]?.describe() ?? {};
      t.equal(state, 'open');
      t.match(track, {
        phase: 'opaque',
        transaction: { kind: 'unknown', reason: 'opaque' },
        movability: { movable: 'unknown', reason: 'opaque', detail: 'TLS from end to end' },
      });
    }
  },
);

t.test('a wallet that cannot be used is refused when the proxy starts, with what to do', async (t) => {
  const broken: [Partial<DatabaseTlsSettings>, RegExp][] = [
    [{ databaseWallet: join(directory, 'missing.pem') }, /missing\.pem cannot be used: ENOENT/],
    [{ databaseWallet: passwordFile }, /there is no certificate in it/],
    [{ databaseWallet: directory }, /--wallet-password-file/],
    [{ databaseWallet: directory, walletPasswordFile: authorityFile }, /--wallet-password-file/],
    [{ databaseWallet: undefined, walletPasswordFile: passwordFile }, /of no use without/],
  ];
  for (const [settings, message] of broken) {
    t.throws(() => trust(settings), { code: 'bad-option', message });
  }
});

const noWallet: DatabaseTlsSettings = {
  databaseWallet: undefined,
  walletPasswordFile: undefined,
  databaseDn: undefined,
  databaseSni: 'off',
};

/** Why the driver got no session, and the code with which the proxy's session closed. */
async function failure(
  t: Test,
  at: Parameters<typeof connect>[1],
  settings: ReturnType<typeof trust>,
  dialMs = 10_000,
): Promise<{ error: Error; closed: string }> {
  const closed: string[] = [];
  const error = await connectError(t, at, {
    tls: settings,
    limits: { ...defaultBackendLimits, dialMs },
    onClosed: (failed) => closed.push(failed?.code ?? 'none'),
  });
  return { error, closed: closed[0] ?? 'open' };
}
