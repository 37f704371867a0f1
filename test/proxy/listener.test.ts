import { once } from 'node:events';
import { copyFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import tls from 'node:tls';
import t, { type Test } from 'tap';
import {
  decodeRejected,
  decodeResume,
  encodeResume,
  frameTypes,
  type Rejected,
  type Resume,
} from '../../shim/link/index.js';
import { Keyring } from '../../shim/program/keyring.js';
import { clientTls, type Security } from '../../shim/program/security.js';
import { makeKeys, type TestKeys } from '../shim/program/certificates.js';
import { Gate, TestDriver, TestShim, until } from './gate.js';

/** Who may bind, over real TLS: the certificate says which workload, the token which copy of it. */

interface Stage {
  readonly keys: TestKeys;
  readonly proxy: Gate;
  readonly app: TestShim;
  readonly driver: TestDriver;
}

/** A proxy, workload `orders` bound with its certificate, and a driver with a session. */
async function stage(t: Test): Promise<Stage> {
  const keys = await makeKeys(t, 'proxy', 'operator', 'agent', 'workload:orders', 'workload:billing');
  const proxy = await new Gate({ security: keys.security('proxy') }).start();
  t.teardown(() => proxy.stop());
  const app = await shim(t, proxy, keys.security('workload:orders'));
  await app.dialer.attach();
  const driver = new TestDriver(app.port);
  driver.socket.write('x');
  await until(() => proxy.databases[0]?.text === 'x');
  return { keys, proxy, app, driver };
}

async function shim(t: Test, proxy: Gate, security: Security, workload = 'orders'): Promise<TestShim> {
  const made = await new TestShim(proxy, { workload, security }).start();
  t.teardown(() => made.stop());
  return made;
}

/** What the shim would send next, had it lost its link: everything that a thief of its memory but its key has. */
function stolen({ resumes, token, dialer }: TestShim, change: Partial<Resume> = {}): Buffer {
  const last = decodeResume((resumes.at(-1) ?? Buffer.alloc(24)).subarray(24));
  return encodeResume({ ...last, token, epoch: dialer.epoch as Resume['epoch'], attempt: last.attempt + 1, ...change });
}

/** Sends one frame and gives the verdict, or undefined when the proxy just hangs up. */
async function say(proxy: Gate, security: Security, frame: Buffer): Promise<Rejected | undefined> {
  const secured = clientTls(security, 'link', { role: 'proxy' });
  const socket = tls.connect({ ...secured, host: '127.0.0.1', port: proxy.port });
  socket.on('error', () => undefined);
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  socket.write(frame);
  await once(socket, 'close');
  const answer = Buffer.concat(chunks);
  return answer.length === 0 ? undefined : decodeRejected(answer.subarray(24));
}

async function unharmed(t: Test, { proxy, app, driver }: Stage): Promise<void> {
  const [database] = proxy.databases;
  driver.socket.write('y');
  await until(() => database?.text === 'xy');
  database?.say('rows');
  await until(() => driver.heard === 'rows');
  t.match(proxy.registry.workloads[0]?.state, { kind: 'bound' });
  t.equal(app.dialer.epoch, 1);
}

t.test('the certificate of one workload does not bind another, nor does that of an operator or an agent', async (t) => {
  const { keys, proxy } = await stage(t);
  for (const who of ['workload:billing', 'operator', 'agent', 'proxy']) {
    const thief = await shim(t, proxy, keys.security(who));
    await t.rejects(thief.dialer.attach(), {
      code: 'refused-not-authorised',
      message: `${who} may not bind workload orders`,
    });
  }
  t.equal(proxy.registry.workloads.length, 1);
});

t.test('who is refused for his certificate takes nobody the place in the queue', async (t) => {
  const keys = await makeKeys(t, 'proxy', 'workload:orders', 'workload:billing');
  const limits = { bindsPerSecond: 1, bindsAtOnce: 2 };
  const proxy = await new Gate({ security: keys.security('proxy'), limits }).start();
  t.teardown(() => proxy.stop());
  const app = await shim(t, proxy, keys.security('workload:orders'));
  await app.dialer.attach();
  for (let count = 0; count < 5; count++) {
    const frame = stolen(app, { instance: `stranger-${count}` });
    t.match(await say(proxy, keys.security('workload:billing'), frame), { verdict: 'not-authorised' });
  }
  const other = await shim(t, proxy, keys.security('workload:billing'), 'billing');
  const startedMs = performance.now();
  await other.dialer.attach();
  t.equal(other.resumes.length, 1, `bound at its first RESUME, after ${performance.now() - startedMs} ms`);
});

t.test('a stolen token without the key is useless', async (t) => {
  const all = await stage(t);
  const { keys, proxy, app } = all;
  const frame = stolen(app);
  const other = await say(proxy, keys.security('workload:billing'), frame);
  t.match(other, { verdict: 'not-authorised', reason: 'workload:billing may not bind workload orders' });
  const renamed = await say(proxy, keys.security('workload:billing'), stolen(app, { workload: 'billing' }));
  t.match(renamed, { verdict: 'unknown-workload' }, 'under another name there is nothing to take');
  const foreign = await makeKeys(t, 'workload:orders');
  const strange: Security = {
    kind: 'certificates',
    keyring: new Keyring({
      cert: foreign.file('workload:orders'),
      key: foreign.file('workload:orders'),
      ca: keys.ca,
    }),
  };
  t.equal(await say(proxy, strange, frame), undefined, 'a certificate of another authority is not even answered');
  await unharmed(t, all);
  app.cut();
  await until(() => app.dialer.epoch === 2);
});

t.test('a key without the token takes no workload over, neither a bound nor a held one', async (t) => {
  const all = await stage(t);
  const { keys, proxy, app } = all;
  const key = keys.security('workload:orders');
  const wrong = { token: Buffer.alloc(32, 1) };
  t.match(await say(proxy, key, stolen(app, wrong)), { verdict: 'not-authorised', reason: /token/ });
  const none = { token: Buffer.alloc(0), epoch: 0 as Resume['epoch'] };
  t.match(await say(proxy, key, stolen(app, none)), { verdict: 'stale-epoch' });
  await unharmed(t, all);
  await app.dialer.detach();
  await until(() => proxy.registry.workloads[0]?.state.kind === 'held');
  t.match(await say(proxy, key, stolen(app, wrong)), { verdict: 'not-authorised' });
  t.match(await say(proxy, key, stolen(app, none)), { verdict: 'stale-epoch' });
  t.match(await app.dialer.attach(), { epoch: 2, streams: 1 }, 'the shim has both');
});

t.test('who has proved himself has a time to say his RESUME, and says nothing before it', async (t) => {
  const keys = await makeKeys(t, 'proxy', 'workload:orders');
  const key = keys.security('workload:orders');
  const open = async (handshakeMs: number) => {
    const proxy = await new Gate({
      security: keys.security('proxy'),
      linkLimits: { ...linkLimits, handshakeMs },
    }).start();
    t.teardown(() => proxy.stop());
    return proxy;
  };
  const linkLimits = { controlBytesMax: 1_000, frameBytesMax: 500 };
  const startedMs = performance.now();
  t.equal(await say(await open(200), key, Buffer.alloc(0)), undefined);
  t.ok(performance.now() - startedMs >= 195, 'it had its time');
  const patient = 60_000;
  const proxy = await open(patient);
  const frame = (type: number, length: number) => {
    const header = Buffer.alloc(24);
    header.writeUInt32BE(type * 2 ** 24 + length);
    return header;
  };
  for (const [what, bytes] of [
    ['a RESUME that is too long', frame(frameTypes.resume, linkLimits.controlBytesMax + 1)],
    ['DATA', Buffer.concat([frame(frameTypes.data, 1), Buffer.from('x')])],
    ['DATA that is too long', frame(frameTypes.data, linkLimits.frameBytesMax + 1)],
    ['another control frame', frame(frameTypes.goodbye, 0)],
  ] as const) {
    const atMs = performance.now();
    t.equal(await say(proxy, key, bytes), undefined, what);
    t.ok(performance.now() - atMs < patient / 2, `${what} ends the connection at once`);
  }
  t.equal(proxy.registry.workloads.length, 0);
});

t.test('links in their TLS handshake have limits, in all and of one address; a bound one goes on', async (t) => {
  const keys = await makeKeys(t, 'proxy', 'workload:orders');
  const limits = { handshakesMax: 3, handshakesPerAddressMax: 2 };
  const proxy = await new Gate({ security: keys.security('proxy'), limits }).start();
  t.teardown(() => proxy.stop());
  const app = await shim(t, proxy, keys.security('workload:orders'));
  await app.dialer.attach();
  const silent = (localAddress: string) =>
    net.connect({ port: proxy.port, host: '127.0.0.1', localAddress }).on('error', () => undefined);
  const closed = (socket: net.Socket) => new Promise((resolve) => socket.once('close', resolve));
  const idle = [silent('127.0.0.2'), silent('127.0.0.2')];
  await Promise.all(idle.map((socket) => once(socket, 'connect')));
  await closed(silent('127.0.0.2'));
  const third = silent('127.0.0.3');
  await once(third, 'connect');
  await closed(silent('127.0.0.4'));
  t.equal(app.dialer.state.kind, 'bound');
  for (const socket of [...idle, third]) socket.destroy();
  app.cut();
  await until(() => app.dialer.epoch === 2);
});

t.test('rotation: a bound link stays, a new one uses the new certificates, the former key is refused', async (t) => {
  const origin = await makeKeys(t, 'proxy', 'workload:orders');
  const host = t.testdir({ proxy: {}, shim: {}, former: {} });
  const copy = (to: string, who: string) => origin.copyTo(join(host, to), who);
  const ring = (files: ReturnType<typeof copy>): Security => ({ kind: 'certificates', keyring: new Keyring(files) });
  const proxy = await new Gate({ security: ring(copy('proxy', 'proxy')) }).start();
  t.teardown(() => proxy.stop());
  const app = await shim(t, proxy, ring(copy('shim', 'workload:orders')));
  await app.dialer.attach();
  const driver = new TestDriver(app.port);
  driver.socket.write('x');
  await until(() => proxy.databases[0]?.text === 'x');
  const former = copy('former', 'workload:orders');

  for (const step of ['trust', 'issue', 'retire'] as const) {
    await origin.keys.rotate(step, 30);
    copy('proxy', 'proxy');
    copy('shim', 'workload:orders');
    driver.socket.write(`-${step}`);
    await until(() => proxy.databases[0]?.text.endsWith(`-${step}`) ?? false);
  }
  t.equal(app.dialer.epoch, 1, 'the link of the beginning');
  const serial = () => (app.wires.at(-1) as tls.TLSSocket).getPeerCertificate().serialNumber;
  const before = serial();
  app.cut();
  await until(() => app.dialer.epoch === 2);
  t.not(serial(), before);
  driver.socket.write('-new');
  await until(() => proxy.databases[0]?.text === 'x-trust-issue-retire-new');

  copyFileSync(origin.ca, former.ca);
  t.equal(await say(proxy, ring(former), stolen(app)), undefined, 'the former key gets no answer');
});
