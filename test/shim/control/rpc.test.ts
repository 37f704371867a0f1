import { once } from 'node:events';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import tls from 'node:tls';
import { deflateRawSync } from 'node:zlib';
import t, { type Test } from 'tap';
import { z } from 'zod';
import { callsMax, helloBytesMax } from '../../../shim/control/limits.js';
import { ControlError, defineContract } from '../../../shim/control/rpc.js';
import { callControl, connectControl } from '../../../shim/control/rpc-client.js';
import { type ControlListen, type ControlServerOptions, serveControl } from '../../../shim/control/rpc-server.js';
import { CodedError } from '../../../shim/program/errors.js';
import { peerText } from '../../../shim/program/identity.js';
import { Keyring } from '../../../shim/program/keyring.js';
import { clientTls, type Security } from '../../../shim/program/security.js';
import { makeKeys } from '../program/certificates.js';

const contract = defineContract('test', 1, {
  add: { request: z.object({ a: z.number(), b: z.number() }), reply: z.object({ sum: z.number() }) },
  countTo: { request: z.object({ to: z.number() }), reply: z.null(), event: z.object({ at: z.number() }) },
  fail: { request: z.object({ how: z.enum(['coded', 'plain', 'string', 'bad-reply']) }), reply: z.null() },
  hang: { request: z.object({}), reply: z.null() },
  echo: { request: z.string(), reply: z.string(), callers: ['agent'] },
  whoAmI: { request: z.null(), reply: z.string(), callers: ['agent', 'proxy', 'workload'] },
});

const secret: Security = { kind: 'secret', secret: Buffer.from('a secret of at least thirty-two characters') };
const otherSecret: Security = { kind: 'secret', secret: Buffer.from('another one of at least thirty-two characters') };
const plaintext: Security = { kind: 'plaintext' };
const loopback = { host: '127.0.0.1', port: 0 };

/** Not in tap's test directory: its path is too long for a Unix socket. */
function socketPath(t: Test): string {
  const dir = mkdtempSync(join(tmpdir(), 'hf-'));
  t.teardown(() => rmSync(dir, { recursive: true }));
  return join(dir, 's');
}

async function serve<Listen extends ControlListen>(t: Test, listen: Listen, options: ControlServerOptions = {}) {
  let release: () => void = () => undefined;
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  const server = await serveControl(
    contract,
    {
      add: async ({ a, b }) => ({ sum: a + b }),
      countTo: async ({ to }, emit) => {
        for (let at = 1; at <= to; at++) emit({ at });
        return null;
      },
      fail: async ({ how }) => {
        if (how === 'coded') throw new CodedError('out-of-cheese', 'backend', 'none left');
        if (how === 'string') throw 'a string';
        if (how === 'plain') throw new Error('plain');
        return 'not null' as unknown as null;
      },
      hang: async () => {
        await released;
        return null;
      },
      echo: async (text) => text,
      whoAmI: async (_request, _emit, caller) => peerText(caller),
    },
    listen,
    options,
  );
  t.teardown(async () => {
    release();
    await server.close();
  });
  return {
    server,
    release,
    target: { ...listen, address: { ...loopback, port: server.port }, expect: { role: 'proxy' } as const },
  };
}

t.test('a call is answered, over a Unix socket and over TCP with each kind of security', async (t) => {
  const listens: ControlListen[] = [
    { path: socketPath(t) },
    { address: loopback, security: secret },
    { address: loopback, security: plaintext },
  ];
  for (const listen of listens) {
    const { target } = await serve(t, listen);
    t.same(await callControl(contract, target, 'add', { a: 2, b: 3 }), { sum: 5 });
  }
});

t.test('each caller may do what its certificate allows: operators everything, others what a verb says', async (t) => {
  const keys = await makeKeys(t, 'proxy', 'agent', 'operator:alice', 'workload:orders');
  const { target } = await serve(t, { address: loopback, security: keys.security('proxy') });
  const as = (who: string) => ({ ...target, security: keys.security(who) });
  const add = (who: string) => callControl(contract, as(who), 'add', { a: 2, b: 3 });
  t.same(await add('operator:alice'), { sum: 5 });
  for (const who of ['agent', 'proxy', 'workload:orders']) {
    await t.rejects(add(who), {
      code: 'not-authorised',
      message: `${who} may not call add of test: it is for operator`,
    });
  }
  t.equal(await callControl(contract, as('agent'), 'echo', 'hello'), 'hello');
  t.equal(await callControl(contract, as('operator:alice'), 'echo', 'hello'), 'hello');
  await t.rejects(callControl(contract, as('workload:orders'), 'echo', 'hello'), {
    code: 'not-authorised',
    message: 'workload:orders may not call echo of test: it is for operator, agent',
  });
  t.equal(await callControl(contract, as('workload:orders'), 'whoAmI', null), 'workload:orders');
  t.equal(await callControl(contract, as('operator:alice'), 'whoAmI', null), 'operator:alice');
});

t.test('handlers learn who calls: by certificate, or by what the caller is trusted for', async (t) => {
  const path = await serve(t, { path: socketPath(t) });
  t.equal(await callControl(contract, path.target, 'whoAmI', null), 'a peer trusted by file-mode');
  const tcp = await serve(t, { address: loopback, security: secret });
  t.equal(await callControl(contract, tcp.target, 'whoAmI', null), 'a peer trusted by secret');
});

t.test('a server with the certificate of another role is not spoken to', async (t) => {
  const keys = await makeKeys(t, 'agent', 'operator');
  const { target } = await serve(t, { address: loopback, security: keys.security('agent') });
  await t.rejects(connectControl(contract, { ...target, security: keys.security('operator') }), {
    code: 'not-authorised',
    message: /the other side is agent, expected was proxy/,
  });
});

t.test('a caller of another authority, or without a certificate, is not answered', async (t) => {
  const [keys, strange] = [await makeKeys(t, 'proxy'), await makeKeys(t, 'operator')];
  const { target, server } = await serve(t, { address: loopback, security: keys.security('proxy') });
  const files = { cert: strange.file('operator'), key: strange.file('operator'), ca: keys.ca };
  const stranger: Security = { kind: 'certificates', keyring: new Keyring(files) };
  await t.rejects(connectControl(contract, { ...target, security: stranger }), {
    code: 'unreachable',
    message: /not trust our certificate/,
  });
  await t.rejects(connectControl(contract, { ...target, security: secret }), {
    code: /^(not-authorised|unreachable)$/,
  });
  t.equal(server.connections, 0);
});

t.test('only the owner may connect to a Unix socket', async (t) => {
  const path = socketPath(t);
  await serve(t, { path });
  t.equal(statSync(path).mode & 0o777, 0o600);
});

t.test('events reach the caller of their request only, before the reply', async (t) => {
  const { target } = await serve(t, { path: socketPath(t) });
  const client = await connectControl(contract, target);
  const seen: number[] = [];
  const other: unknown[] = [];
  await Promise.all([
    client.call('countTo', { to: 3 }, { onEvent: ({ at }) => seen.push(at) }),
    client.call('countTo', { to: 0 }, { onEvent: (event) => other.push(event) }),
  ]);
  await client.close();
  t.same([seen, other], [[1, 2, 3], []]);
});

t.test('errors keep their code and source across the socket', async (t) => {
  const { target } = await serve(t, { path: socketPath(t) });
  const fail = (how: 'coded' | 'plain' | 'string' | 'bad-reply') => callControl(contract, target, 'fail', { how });
  await t.rejects(fail('coded'), new ControlError('out-of-cheese', 'backend', 'none left'));
  await t.rejects(fail('plain'), { code: 'internal', message: 'plain' });
  await t.rejects(fail('string'), { code: 'internal', message: 'a string' });
  await t.rejects(fail('bad-reply'), { code: 'bad-reply' });
});

t.test('unknown verbs and wrong requests are refused with a code', async (t) => {
  const { target } = await serve(t, { path: socketPath(t) });
  const newer = defineContract('test', 1, {
    ...contract.verbs,
    dance: contract.verbs.hang,
    constructor: contract.verbs.hang,
  });
  await t.rejects(callControl(newer, target, 'dance', {}), { code: 'unknown-verb', message: 'test has no verb dance' });
  await t.rejects(callControl(newer, target, 'constructor', {}), { code: 'unknown-verb' });
  const wrong = { a: 1, b: 'x' } as unknown as { a: number; b: number };
  await t.rejects(callControl(contract, target, 'add', wrong), { code: 'bad-request', message: /^add: b: / });
});

t.test('another kind of program or another version is refused in the hello', async (t) => {
  const { target } = await serve(t, { path: socketPath(t) });
  for (const wrong of [defineContract('other', 1, {}), defineContract('test', 2, {})]) {
    const expected = {
      code: 'wrong-contract',
      message: `${target.path}: this is test 1, the caller wants ${wrong.name} ${wrong.version}`,
    };
    await t.rejects(connectControl(wrong, target), expected);
  }
});

t.test('nobody there, or nobody who answers, is unreachable; the wrong secret is not authorised', async (t) => {
  await t.rejects(connectControl(contract, { path: socketPath(t) }), {
    code: 'unreachable',
    message: /ENOENT/,
  });
  const { target, server } = await serve(t, { address: loopback, security: secret });
  await t.rejects(connectControl(contract, { ...target, security: otherSecret }), { code: 'not-authorised' });
  const advice = /hung up without an answer.*protected in another way/;
  await t.rejects(connectControl(contract, { ...target, security: plaintext }), {
    code: 'unreachable',
    message: advice,
  });
  await server.close();
  await t.rejects(connectControl(contract, target), { code: 'unreachable', message: /ECONNREFUSED/ });
});

t.test('a protected client does not take a plain server', async (t) => {
  const { target } = await serve(t, { address: loopback, security: plaintext });
  await t.rejects(connectControl(contract, { ...target, security: secret }), { code: 'not-authorised' });
});

t.test('a call without an answer times out, later calls still work', async (t) => {
  const { target } = await serve(t, { path: socketPath(t) });
  const client = await connectControl(contract, target);
  await t.rejects(client.call('hang', {}, { timeoutMs: 10 }), { code: 'timeout' });
  t.same(await client.call('add', { a: 1, b: 1 }), { sum: 2 });
  await client.close();
  await t.rejects(client.call('add', { a: 1, b: 1 }), { code: 'closed' });
});

t.test('a server that accepts and says nothing times out', async (t) => {
  const path = socketPath(t);
  const silent = net.createServer();
  await new Promise<void>((resolve) => silent.listen(path, resolve));
  t.teardown(() => silent.close());
  await t.rejects(connectControl(contract, { path }, { timeoutMs: 10 }), { code: 'timeout' });
});

t.test('calls end with closed when the server goes away', async (t) => {
  const { target, server, release } = await serve(t, { path: socketPath(t) });
  const client = await connectControl(contract, target);
  const waiting = client.call('hang', {}, { timeoutMs: 0 });
  const answered = client.call('add', { a: 1, b: 1 });
  await answered;
  release();
  t.equal(await waiting, null, 'a running handler is waited for');
  await server.close();
  await t.rejects(client.call('add', { a: 1, b: 1 }), { code: 'closed' });
});

t.test('after close the server has no connection left', async (t) => {
  const { target, server } = await serve(t, { path: socketPath(t) });
  const client = await connectControl(contract, target);
  t.equal(server.connections, 1);
  await client.close();
  t.equal(server.connections, 0);
});

t.test('close does not wait for ever for an other end that is frozen', async (t) => {
  const { server } = await serve(t, { address: loopback, security: plaintext });
  const forwarder = net.createServer({ allowHalfOpen: true }, (from) => {
    const to = net.connect(server.port, '127.0.0.1');
    from
      .on('error', () => to.destroy())
      .on('data', (data) => to.write(data))
      .on('close', () => to.destroy());
    to.on('error', () => undefined).on('data', (data) => from.write(data));
  });
  await new Promise<void>((resolve) => forwarder.listen(0, '127.0.0.1', resolve));
  t.teardown(() => forwarder.close());
  const address = forwarder.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const client = await connectControl(contract, {
    address: { host: '127.0.0.1', port },
    security: plaintext,
    expect: { role: 'proxy' },
  });
  await client.close();
  t.pass('closed');
});

t.test('a message longer than the limit ends the connection, before and after the hello', async (t) => {
  const { target } = await serve(t, { path: socketPath(t) }, { messageBytesMax: 100_000 });
  const client = await connectControl(contract, target);
  await t.rejects(client.call('echo', 'x'.repeat(1_000_000)), { code: 'closed' });
  const raw = net.connect(target.path);
  raw.on('error', () => undefined);
  const closed = new Promise((resolve) => raw.once('close', resolve));
  raw.write('IPC');
  raw.write(Buffer.concat([Buffer.from([0x7f, 0x7f, 0x7f, 0xff]), Buffer.alloc(1_000_000)]));
  await closed;
  t.equal(await callControl(contract, target, 'echo', 'x'.repeat(90_000)), 'x'.repeat(90_000), 'others go on');
});

t.test(
  'a caller that says no hello, or one that is too long, is closed; those in the handshake have limits',
  async (t) => {
    const keys = await makeKeys(t, 'proxy', 'operator');
    const newcomers = { newcomersMax: 2, newcomersPerAddressMax: 1 };
    const connectMsMax = 300;
    const { target, server } = await serve(
      t,
      { address: loopback, security: keys.security('proxy') },
      { connectMsMax, newcomers },
    );
    const operator = { ...target, security: keys.security('operator') };
    const { port } = target.address;
    const secured = clientTls(keys.security('operator'), 'control', { role: 'proxy' });
    const startedMs = performance.now();
    const silent = tls.connect({ ...secured, port, host: '127.0.0.1' });
    await once(silent, 'close');
    t.ok(performance.now() - startedMs >= connectMsMax - 5, 'the silent one had its time');
    const patient = await serve(t, { address: loopback, security: keys.security('proxy') }, { connectMsMax: 60_000 });
    const long = tls.connect({ ...secured, port: patient.target.address.port, host: '127.0.0.1' });
    long.on('error', () => undefined);
    long.write(Buffer.concat([Buffer.from('IPC'), Buffer.from([0x3f, 0xff]), Buffer.alloc(helloBytesMax * 2, 0x20)]));
    const closedMs = performance.now();
    await once(long, 'close');
    t.ok(performance.now() - closedMs < 30_000, 'the long hello is not waited for');

    const idle = net.connect(port, '127.0.0.1');
    await once(idle, 'connect');
    await t.rejects(
      connectControl(contract, operator),
      { code: 'unreachable' },
      'one newcomer of an address at a time',
    );
    const elsewhere = net.connect({ port, host: '127.0.0.1', localAddress: '127.0.0.2' });
    const elsewhereClosed = once(
      elsewhere.on('error', () => undefined),
      'close',
    );
    await once(idle, 'close');
    t.same(await callControl(contract, operator, 'add', { a: 1, b: 2 }), { sum: 3 });
    await elsewhereClosed;
    t.equal(server.connections, 0);
  },
);

t.test(
  'authenticated callers have a limit of their own: those in the handshake do not take their places',
  async (t) => {
    const keys = await makeKeys(t, 'proxy', 'operator');
    const { target } = await serve(t, { address: loopback, security: keys.security('proxy') }, { connectionsMax: 1 });
    const idle = net.connect(target.address.port, '127.0.0.1');
    await once(idle, 'connect');
    const operator = { ...target, security: keys.security('operator') };
    const client = await connectControl(contract, operator);
    await t.rejects(connectControl(contract, operator), { code: 'unreachable' });
    await client.close();
    idle.destroy();
  },
);

/** The first message to net-ipc, as JSON with its length in groups of seven bits. */
function opening(options: object): Buffer {
  const text = JSON.stringify({ t: 0, d: { extras: { contract: 'test', version: 1 }, ...options } });
  return Buffer.from(`IPC${String.fromCharCode(text.length >> 7, 0x80 + (text.length & 0x7f))}${text}`, 'latin1');
}

const bombs = [
  ['asks for compression, and sends a MiB that unfolds to a GiB', true, deflateRawSync(Buffer.alloc(2 ** 30))],
  ['announces long lists', false, Buffer.from('dd01c9c380'.repeat(5), 'hex')],
] as const;
for (const [what, compress, bomb] of bombs) {
  t.test(`a caller that ${what} takes no memory`, async (t) => {
    const { target } = await serve(t, { path: socketPath(t) });
    const raw = net.connect(target.path).on('error', () => undefined);
    raw.write(opening({ compress, messagepack: true, padding: 'x'.repeat(100) }));
    await once(raw, 'data');
    const before = process.resourceUsage().maxRSS;
    const { length } = bomb;
    raw.write(Buffer.from([length >> 14, (length >> 7) & 0x7f, 0x80 + (length & 0x7f)]));
    raw.write(bomb);
    while (raw.writableLength > 0) await once(raw, 'drain');
    t.same(await callControl(contract, target, 'add', { a: 1, b: 2 }), { sum: 3 });
    const grownMiB = (process.resourceUsage().maxRSS - before) / 1_024;
    t.ok(grownMiB < 200, `${grownMiB.toFixed(1)} MiB for ${length} bytes`);
    raw.destroy();
  });
}

t.test('a message that stops half-way ends the connection', async (t) => {
  const { target } = await serve(t, { path: socketPath(t) }, { messagePauseMsMax: 10 });
  const raw = net.connect(target.path);
  const closed = new Promise((resolve) => raw.once('close', resolve));
  raw.end(Buffer.from('IPC\x85{', 'latin1'));
  await closed;
});

t.test('connections and calls at once have limits', async (t) => {
  const { target, release } = await serve(t, { path: socketPath(t) }, { connectionsMax: 1 });
  const client = await connectControl(contract, target);
  await t.rejects(connectControl(contract, target), { code: 'unreachable', message: /hung up/ });
  const calls = Array.from({ length: callsMax + 1 }, () => client.call('hang', {}));
  const last = calls.pop() ?? Promise.resolve(null);
  await t.rejects(last, { code: 'too-many-calls' });
  release();
  await Promise.all(calls);
  await client.close();
});

t.test('garbage on the socket does not stop the server', async (t) => {
  const { target } = await serve(t, { path: socketPath(t) });
  for (const garbage of [
    'GET / HTTP/1.1\r\n\r\n',
    'IPC\x85nope!',
    'IPC\x80',
    'xyz',
    `IPC${String.fromCharCode(0x82)}{}`,
  ]) {
    const raw = net.connect(target.path);
    raw.on('error', () => undefined);
    raw.end(Buffer.from(garbage, 'latin1'));
  }
  t.same(await callControl(contract, target, 'add', { a: 1, b: 2 }), { sum: 3 });
});

t.test('an address in use is refused, and a live Unix socket is not taken over', async (t) => {
  const path = socketPath(t);
  await serve(t, { path });
  await t.rejects(serve(t, { path }), { code: 'address-in-use' });
  const { target } = await serve(t, { address: loopback, security: secret });
  await t.rejects(serve(t, target as ControlListen), { code: 'address-in-use' });
  await t.rejects(serve(t, { path: `/tmp/${'x'.repeat(108)}` }), {
    code: 'bad-address',
    message: /too long/,
  });
});

t.test('a socket file that a killed program left behind is replaced', async (t) => {
  const path = socketPath(t);
  writeFileSync(path, '');
  const { target } = await serve(t, { path });
  t.same(await callControl(contract, target, 'add', { a: 1, b: 2 }), { sum: 3 });
});
