import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { pino } from 'pino';
import t, { type Test } from 'tap';
import type { BackendError } from '../../../proxy/backend/errors.js';
import { type BackendLimits, defaultBackendLimits } from '../../../proxy/backend/limits.js';
import { BackendSession } from '../../../proxy/backend/session.js';
import { encodeAccept, encodeConnect, encodeRedirect, PacketCollector } from '../../../proxy/tns/index.js';

const acceptFields = { version: 319, options: 0x0401, sduBytes: 8192, tduBytes: 65536, uuid: Buffer.alloc(16) };
const accept = encodeAccept({ ...acceptFields, flags2: 1 });
const acceptSeen = encodeAccept({ ...acceptFields, options: 1, flags2: 0 });
const connect = Buffer.concat(
  encodeConnect(
    { version: 319, versionLowest: 300, options: 1, sduBytes: 8192, tduBytes: 65536, flags2: 0 },
    '(DESCRIPTION=(CONNECT_DATA=(SERVICE_NAME=orders)))',
  ),
);

/** A listener that answers each CONNECT with `answer`, and then leaves the socket to the test. */
async function listener(t: Test, answer: Buffer | undefined): Promise<{ server: Server; port: number }> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    const collector = new PacketCollector('frontend', 65535);
    socket.on('error', () => {});
    socket.on('data', function answerConnect(chunk: Buffer) {
      collector.push(chunk);
      if (collector.next() === undefined || answer === undefined) return;
      socket.off('data', answerConnect);
      socket.pause();
      socket.write(answer);
      server.emit('accepted', socket);
    });
    t.teardown(() => socket.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  return { server, port: (server.address() as AddressInfo).port };
}

/** A session with all it tells, in order; `when` waits for a condition on it. */
function open(t: Test, port: number, limits: Partial<BackendLimits> = {}) {
  const seen = {
    events: [] as string[],
    data: Buffer.alloc(0),
    consumed: 0,
    error: undefined as BackendError | undefined,
  };
  const waiting: { condition: () => boolean; done: () => void }[] = [];
  const note = (event?: string): void => {
    if (event !== undefined) seen.events.push(event);
    for (const wait of waiting) if (wait.condition()) wait.done();
  };
  const session = new BackendSession({
    address: { host: '127.0.0.1', port },
    limits: { ...defaultBackendLimits, ...limits },
    log: pino({ level: 'silent' }),
    now: () => 0,
    events: {
      data: (chunk) => {
        seen.data = Buffer.concat([seen.data, chunk]);
        note();
      },
      consumed: (total) => {
        if (total <= seen.consumed) t.fail('consumed must grow');
        seen.consumed = total;
        note();
      },
      end: () => note('end'),
      closed: (error) => {
        seen.error = error;
        note('closed');
      },
    },
  });
  t.teardown(() => session.destroy());
  const when = (condition: () => boolean): Promise<void> =>
    condition() ? Promise.resolve() : new Promise((done) => waiting.push({ condition, done }));
  return { session, seen, when };
}

/** A session past its ACCEPT, and the database's end of it. */
async function openAccepted(t: Test) {
  const { server, port } = await listener(t, accept);
  const opened = open(t, port);
  const accepted = once(server, 'accepted');
  opened.session.write(connect);
  const [peer] = (await accepted) as [Socket];
  await opened.when(() => opened.seen.data.length >= accept.length);
  return { ...opened, peer, port };
}

/** Bytes in which each place differs from its neighbours, to see loss, repetition and order. */
function pattern(length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let at = 0; at < length; at++) bytes[at] = (at * 31 + (at >> 8) * 7) & 0xff;
  return bytes;
}

async function receive(peer: Socket, length: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let held = 0;
  for await (const chunk of peer.iterator({ destroyOnReturn: false })) {
    chunks.push(chunk);
    held += chunk.length;
    if (held >= length) break;
  }
  return Buffer.concat(chunks);
}

t.test('after ACCEPT bytes pass unchanged in both directions, and their positions are told', async (t) => {
  const { session, seen, when, peer } = await openAccepted(t);
  t.strictSame(seen.data, acceptSeen);
  t.equal(seen.consumed, connect.length);
  const up = pattern(100_000);
  for (let at = 0; at < up.length; at += 7001) session.write(up.subarray(at, at + 7001));
  t.strictSame(await receive(peer, up.length), up);
  await when(() => seen.consumed === connect.length + up.length);
  t.equal(session.consumed, seen.consumed);
  const down = pattern(100_000);
  peer.write(down);
  await when(() => seen.data.length >= accept.length + down.length);
  t.strictSame(seen.data.subarray(accept.length), down);
  t.match(session.describe(), {
    state: 'open',
    positions: { received: seen.consumed, consumed: seen.consumed, delivered: seen.data.length },
    track: { phase: 'login', identity: { service: 'orders' }, protocol: { version: 319, sduBytes: 8192 } },
  });
  t.doesNotThrow(() => structuredClone(session.describe()));
});

t.test('bytes that the database does not read are not consumed', async (t) => {
  const { session, seen, when, peer } = await openAccepted(t);
  const up = pattern(16 * 1024 * 1024);
  for (let at = 0; at < up.length; at += 65536) session.write(up.subarray(at, at + 65536));
  await turn();
  await turn();
  t.ok(seen.consumed < connect.length + up.length, 'the kernels cannot hold it all');
  const received = receive(peer, up.length);
  await when(() => seen.consumed === connect.length + up.length);
  t.ok((await received).equals(up));
});

t.test('bytes that a lost connection forgot are not consumed', async (t) => {
  const { session, seen, when, peer } = await openAccepted(t);
  const up = pattern(16 * 1024 * 1024);
  for (let at = 0; at < up.length; at += 65536) session.write(up.subarray(at, at + 65536));
  await turn();
  peer.resetAndDestroy();
  await when(() => seen.events.includes('closed'));
  t.ok(session.consumed < connect.length + up.length);
  t.equal(seen.error?.code, 'database-lost');
});

t.test('a paused session reads nothing more from the database until it is resumed', async (t) => {
  const { session, seen, when, peer } = await openAccepted(t);
  session.pause();
  const down = pattern(16 * 1024 * 1024);
  peer.write(down);
  await turn();
  await turn();
  t.equal(seen.data.length, accept.length);
  t.equal(session.describe().paused, true);
  session.resume();
  await when(() => seen.data.length === accept.length + down.length);
  t.ok(seen.data.subarray(accept.length).equals(down));
});

t.test('a REDIRECT is followed to another address', async (t) => {
  const second = await listener(t, accept);
  const address = `(ADDRESS=(PROTOCOL=TCP)(HOST=127.0.0.1)(PORT=${second.port}))`;
  const first = await listener(
    t,
    Buffer.concat(encodeRedirect({ address, connectData: undefined }, { overflow: false })),
  );
  const { session, seen, when } = open(t, first.port);
  session.write(connect);
  await when(() => seen.data.length >= accept.length);
  t.strictSame(seen.data, acceptSeen);
  t.match(session.describe(), { state: 'open', database: { port: second.port } });
});

t.test('no listener: a REFUSE, the end, and an error with a code, in this order', async (t) => {
  const { server, port } = await listener(t, undefined);
  server.close();
  const { session, seen, when } = open(t, port);
  session.write(connect);
  await when(() => seen.events.includes('closed'));
  t.strictSame(seen.events, ['end', 'closed']);
  t.match(seen.data.toString('latin1'), /\(ERR=12541\)/);
  t.equal(seen.consumed, connect.length);
  t.equal(seen.error?.code, 'database-no-listener');
  t.equal(session.describe().state, 'closed');
});

t.test('a connection that is not made within dialMs is given up', async (t) => {
  const { port } = await listener(t, accept);
  const { session, seen, when } = open(t, port, { dialMs: 1 });
  session.write(connect);
  // The timer is due before the event loop looks at sockets again.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
  await when(() => seen.events.includes('closed'));
  t.equal(seen.error?.code, 'database-dial-timeout');
  t.match(seen.data.toString('latin1'), /\(ERR=12535\)/);
});

t.test('a listener that does not answer within connectMs is given up', async (t) => {
  const { port } = await listener(t, undefined);
  const { session, seen, when } = open(t, port, { connectMs: 50 });
  session.write(connect);
  await when(() => seen.events.includes('closed'));
  t.equal(seen.error?.code, 'database-answer-timeout');
});

t.test('a driver that sends no CONNECT within connectMs is given up', async (t) => {
  const { seen, when } = open(t, 1, { connectMs: 1 });
  await when(() => seen.events.includes('closed'));
  t.equal(seen.error?.code, 'driver-connect-timeout');
  t.equal(seen.data.length, 0);
});

t.test('a driver that is no Oracle Net client sees the connection end', async (t) => {
  const { session, seen, when } = open(t, 1);
  session.write(Buffer.from('GET / HTTP/1.1\r\n\r\n'));
  await when(() => seen.events.includes('closed'));
  t.strictSame(seen.events, ['end', 'closed']);
  t.equal(seen.error?.code, 'driver-not-oracle-net');
  t.equal(seen.consumed, 0);
});

t.test('the driver ends first: the database sees it, its last bytes still come, and it is no error', async (t) => {
  const { session, seen, when, peer } = await openAccepted(t);
  session.end();
  peer.resume();
  await once(peer, 'end');
  peer.end('bye');
  await when(() => seen.events.includes('closed'));
  t.strictSame(seen.events, ['end', 'closed']);
  t.match(seen.data.toString('latin1'), /bye$/);
  t.equal(seen.error, undefined);
});

t.test('the database ends unasked: the end comes after all data, and the error says who it was', async (t) => {
  const { session, seen, when, peer } = await openAccepted(t);
  peer.end(pattern(1000));
  await when(() => seen.events.includes('end'));
  t.equal(seen.data.length, accept.length + 1000);
  session.end();
  await when(() => seen.events.includes('closed'));
  t.equal(seen.error?.code, 'database-ended');
});

t.test('a driver that ends before it has an answer leaves nothing behind', async (t) => {
  const { server, port } = await listener(t, undefined);
  const { session, seen, when } = open(t, port);
  session.write(connect);
  const [peer] = (await once(server, 'connection')) as [Socket];
  session.end();
  await when(() => seen.events.includes('closed'));
  t.equal(seen.error, undefined);
  await once(peer, 'end');
});

t.test('destroy ends the session once, without an error, and nothing comes after it', async (t) => {
  const { session, seen, when, peer } = await openAccepted(t);
  peer.write('late');
  session.destroy();
  session.destroy();
  session.write(Buffer.from('ignored'));
  await when(() => seen.events.includes('closed'));
  await turn();
  t.strictSame(seen.events, ['closed']);
  t.equal(seen.error, undefined);
  t.equal(seen.data.length, accept.length);
});
