import { once } from 'node:events';
import type { Socket } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import t from 'tap';
import { encodeRedirect } from '../../../proxy/tns/index.js';
import { accept, acceptSeen, connect, listener, open, openAccepted, pattern, receive } from './opened.js';

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
  const { session, seen, when } = open(t, port, { connectMs: 500 });
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

t.test('memory of what was written may be written again when flush says that no view of it is kept', async (t) => {
  const { session, seen, when, peer } = await openAccepted(t);
  const up = pattern(16 * 1024 * 1024);
  let memory = Buffer.alloc(64 * 1024);
  let kept = 0;
  for (let at = 0; at < up.length; at += memory.length) {
    up.copy(memory, 0, at);
    const { consumed } = session;
    session.gather();
    for (let part = 0; part < memory.length; part += 16_384) session.write(memory.subarray(part, part + 16_384));
    if (session.consumed !== consumed) t.fail('nothing leaves before the flush');
    if (session.flush()) {
      kept += 1;
      memory = Buffer.alloc(memory.length);
    } else memory.fill(0);
  }
  t.ok(kept > 0 && kept < up.length / memory.length, `kept ${kept} times: the kernels cannot hold it all`);
  const received = receive(peer, up.length);
  await when(() => seen.consumed === connect.length + up.length);
  t.ok((await received).equals(up));
  const another = open(t, (await listener(t, accept)).port);
  another.session.write(connect.subarray(0, 20));
  t.equal(another.session.flush(), true, 'a CONNECT is kept until it is whole, and there is an answer');
});
