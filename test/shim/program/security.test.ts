import { once } from 'node:events';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import net, { type AddressInfo } from 'node:net';
import { join } from 'node:path';
import tls from 'node:tls';
import t, { type Test } from 'tap';
import { guardServer } from '../../../shim/program/guard.js';
import { identityText, peerText } from '../../../shim/program/identity.js';
import { Keyring } from '../../../shim/program/keyring.js';
import {
  clientTls,
  loadSecurity,
  peerOf,
  type Security,
  type SocketPurpose,
  serverTls,
} from '../../../shim/program/security.js';
import { identity, makeKeys } from './certificates.js';

const right: Security = { kind: 'secret', secret: Buffer.from('a secret of at least thirty-two characters') };
const wrong: Security = { kind: 'secret', secret: Buffer.from('another one of at least thirty-two characters') };

/** Echoes one exchange over a real socket; gives the echoed text, or the reason why there was none. */
async function exchange(
  t: Test,
  server: Security,
  client: Security,
  purposes: readonly SocketPurpose[] = ['link', 'link'],
  expected = 'proxy',
  trusted?: string,
): Promise<string> {
  const echo = (socket: net.Socket) => socket.on('error', () => undefined).pipe(socket);
  const options = serverTls(server, purposes[0] ?? 'link');
  const listener = options === undefined ? net.createServer(echo) : tls.createServer(options, echo);
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  t.teardown(() => listener.close());
  const address = listener.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const secured = clientTls(client, purposes[1] ?? 'link', identity(expected));
  const socket =
    secured === undefined
      ? net.connect(port, '127.0.0.1')
      : tls.connect({ ...secured, ...(trusted && { ca: trusted }), host: '127.0.0.1', port });
  return new Promise((resolve) => {
    socket.once('data', (data) => {
      const protocol = socket instanceof tls.TLSSocket ? socket.getProtocol() : 'plain';
      resolve(`${protocol} ${data}`);
      socket.destroy();
    });
    socket.once('error', (error) => resolve(`error: ${error.message}`));
    socket.once('close', () => resolve('closed'));
    socket.write('hello');
  });
}

t.test('the same secret on both sides gives TLS 1.3', async (t) => {
  t.equal(await exchange(t, right, right), 'TLSv1.3 hello');
});

t.test('another secret is refused', async (t) => {
  t.match(await exchange(t, right, wrong), /^error/);
});

t.test('a key made for links does not open control sockets', async (t) => {
  t.match(await exchange(t, right, right, ['control', 'link']), /^error/);
});

t.test('plain text is refused by a protected server, and a protected client refuses a plain one', async (t) => {
  t.notMatch(await exchange(t, right, { kind: 'plaintext' }), /hello/);
  t.match(await exchange(t, { kind: 'plaintext' }, right), /^error/);
});

t.test('a server with a certificate instead of the secret is refused, whoever signed it', async (t) => {
  const keys = await makeKeys(t, 'proxy');
  const ca = readFileSync(keys.ca, 'utf8');
  t.match(
    await exchange(t, keys.security('proxy'), right, ['link', 'link'], 'proxy', ca),
    /^error: the other side does not know the shared secret/,
  );
});

t.test('certificates of the same authority are taken, others are not, in either direction', async (t) => {
  const [ours, strange] = [await makeKeys(t, 'proxy', 'operator'), await makeKeys(t, 'proxy', 'operator')];
  t.equal(await exchange(t, ours.security('proxy'), ours.security('operator')), 'TLSv1.3 hello');
  t.notMatch(await exchange(t, ours.security('proxy'), strange.security('operator')), /hello/);
  const mixed = strange.copyTo(t.testdir(), 'operator');
  const trusting: Security = { kind: 'certificates', keyring: new Keyring({ ...mixed, ca: ours.ca }) };
  t.notMatch(await exchange(t, ours.security('proxy'), trusting), /hello/, 'a client of another authority');
  t.match(await exchange(t, strange.security('proxy'), ours.security('operator')), /^error: .*certificate/);
});

t.test('who answers must be who was expected: a workload or an operator is no server at all', async (t) => {
  const keys = await makeKeys(t, 'proxy', 'agent:node-a', 'agent', 'operator', 'workload:orders');
  const operator = keys.security('operator');
  const ask = (server: string, expected: string) =>
    exchange(t, keys.security(server), operator, ['control', 'control'], expected);
  t.equal(await ask('agent:node-a', 'agent:node-a'), 'TLSv1.3 hello');
  t.equal(await ask('agent', 'agent:node-b'), 'TLSv1.3 hello', 'one certificate for all agents');
  t.equal(
    await ask('agent:node-a', 'agent:node-b'),
    'error: the other side is agent:node-a, expected was agent:node-b',
  );
  t.equal(await ask('agent', 'proxy'), 'error: the other side is agent, expected was proxy');
  t.match(await ask('workload:orders', 'workload:orders'), /^error: unsuitable certificate purpose/);
  t.match(await ask('operator', 'operator'), /^error: unsuitable certificate purpose/);
});

interface Server {
  readonly port: number;
  /** Connects and says who the server took this for; rejects when it does not take it. */
  greet(client: Security, session?: Buffer): Promise<{ socket: tls.TLSSocket; heard: string; sessions: Buffer[] }>;
}

/** A TLS server that tells everybody who they are. */
async function listen(t: Test, security: Security): Promise<Server> {
  const server = tls.createServer(serverTls(security, 'link') ?? {}, (socket) => {
    socket.on('error', () => undefined);
    socket.write(`${peerText(peerOf(socket, security))}\n`);
    socket.pipe(socket);
  });
  guardServer(server, security, { newcomersMax: 8, newcomersPerAddressMax: 8 }, () => undefined);
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as AddressInfo;
  const open = new Set<tls.TLSSocket>();
  t.teardown(() => {
    for (const socket of open) socket.destroy();
    server.close();
  });
  const greet: Server['greet'] = async (client, session) => {
    const secured = clientTls(client, 'link', { role: 'proxy' });
    const socket = tls.connect({ ...secured, port, host: '127.0.0.1', ...(session && { session }) });
    open.add(socket);
    const sessions: Buffer[] = [];
    socket.on('session', (each) => sessions.push(each));
    const ended = once(socket, 'close').then(() => Promise.reject(new Error('closed')));
    const [heard] = await Promise.race([once(socket, 'data'), ended]);
    ended.catch(() => undefined);
    return { socket, heard: String(heard).trim(), sessions };
  };
  return { port, greet };
}

t.test('the peer of a connection is who its certificate says', async (t) => {
  const keys = await makeKeys(t, 'proxy', 'agent', 'operator:alice', 'workload:orders');
  const server = await listen(t, keys.security('proxy'));
  for (const who of ['agent', 'operator:alice', 'workload:orders'] as const) {
    t.equal((await server.greet(keys.security(who))).heard, identityText(identity(who)));
  }
  t.equal((await (await listen(t, right)).greet(right)).heard, 'a peer trusted by secret');
});

t.test('nobody comes back on a session ticket: each connection proves itself anew', async (t) => {
  const keys = await makeKeys(t, 'proxy', 'operator');
  const { greet } = await listen(t, keys.security('proxy'));
  const first = await greet(keys.security('operator'));
  first.socket.write('more');
  await once(first.socket, 'data');
  const again = await greet(keys.security('operator'), first.sessions[0] ?? first.socket.getSession());
  t.equal(again.socket.isSessionReused(), false);
});

t.test(
  'rotation: what is connected stays, new connections use the new certificate, the former is refused',
  async (t) => {
    const origin = await makeKeys(t, 'proxy', 'operator');
    const host = t.testdir({ proxy: {}, operator: {}, left: {} });
    const ring = (files: { cert: string; key: string; ca: string }): Security => ({
      kind: 'certificates',
      keyring: new Keyring(files),
    });
    const copy = (...who: string[]) => who.map((each) => origin.copyTo(join(host, each), each));
    const [proxy, operator] = copy('proxy', 'operator').map(ring);
    const left = ring(origin.copyTo(join(host, 'left'), 'operator'));
    if (proxy === undefined || operator === undefined) throw new Error('no files');
    const server = await listen(t, proxy);
    const serial = (socket: tls.TLSSocket) => socket.getPeerCertificate().serialNumber;
    const first = await server.greet(operator);

    await origin.keys.rotate('trust', 30);
    copy('operator');
    const second = await server.greet(operator);
    t.equal(serial(second.socket), serial(first.socket), 'nothing is new but what is trusted');
    copy('proxy');
    await origin.keys.rotate('issue', 30);
    copy('proxy');
    const third = await server.greet(operator);
    t.not(serial(third.socket), serial(first.socket), 'the proxy has its new certificate, the operator the former');
    copy('operator');
    t.equal((await server.greet(operator)).heard, 'operator');
    t.equal((await server.greet(ring(origin.copyTo(join(host, 'operator'), 'operator')))).heard, 'operator');
    await t.rejects(server.greet(left), 'who has only the former authority does not take the new certificate');

    await origin.keys.rotate('retire', 30);
    copy('proxy');
    const trusting = ring({ ...origin.copyTo(join(host, 'operator'), 'operator') });
    t.equal((await server.greet(trusting)).heard, 'operator');
    const former: Security = ring({
      cert: join(host, 'left/operator.pem'),
      key: join(host, 'left/operator.pem'),
      ca: join(host, 'proxy/ca.pem'),
    });
    await t.rejects(server.greet(former), 'a certificate of the former authority is not trusted any more');

    for (const { socket } of [first, second, third]) {
      socket.write('still here');
      const [echo] = await once(socket, 'data');
      t.equal(String(echo), 'still here');
    }
  },
);

t.test('plain text on both sides has to be asked for, and works', async (t) => {
  t.equal(await exchange(t, { kind: 'plaintext' }, { kind: 'plaintext' }), 'plain hello');
});

const none = {
  secretFile: undefined,
  tlsCert: undefined,
  tlsKey: undefined,
  tlsCa: undefined,
  insecurePlaintext: false,
};

t.test('no protection, or two kinds of it, is a configuration error', async (t) => {
  t.throws(() => loadSecurity(none), { code: 'bad-option', message: /^sockets are not protected: choose one of / });
  t.throws(() => loadSecurity({ ...none, secretFile: 'x', insecurePlaintext: true }), { message: /more than one way/ });
  t.throws(() => loadSecurity({ ...none, tlsCert: 'x' }), { message: /belong together/ });
  t.same(loadSecurity({ ...none, insecurePlaintext: true }), { kind: 'plaintext' });
});

t.test('a secret file must be private and long enough', async (t) => {
  const file = join(t.testdir(), 'secret');
  const load = () => loadSecurity({ ...none, secretFile: file });
  t.throws(load, { message: /--secret-file: .* cannot be read: ENOENT/ });
  writeFileSync(file, `${'s'.repeat(32)}\n`);
  chmodSync(file, 0o644);
  t.throws(load, { message: /can be read by everybody: chmod 600/ });
  chmodSync(file, 0o640);
  t.same(load(), { kind: 'secret', secret: Buffer.from('s'.repeat(32)) });
  writeFileSync(file, 'short');
  t.throws(load, { message: /shorter than 32 characters: make one with/ });
});

t.test('certificate files are tried out when they are read', async (t) => {
  const keys = await makeKeys(t, 'proxy', 'operator');
  const files = { ...none, tlsCert: keys.file('proxy'), tlsCa: keys.ca };
  t.equal(loadSecurity(files).kind, 'certificates');
  t.equal(loadSecurity({ ...files, tlsKey: keys.file('proxy') }).kind, 'certificates');
  t.throws(() => loadSecurity({ ...files, tlsKey: keys.file('operator') }), { message: /cannot be used: .*mismatch/ });
  t.throws(() => loadSecurity({ ...files, tlsCa: undefined }), { message: /belong together/ });
});
