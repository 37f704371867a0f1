/** The record is whole: a conversation taken up from it at any byte goes on as if it had not been cut. */
import { pack } from 'msgpackr';
import oracledb from 'oracledb';
import t, { type Test } from 'tap';
import { openDatabase } from '../../../fixtures/oracle/postgres.js';
import { startOracleServer } from '../../../fixtures/oracle/server.js';
import { type Personality, personality23ai } from '../../../fixtures/oracle/wire/personality.js';
import { recordBytesMax } from '../../../proxy/backend/limits.js';
import { packRecord, recordVersion, type SessionRecord, unpackRecord } from '../../../proxy/backend/record.js';
import { SessionTracker } from '../../../proxy/track/session.js';
import { personalityUnmarked } from '../track/personality.js';
import { accepted, feed as feedAll } from '../track/tracked.js';
import { bytes, clr, data, marker, packet, release19, type Step, speaker, today, ub } from '../track/wire.js';
import { pipe } from './pipe.js';

// Fifteen thousand cuts: seconds of computing, which take longer where the machine is shared.
t.setTimeout(180_000);

const database = await openDatabase({ services: ['freepdb1'], users: { scott: 'tiger' } });
t.teardown(() => database.close());

/** What the real driver and a server say to each other from the ACCEPT on. Small packets, so that long answers have many. */
async function recordConversation(t: Test, personality: Personality) {
  const log = { info: () => {}, warn: (fields: object, message: string) => t.comment(message, fields) };
  const server = await startOracleServer({ database, host: '127.0.0.1', port: 0, log, personality });
  t.teardown(() => server.close());
  const steps: Step[] = [];
  let start: SessionRecord | undefined;
  const front = await pipe(
    t,
    { host: '127.0.0.1', port: server.port },
    {
      watch: (from, chunk, session) => {
        if (from === 'driver') start ??= session.record();
        if (start !== undefined) steps.push({ from, bytes: Buffer.from(chunk) });
      },
    },
  );
  const connectString = `127.0.0.1:${front.port}/freepdb1?sdu=512`;
  await converse(await oracledb.getConnection({ user: 'scott', password: 'tiger', connectString }));
  if (start === undefined) throw new Error('no bytes were seen');
  return { start, steps };
}

async function converse(connection: oracledb.Connection): Promise<void> {
  const fails = (call: Promise<unknown>) =>
    call.then(
      () => Promise.reject(new Error('did not fail')),
      () => {},
    );
  await connection.execute('create table r (id number primary key, name varchar2(100))');
  const rows = Array.from({ length: 40 }, (_, id) => [id, `row ${id}`]);
  await connection.executeMany('insert into r values (:1, :2)', rows);
  await connection.execute('select * from r order by id', [], { fetchArraySize: 15 });
  await fails(connection.execute('insert into r values (1, :1)', ['again']));
  await connection.commit();
  await fails(connection.execute('select * from missing'));
  await connection.execute('update r set name = :1 where id = :2', ['other', 3]);
  const sleep = connection.execute('begin dbms_session.sleep(5); end;');
  await connection.break();
  await fails(sleep);
  await connection.rollback();
  await connection.execute('drop table r');
  await connection.close();
}

/** Everything in which two runs could differ, short enough to be compared at every step. */
function verdict(tracker: SessionTracker): string {
  const { phase, calls, transaction, movability } = tracker.view();
  return [phase, movability.reason, movability.detail, transaction.kind, ...Object.values(calls)].join(' ');
}

function feed(tracker: SessionTracker, step: Step, index: number, from = 0): SessionTracker {
  if (step.from === 'driver') tracker.fromDriver(step.bytes.subarray(from), index);
  else tracker.fromDatabase(step.bytes.subarray(from), index);
  return tracker;
}

/** Cuts after every byte: the record, then a tracker from it which gets the rest. The result is what the verdicts were. */
function cutEverywhere(t: Test, start: SessionRecord, steps: readonly Step[]): Set<string> {
  const packed = (tracker: SessionTracker): Buffer => packRecord({ ...start, track: tracker.state() });
  const uncut = new SessionTracker(start.track);
  const expected = steps.map((step, index) => verdict(feed(uncut, step, index)));
  const last = packed(uncut);
  const single = new SessionTracker(start.track);
  let cuts = 0;
  steps.forEach((step, index) => {
    for (let at = 0; at < step.bytes.length; at++) {
      cuts += 1;
      const resumed = new SessionTracker(unpackRecord(packed(single)).track);
      const atOnce = verdict(resumed) === verdict(single);
      const later = steps.findIndex((rest, next) => {
        if (next < index) return false;
        return verdict(feed(resumed, rest, next, next === index ? at : 0)) !== expected[next];
      });
      const atLast = packed(resumed).equals(last);
      if (!atOnce || later >= 0 || !atLast) {
        t.fail(`cut at byte ${at} of step ${index}`, { atOnce, later, atLast, verdict: verdict(resumed) });
        return;
      }
      feed(single, { ...step, bytes: step.bytes.subarray(at, at + 1) }, index);
    }
  });
  t.ok(cuts > 500, `${cuts} cuts in ${steps.length} steps`);
  return new Set(expected.map((line) => line.split(' ')[1] ?? ''));
}

for (const [name, personality] of [
  ['23ai', personality23ai],
  ['unmarked', personalityUnmarked],
] as const) {
  t.test(`${name}: a conversation of the real driver goes on from its record, cut after any byte`, async (t) => {
    const { start, steps } = await recordConversation(t, personality);
    t.equal(start.track.fromDriverBytes + start.track.fromDatabaseBytes, 0);
    const reasons = cutEverywhere(t, start, steps);
    for (const reason of ['in-login', 'in-call', 'in-transaction', 'breaking', 'idle'])
      t.ok(reasons.has(reason), reason);
  });
}

/** A record around what a tracker knows. */
function recordOf(tracker: SessionTracker): SessionRecord {
  return {
    version: recordVersion,
    oldest: recordVersion,
    anchor: { received: 300, delivered: 60, writtenBytes: 300, readBytes: 60 },
    state: 'open',
    database: { host: 'db', port: 1521 },
    createdMs: 1.5,
    positions: { received: 2 ** 53 - 1, consumed: 300, delivered: 0 },
    driverEnded: false,
    databaseEnded: true,
    paused: false,
    watchedBytes: 2 ** 40,
    endedUnasked: true,
    track: tracker.state(),
  };
}

for (const [name, dialect] of [
  ['23ai', today],
  ['19c', release19],
] as const) {
  t.test(`${name}: what the driver does not say goes on from its record too, cut after any byte`, async (t) => {
    const say = speaker(dialect);
    const pipeline = [
      say.functionCall(94, Buffer.alloc(0), 0x1000),
      say.functionCall(94, Buffer.alloc(0), 0x1000),
      say.functionCall(200, bytes(0)),
      ...[say.error(2), say.error(0), say.status(2)].map(say.reply),
    ];
    const closeCursors = bytes(say.header(17, 105), 1, ub(3), ub(3), ub(4), ub(500));
    const longError = bytes(say.error(2, 6512, ' ').subarray(0, -2), 254, ub(600), 'x'.repeat(600), 0);
    const notification = bytes(0, 8, 0, 0, 0, 0, 0, 0, 0x31, 0x1c, 0, 0, 0, 0);
    const steps: Step[] = [
      ...say.login,
      say.request(bytes(say.header(17, 176), ub(0x44), closeCursors, say.header(3, 94))),
      { from: 'database', bytes: packet(14, notification) },
      say.reply(bytes(7, Buffer.alloc(20, 4), say.error(2, 1403, 'ORA-01403: no data found\n'))),
      ...(dialect.marked ? pipeline : []),
      say.functionCall(14),
      say.reply(say.status(0)),
      // An answer that ends with a packet as long as the SDU, too far from its end to be found, and one that ends in a byte.
      say.functionCall(94),
      { from: 'database', bytes: data(bytes(Buffer.alloc(690 - longError.length, 7), longError), 0) },
      say.functionCall(94),
      { from: 'database', bytes: data(say.error(2), 0) },
      { from: 'database', bytes: data(bytes(29), 0) },
      { from: 'database', bytes: packet(15, bytes(1, 2, 3)) },
      say.functionCall(94),
      { from: 'database', bytes: data(bytes(19), dialect.marked ? 0x2000 : 0) },
      say.request(bytes(19)),
      say.reply(say.error(0)),
      // In the middle of a head.
      { from: 'driver', bytes: data(closeCursors.subarray(0, 5), 0) },
      { from: 'driver', bytes: marker(3) },
      say.request(bytes(closeCursors.subarray(5), say.header(3, 14))),
      { from: 'database', bytes: marker(1) },
      { from: 'driver', bytes: marker(2) },
      { from: 'database', bytes: marker(2) },
      say.reply(say.error(0, 1013, 'ORA-01013\n')),
      say.request(bytes(say.header(26, 163), 0, 0, 0)),
      { from: 'database', bytes: Buffer.alloc(8) },
      say.functionCall(147),
    ];
    const reasons = cutEverywhere(t, recordOf(accepted(dialect, { sduBytes: 700 })), steps);
    for (const reason of ['between-calls', 'unknown', 'breaking']) t.ok(reasons.has(reason), reason);
    t.equal(reasons.has('pipelined'), dialect.marked);
  });
}

t.test('a record is the same after packing, and what is unpacked holds no memory of the packet', async (t) => {
  const tracker = feedAll(accepted(today), ...speaker(today).login.slice(0, 5));
  const record = recordOf(tracker);
  const packed = packRecord(record);
  const unpacked = unpackRecord(packed);
  t.strictSame(unpacked, record);
  t.equal(unpacked.track.watch?.requests.held.buffer === packed.buffer, false);
});

t.test('a record between calls is small', async (t) => {
  const record = recordOf(feedAll(accepted(today), ...speaker(today).login));
  const { length } = packRecord(record);
  t.ok(length < 2048, `${length} bytes`);
});

t.test('a record is bounded, whatever the driver and the database send', async (t) => {
  const say = speaker(today);
  const tracker = feedAll(accepted(today), ...say.login.slice(0, 4));
  const pair = (key: string): Buffer => {
    const value = Buffer.from('\u20ac'.repeat(300));
    return bytes(ub(key.length), clr(key), ub(value.length), 254, ub(value.length), value, 0, ub(0));
  };
  const keys = ['AUTH_PROGRAM_NM', 'AUTH_MACHINE', 'AUTH_PID', 'AUTH_SID', 'SESSION_CLIENT_DRIVER_NAME'];
  const login = bytes(say.header(3, 118), 1, ub(3), ub(1), 1, ub(keys.length), 1, 1, clr('app'), ...keys.map(pair));
  feedAll(
    tracker,
    say.request(login),
    say.reply(say.status(0)),
    { from: 'driver', bytes: data(bytes(login, Buffer.alloc(200_000)), 0) },
    { from: 'database', bytes: data(Buffer.alloc(200_000), 0) },
  );
  const record = recordOf(tracker);
  const { requests, responses } = record.track.watch ?? {};
  t.strictSame([requests?.held.length, responses?.whole.length, responses?.tail.length], [65_536, 65_536, 4096]);
  const { length } = packRecord(record);
  t.ok(length > recordBytesMax / 2 && length <= recordBytesMax, `${length} bytes`);
});

t.test('a newer record is read where it says that it may be, an older one is not guessed at', async (t) => {
  const record = recordOf(accepted(today));
  const newer = { ...record, version: recordVersion + 1, isNew: true };
  t.match(unpackRecord(pack(newer)), { version: recordVersion + 1, watchedBytes: 2 ** 40 });
  t.throws(() => unpackRecord(pack({ ...newer, oldest: recordVersion + 1 })), { code: 'record-invalid' });
  t.throws(() => unpackRecord(pack({ ...record, version: 2, oldest: 2 })), { code: 'record-invalid' });
});

t.test('what is no record is refused', async (t) => {
  const record = recordOf(accepted(today));
  const refused = { name: 'BackendError', code: 'record-invalid', source: 'proxy' };
  t.throws(() => unpackRecord(pack('record')), refused);
  t.throws(() => unpackRecord(Buffer.alloc(0)), refused);
  t.throws(() => unpackRecord(packRecord(record).subarray(0, -1)), refused);
  t.throws(() => unpackRecord(Buffer.concat([packRecord(record), Buffer.alloc(recordBytesMax)])), refused);
});
