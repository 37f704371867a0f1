/** A session goes on from its record and its socket. */
import { once } from 'node:events';
import { connect as connectTo, type Socket } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import oracledb from 'oracledb';
import t, { type Test } from 'tap';
import { openDatabase } from '../../../fixtures/oracle/postgres.js';
import { startOracleServer } from '../../../fixtures/oracle/server.js';
import { packRecord, type SessionRecord, unpackRecord } from '../../../proxy/backend/record.js';
import { BackendSession } from '../../../proxy/backend/session.js';
import { handleOf } from '../../../proxy/kernel/handle.js';
import { socketCounters } from '../../../proxy/kernel/socket-counters.js';
import { bytes, data } from '../track/wire.js';
import { accept, connect, listener, open, openAccepted, pattern, receive } from './opened.js';
import { pipe } from './pipe.js';

/** A request that nobody answers here. */
const request = data(bytes(3, 147, 7), 0x0800);

/** An accepted session, and what it hands out. */
async function openReleased(t: Test, prepare: (session: BackendSession) => void = () => {}) {
  const opened = await openAccepted(t);
  prepare(opened.session);
  const released = opened.session.release();
  if (released === undefined) throw new Error('there is no record');
  t.teardown(() => released.socket.destroy());
  return { ...opened, socket: released.socket, record: unpackRecord(packRecord(released.record)) };
}

/** Waits until the kernel has something to read, and lets the event loop have its chance. */
async function arrived(socket: Socket): Promise<void> {
  const fd = handleOf(socket)?.fd ?? -1;
  const unread = (): number => (socketCounters(fd)?.arrivedBytes ?? 0) - socket.bytesRead;
  while (unread() === 0) await turn();
  for (let turns = 0; turns < 5; turns += 1) await turn();
}

t.test('in the connect phase, and after the end, there is no record', async (t) => {
  const { port } = await listener(t, undefined);
  const { session } = open(t, port);
  t.equal(session.record(), undefined);
  session.write(connect);
  t.equal(session.record(), undefined);
  t.equal(session.release(), undefined);
  t.equal(session.describe().state, 'connecting', 'and nothing has happened');
  const accepted = await openAccepted(t);
  t.match(accepted.session.record(), { state: 'open', positions: { received: connect.length } });
  accepted.session.destroy();
  t.equal(accepted.session.record(), undefined);
});

t.test('a session that has given its socket away is closed, and tells nothing more', async (t) => {
  const { session, seen, when, options, record, socket, peer } = await openReleased(t, (writing) => {
    // In one piece: the kernel takes a part of it, which nobody has been told of yet.
    writing.write(pattern(16 * 1024 * 1024));
  });
  const known = seen.consumed;
  peer.resume();
  while (socket.writableLength > 0) await turn();
  session.write(Buffer.from('ignored'));
  session.end();
  session.destroy();
  const readBytes = socket.bytesRead;
  peer.end('for the next');
  await arrived(socket);
  t.equal(socket.bytesRead, readBytes, 'it stays in the kernel, where it outlives this process');
  t.strictSame(seen.events, []);
  t.equal(seen.data.length, accept.length);
  t.ok(seen.consumed === known && record.positions.consumed > known);
  t.equal(session.describe().state, 'closed');
  const next = BackendSession.takeUp(record, socket, options);
  t.teardown(() => next.destroy());
  await when(() => seen.data.toString('latin1').endsWith('for the next'));
});

t.test('what the socket still held at that time arrives, and is told as consumed', async (t) => {
  const up = pattern(16 * 1024 * 1024);
  const { record, socket, options, seen, when, peer } = await openReleased(t, (session) => {
    for (let at = 0; at < up.length; at += 65536) session.write(up.subarray(at, at + 65536));
  });
  const total = connect.length + up.length;
  t.ok(record.positions.consumed < total && record.positions.received === total);
  const session = BackendSession.takeUp(record, socket, options);
  t.teardown(() => session.destroy());
  const received = receive(peer, up.length + request.length);
  await when(() => seen.consumed === total);
  session.write(request);
  t.ok((await received).equals(Buffer.concat([up, request])));
  await when(() => seen.consumed === total + request.length);
  peer.write('answer');
  await when(() => seen.data.length === accept.length + 6);
  t.equal(session.describe().positions.delivered, seen.data.length);
  t.strictSame(seen.events, []);
});

/** A socket that knows nothing of what the former one held, and the database's end of it. */
async function freshSocket(t: Test) {
  const { server, port } = await listener(t, undefined);
  const socket = connectTo({ port, host: '127.0.0.1', allowHalfOpen: true });
  const [peer] = (await once(server, 'connection')) as [Socket];
  peer.removeAllListeners('data');
  t.teardown(() => socket.destroy());
  return { socket, peer };
}

t.test('bytes that the former socket lost come again, reach the database, and are watched once', async (t) => {
  const sent = Buffer.concat([request, request.subarray(0, 5)]);
  const { record, options, seen } = await openReleased(t, (session) => {
    session.write(sent);
    session.end();
  });
  const { received } = record.positions;
  const lost: SessionRecord = { ...record, positions: { ...record.positions, consumed: received - 10 } };
  // Who is told starts from the record.
  seen.consumed = received - 10;
  const { socket, peer } = await freshSocket(t);
  const session = BackendSession.takeUp(lost, socket, { ...options, resendFrom: received - 10 });
  t.teardown(() => session.destroy());
  session.write(sent.subarray(-10, -6));
  t.match(session.record(), { positions: { received: received - 6 }, watchedBytes: received });
  session.write(Buffer.concat([sent.subarray(-6), request.subarray(5)]));
  session.end();
  t.strictSame(await receive(peer, 10_000), Buffer.concat([sent.subarray(-10), request.subarray(5)]));
  t.match(session.describe().track, { bytes: { fromDriver: 2 * request.length }, calls: { inFlight: 2 } });
});

t.test('bytes can come again from where the record allows it only', async (t) => {
  const { record, socket, options } = await openReleased(t, (session) => session.write(request));
  const { consumed, received } = record.positions;
  for (const resendFrom of [consumed - 1, received + 1]) {
    const takeUp = () => BackendSession.takeUp(record, socket, { ...options, resendFrom });
    t.throws(takeUp, { code: 'record-invalid' });
  }
});

t.test('a paused session stays paused', async (t) => {
  const { record, socket, options, seen, when, peer } = await openReleased(t, (session) => session.pause());
  const session = BackendSession.takeUp(record, socket, options);
  t.teardown(() => session.destroy());
  const readBytes = socket.bytesRead;
  peer.write('answer');
  await arrived(socket);
  t.equal(socket.bytesRead, readBytes, 'it stays in the kernel');
  t.equal(seen.data.length, accept.length);
  session.resume();
  await when(() => seen.data.length === accept.length + 6);
});

t.test('a driver that has ended its direction has ended it for good', async (t) => {
  const { record, socket, options, seen, when, peer } = await openReleased(t, (session) => {
    session.write(request);
    session.end();
  });
  const session = BackendSession.takeUp(record, socket, options);
  session.write(Buffer.from('ignored'));
  t.strictSame(await receive(peer, 10_000), request);
  t.equal(session.consumed, connect.length + request.length);
  peer.end('bye');
  await when(() => seen.events.includes('closed'));
  t.strictSame([seen.events, seen.error], [['end', 'closed'], undefined]);
});

t.test('a database that had ended unasked has done so for the next session too', async (t) => {
  const opened = await openAccepted(t);
  opened.peer.end('bye');
  await opened.when(() => opened.seen.events.includes('end'));
  const released = opened.session.release();
  if (released === undefined) throw new Error('there is no record');
  t.match(released.record, { databaseEnded: true, endedUnasked: true });
  const session = BackendSession.takeUp(released.record, released.socket, opened.options);
  session.end();
  await opened.when(() => opened.seen.events.includes('closed'));
  t.strictSame(opened.seen.events, ['end', 'closed']);
  t.equal(opened.seen.error?.code, 'database-ended');
});

t.test('a socket that was lost meanwhile ends the session', async (t) => {
  const { record, socket, options, seen, when, peer } = await openReleased(t);
  peer.resetAndDestroy();
  // Not `once` of node:events: the error that comes first is expected.
  BackendSession.takeUp(record, socket, options);
  await when(() => seen.events.includes('closed'));
  t.equal(seen.error?.code, 'database-lost');
});

t.test('the real driver does not notice that the session is replaced, in a transaction and in a fetch', async (t) => {
  const database = await openDatabase({ services: ['freepdb1'], users: { scott: 'tiger' } });
  t.teardown(() => database.close());
  const log = { info: () => {}, warn: (fields: object, message: string) => t.comment(message, fields) };
  const server = await startOracleServer({ database, host: '127.0.0.1', port: 0, log });
  t.teardown(() => server.close());
  const replaced = { inRequest: 0, inAnswer: 0 };
  const address = { host: '127.0.0.1', port: server.port };
  const front = await pipe(t, address, {
    chunk: (sent) =>
      Array.from({ length: Math.ceil(sent.length / 1000) }, (_, i) => sent.subarray(i * 1000, (i + 1) * 1000)),
    watch: (from, _chunk, session) => {
      if (session.record() === undefined) return;
      const { transaction, calls } = front.replace(0).track;
      if (transaction.kind !== 'open' || calls.inFlight === 0) return;
      replaced[from === 'driver' ? 'inRequest' : 'inAnswer'] += 1;
    },
  });
  const connectString = `127.0.0.1:${front.port}/freepdb1`;
  const connection = await oracledb.getConnection({ user: 'scott', password: 'tiger', connectString });
  const identity = async () =>
    (await connection.execute(`select sys_context('userenv', 'sid') from dual`)).rows?.flat();
  const before = await identity();
  await connection.execute('create table u (id number primary key, name varchar2(100))');
  const rows = Array.from({ length: 4000 }, (_, id) => [id, `row ${id} ${'x'.repeat(id % 80)}`]);
  await connection.execute('insert into u values (:1, :2)', rows[0] ?? []);
  await connection.executeMany('insert into u values (:1, :2)', rows.slice(1));
  t.match(front.sessions[0]?.describe().track, {
    transaction: { kind: 'open' },
    movability: { reason: 'in-transaction' },
  });
  const { rows: fetched } = await connection.execute('select * from u order by id', [], { fetchArraySize: 2000 });
  t.strictSame(fetched, rows);
  await connection.rollback();
  t.strictSame((await connection.execute('select count(*) from u')).rows, [[0]]);
  t.strictSame(await identity(), before);
  await connection.execute('drop table u');
  await connection.close();
  t.ok(replaced.inRequest > 50 && replaced.inAnswer > 0, JSON.stringify(replaced));
});
