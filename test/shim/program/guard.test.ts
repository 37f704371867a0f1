import { once } from 'node:events';
import net, { type AddressInfo, type Socket } from 'node:net';
import tls from 'node:tls';
import t, { type Test } from 'tap';
import { type GuardLimits, guardServer, reportsPerMinuteMax, type TurnedAway } from '../../../shim/program/guard.js';
import { clientTls, type Security, serverTls } from '../../../shim/program/security.js';
import { makeKeys } from './certificates.js';

const secret: Security = { kind: 'secret', secret: Buffer.from('a secret of at least thirty-two characters') };
const roomy: GuardLimits = { newcomersMax: 100, newcomersPerAddressMax: 100 };

interface Guarded {
  readonly server: tls.Server;
  readonly events: TurnedAway[];
  /** A connection that says nothing. */
  silent(from?: string): Promise<Socket>;
  /** A whole handshake; rejects when it is not taken. */
  handshake(from?: string): Promise<tls.TLSSocket>;
  connections(): Promise<number>;
}

async function guarded(
  t: Test,
  limits: GuardLimits,
  handshakeTimeout = 60_000,
  nowMs = () => performance.now(),
): Promise<Guarded> {
  const server = tls.createServer({ ...serverTls(secret, 'link'), handshakeTimeout }, (socket) => {
    socket.on('error', () => undefined);
    socket.write('hello');
  });
  const events: TurnedAway[] = [];
  const guard = guardServer(server, secret, limits, (event) => events.push(event), nowMs);
  await once(server.listen(0, '0.0.0.0'), 'listening');
  const { port } = server.address() as AddressInfo;
  const open: Socket[] = [];
  t.teardown(() => {
    for (const socket of open) socket.destroy();
    guard.close();
    server.close();
  });
  const place = (from = '127.0.0.1') => ({ port, host: '127.0.0.1', localAddress: from });
  return {
    server,
    events,
    silent: async (from) => {
      const socket = net.connect(place(from)).on('error', () => undefined);
      open.push(socket);
      await once(socket, 'connect');
      return socket;
    },
    handshake: async (from) => {
      const socket = tls.connect({ ...clientTls(secret, 'link', { role: 'proxy' }), ...place(from) });
      open.push(socket);
      await Promise.race([once(socket, 'data'), closed(socket).then(() => Promise.reject(new Error('closed')))]);
      return socket;
    },
    connections: () => new Promise((resolve) => server.getConnections((_error, count) => resolve(count))),
  };
}

t.test('who does not finish the TLS handshake in time is closed, and leaves nothing behind', async (t) => {
  const { silent, connections, events } = await guarded(t, roomy, 50);
  const [first, second] = [await silent(), await silent()];
  second.write(Buffer.from([0x16, 3, 1, 0x40, 0, 1, 0, 0x3f, 0xfc]));
  await Promise.all([closed(first), closed(second)]);
  while ((await connections()) > 0) await new Promise((resolve) => setImmediate(resolve));
  t.same(
    events.map(({ why, address }) => [why, address]),
    Array.from({ length: 2 }, () => ['TLS handshake timeout', '127.0.0.1']),
  );
});

t.test('of one address only so many may be in their handshake; others are not kept out', async (t) => {
  const { silent, handshake, events } = await guarded(t, { newcomersMax: 100, newcomersPerAddressMax: 2 });
  const [first] = [await silent(), await silent()];
  await closed(await silent());
  t.match(events, [{ address: '127.0.0.1', why: 'more than 2 connections of one address in their TLS handshake' }]);
  await t.rejects(handshake());
  t.ok(await handshake('127.0.0.2'), 'another address');
  first.destroy();
  await until(() => handshake());
});

t.test('of all addresses only so many may be in their handshake', async (t) => {
  const { silent, handshake, events } = await guarded(t, { newcomersMax: 2, newcomersPerAddressMax: 2 });
  const one = await silent('127.0.0.2');
  await silent('127.0.0.3');
  await t.rejects(handshake('127.0.0.4'));
  t.match(events, [{ address: '127.0.0.4', why: 'more than 2 connections in their TLS handshake' }]);
  one.destroy();
  await until(() => handshake('127.0.0.4'));
});

t.test('who has proved who he is counts no more', async (t) => {
  const { handshake, connections } = await guarded(t, { newcomersMax: 1, newcomersPerAddressMax: 1 });
  for (let count = 1; count <= 5; count++) {
    await handshake();
    t.equal(await connections(), count);
  }
});

t.test('what is no TLS is closed at its first bytes, however much follows', async (t) => {
  const { silent, connections, events } = await guarded(t, roomy);
  const socket = await silent();
  socket.write(Buffer.alloc(16 * 1_048_576, 0x41));
  await closed(socket);
  while ((await connections()) > 0) await new Promise((resolve) => setImmediate(resolve));
  t.match(events, [{ why: /wrong version number|packet length too long|http request/ }]);
});

t.test('reports have a limit, and the next one tells how many were left out', async (t) => {
  let nowMs = 0;
  const { silent, events } = await guarded(t, { newcomersMax: 0, newcomersPerAddressMax: 0 }, 60_000, () => nowMs);
  const knock = async () => closed(await silent());
  for (let count = 0; count < reportsPerMinuteMax + 5; count++) await knock();
  t.equal(events.length, reportsPerMinuteMax);
  nowMs = 60_000;
  await knock();
  t.match(events.at(-1), { unreported: 5, address: '127.0.0.1' });
  await knock();
  t.equal(events.at(-1)?.unreported, undefined);
});

t.test('a certificate that is not taken is named with its reason', async (t) => {
  const [ours, strange] = [await makeKeys(t, 'proxy'), await makeKeys(t, 'operator')];
  const events: TurnedAway[] = [];
  const server = tls.createServer(serverTls(ours.security('proxy'), 'link') ?? {});
  guardServer(server, ours.security('proxy'), roomy, (event) => events.push(event));
  await once(server.listen(0, '127.0.0.1'), 'listening');
  t.teardown(() => server.close());
  const { port } = server.address() as AddressInfo;
  const socket = tls.connect({
    ...clientTls(strange.security('operator'), 'link', { role: 'proxy' }),
    port,
    rejectUnauthorized: false,
  });
  socket.on('error', () => undefined);
  await closed(socket);
  t.match(events, [{ why: /^its certificate is not accepted: / }]);
});

/** Not `once` of node:events, which rejects when the connection breaks. */
function closed(socket: Socket): Promise<unknown> {
  return new Promise((resolve) => socket.once('close', resolve));
}

/** Tries again until it works; the test's own time limit bounds it. */
async function until(attempt: () => Promise<unknown>): Promise<void> {
  while (
    await attempt().then(
      () => false,
      () => true,
    )
  );
}
