import { chmodSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import tls from 'node:tls';
import t, { type Test } from 'tap';
import {
  clientTls,
  loadSecurity,
  type Security,
  type SocketPurpose,
  serverTls,
} from '../../../shim/program/security.js';
import { caCert, partCert, partKey, strangerCert, strangerKey } from './certificates.js';

const right: Security = { kind: 'secret', secret: Buffer.from('a secret of at least thirty-two characters') };
const wrong: Security = { kind: 'secret', secret: Buffer.from('another one of at least thirty-two characters') };
const ours: Security = { kind: 'certificates', cert: partCert, key: partKey, ca: caCert };
const strange: Security = { kind: 'certificates', cert: strangerCert, key: strangerKey, ca: strangerCert };

/** Echoes one exchange over a real socket; gives the echoed text, or the reason why there was none. */
async function exchange(
  t: Test,
  server: Security,
  client: Security,
  purposes: readonly SocketPurpose[] = ['link', 'link'],
  trusted?: string,
): Promise<string> {
  const echo = (socket: net.Socket) => socket.on('error', () => undefined).pipe(socket);
  const options = serverTls(server, purposes[0] ?? 'link');
  const listener = options === undefined ? net.createServer(echo) : tls.createServer(options, echo);
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  t.teardown(() => listener.close());
  const address = listener.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const secured = clientTls(client, purposes[1] ?? 'link', '127.0.0.1');
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
  t.match(
    await exchange(t, ours, right, ['link', 'link'], caCert),
    /^error: the other side does not know the shared secret/,
  );
});

t.test('certificates of the same authority are taken, others are not, in either direction', async (t) => {
  t.equal(await exchange(t, ours, ours), 'TLSv1.3 hello');
  t.match(await exchange(t, ours, strange), /^error/);
  t.match(await exchange(t, strange, ours), /^error/);
});

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
  const dir = t.testdir({ cert: partCert, key: partKey, ca: caCert, other: strangerKey });
  const files = { ...none, tlsCert: join(dir, 'cert'), tlsKey: join(dir, 'key'), tlsCa: join(dir, 'ca') };
  t.equal(loadSecurity(files).kind, 'certificates');
  t.throws(() => loadSecurity({ ...files, tlsKey: join(dir, 'other') }), { message: /cannot be used: .*mismatch/ });
});
