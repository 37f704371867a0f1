import fc from 'fast-check';
import t from 'tap';
import { limits } from '../../../proxy/track/limits.js';
import { SessionTracker } from '../../../proxy/track/session.js';
import { accepted, feed, now } from './tracked.js';
import {
  bytes,
  clr,
  type Dialect,
  data,
  jdbc,
  marker,
  packet,
  release19,
  type Step,
  speaker,
  today,
  ub,
} from './wire.js';

const open = 0x2;

function ready(dialect: Dialect): SessionTracker {
  return feed(accepted(dialect), ...speaker(dialect).login);
}

const fromDatabase = (...packets: readonly Buffer[]): Step => ({ from: 'database', bytes: Buffer.concat(packets) });
const fromDriver = (...packets: readonly Buffer[]): Step => ({ from: 'driver', bytes: Buffer.concat(packets) });
const reasonOf = (tracker: SessionTracker) => tracker.movability().reason;
const transactionOf = (tracker: SessionTracker) => tracker.view().transaction.kind;

for (const [name, dialect] of [
  ['23ai', today],
  ['19c', release19],
  ['JDBC at 23ai', jdbc],
] as const) {
  const say = speaker(dialect);

  t.test(`${name}: login tells who the session is, and ends in an idle session with no transaction`, async (t) => {
    const tracker = accepted(dialect);
    for (const step of say.login) {
      t.match(tracker.movability(), { movable: false, reason: 'in-login' });
      feed(tracker, step);
    }
    t.match(tracker.view(), {
      phase: 'ready',
      identity: {
        user: 'app',
        service: 'orders',
        sid: 42,
        serial: 4711,
        instance: 'ORCL1',
        driver: 'node-oracledb : 26.0.0 thn',
        program: 'orders.js',
        machine: 'node-a',
        osUser: 'app',
        processId: '77',
        stale: false,
      },
      protocol: { version: 319, sduBytes: 8192, endOfResponse: dialect.marked, fieldVersion: dialect.fieldVersion },
      calls: { inFlight: 0, breakPhase: 'none', pipelined: false },
      transaction: { kind: 'none' },
      movability: { movable: true, reason: 'idle' },
    });
    t.notMatch(JSON.stringify(tracker.view()), /secret|c0ffee/, 'nothing secret is kept');
  });

  t.test(`${name}: a call is in flight from its first byte to the last byte of its answer`, async (t) => {
    const tracker = ready(dialect);
    const call = say.functionCall(94);
    feed(tracker, fromDriver(call.bytes.subarray(0, 12)));
    t.match(tracker.view(), { calls: { inFlight: 1, lastFunction: 'execute' } });
    feed(tracker, fromDriver(call.bytes.subarray(12)));
    const answer = say.reply(say.error(open)).bytes;
    for (let at = 0; at < answer.length; at++) {
      t.match(tracker.movability(), { movable: true, reason: 'in-call', detail: 'execute' });
      feed(tracker, fromDatabase(answer.subarray(at, at + 1)));
    }
    t.match(tracker.view(), { calls: { inFlight: 0 }, transaction: { kind: 'open', sinceMs: now } });
    t.match(tracker.movability(), { movable: true, reason: 'in-transaction' });
  });

  t.test(`${name}: the transaction follows the status of ERROR and STATUS messages`, async (t) => {
    const tracker = ready(dialect);
    feed(tracker, say.functionCall(94), say.reply(say.error(open)));
    t.equal(transactionOf(tracker), 'open');
    feed(tracker, say.functionCall(94), say.reply(say.error(open, 942, 'ORA-00942: table or view does not exist\n')));
    t.match(tracker.view(), { transaction: { kind: 'open' }, calls: { lastError: 942 } });
    feed(tracker, say.functionCall(14), say.reply(say.status(0)));
    t.match(tracker.view(), { transaction: { kind: 'none' }, calls: { lastFunction: 'commit', lastError: 0 } });
    t.equal(reasonOf(tracker), 'idle');
  });

  t.test(`${name}: a response of many packets is in flight to its end, wherever the packets are cut`, async (t) => {
    const rows = bytes(7, Buffer.alloc(9000, 4), Buffer.alloc(500, 9));
    const payload = bytes(rows, say.error(open, 1403, 'ORA-01403: no data found\n'), dialect.marked ? 29 : '');
    for (const cut of [1, 9000, rows.length - 1, rows.length + 3, payload.length - 2]) {
      const tracker = ready(dialect);
      feed(tracker, say.functionCall(5), fromDatabase(data(payload.subarray(0, cut), 0)));
      t.equal(reasonOf(tracker), 'in-call');
      feed(tracker, fromDatabase(data(payload.subarray(cut), dialect.marked ? 0x2000 : 0)));
      t.match(tracker.view(), { calls: { inFlight: 0, lastError: 1403 }, transaction: { kind: 'open' } });
    }
  });

  t.test(`${name}: an ERROR longer than the tail that is kept is no readable status`, async (t) => {
    for (const [textBytes, kind] of [
      [limits.tailBytesMax - 100, 'open'],
      [limits.tailBytesMax, 'unknown'],
    ] as const) {
      const tracker = ready(dialect);
      const text = bytes(254, ub(textBytes), 'x'.repeat(textBytes), 0);
      const payload = bytes(say.error(open, 6512, ' ').subarray(0, -2), text, dialect.marked ? 29 : '');
      feed(
        tracker,
        say.functionCall(94),
        fromDatabase(data(payload, dialect.marked ? 0x2000 : 0)),
        say.functionCall(5),
      );
      t.equal(transactionOf(tracker), kind);
    }
  });

  t.test(`${name}: a break in a call is not idle until the ERROR after the reset has come`, async (t) => {
    const tracker = ready(dialect);
    const half = say.reply(bytes(7, Buffer.alloc(100, 1))).bytes.subarray(0, 60);
    half.writeUInt32BE(60, 0);
    half.writeUInt16BE(0, 8);
    const steps: [Step, string][] = [
      [say.functionCall(94), 'in-call'],
      [fromDatabase(half), 'in-call'],
      [fromDriver(marker(3)), 'breaking'],
      [fromDatabase(marker(1)), 'breaking'],
      [fromDriver(marker(2)), 'breaking'],
      [fromDatabase(say.reply(say.error(0)).bytes), 'breaking'],
      [fromDatabase(marker(2), marker(2)), 'breaking'],
      [say.reply(say.error(open, 1013, 'ORA-01013: user requested cancel\n')), 'in-transaction'],
    ];
    for (const [step, reason] of steps) t.equal(reasonOf(feed(tracker, step)), reason);
    t.match(tracker.view().calls, { inFlight: 0, lastError: 1013, breakPhase: 'none' });
  });

  t.test(
    `${name}: an answer without a readable status makes transaction and verdict unknown, until the next`,
    async (t) => {
      const tracker = ready(dialect);
      feed(tracker, say.functionCall(94), fromDatabase(data(bytes(14, 'no status'), dialect.marked ? 0x2000 : 0)));
      if (!dialect.marked) feed(tracker, say.functionCall(147), say.reply(bytes(14, 'none')), say.functionCall(147));
      t.match(tracker.view().transaction, { kind: 'unknown', reason: 'no-status' });
      if (dialect.marked) {
        t.match(tracker.movability(), { movable: 'unknown', reason: 'unknown', detail: /no-status/ });
        feed(tracker, say.functionCall(147));
      }
      feed(tracker, say.reply(say.status(0)));
      t.match(tracker.movability(), { movable: true, reason: 'idle' });
    },
  );

  t.test(`${name}: piggybacks in front of a function are looked through`, async (t) => {
    const tracker = ready(dialect);
    const closeCursors = bytes(say.header(17, 105), 1, ub(2), ub(3), ub(4));
    feed(tracker, say.request(bytes(closeCursors, say.header(3, 14))));
    t.match(tracker.view().calls, { inFlight: 1, lastFunction: 'commit' });
  });

  t.test(`${name}: what is not known makes the verdict unknown until a call has ended cleanly`, async (t) => {
    const unknowns: Step[] = [
      say.request(bytes(say.header(17, 99), 1)),
      fromDriver(packet(13, bytes(1))),
      fromDriver(marker(3).fill(9, 8)),
      fromDatabase(packet(15, bytes(1, 2, 3))),
      fromDatabase(packet(14, bytes(0, 77))),
    ];
    for (const step of unknowns) {
      const tracker = feed(ready(dialect), step);
      t.match(tracker.movability(), { movable: 'unknown', reason: 'unknown' });
      feed(tracker, say.reply(say.status(0)), say.functionCall(147), say.reply(say.status(0)));
      t.match(tracker.movability(), { movable: true, reason: 'idle' });
    }
  });

  t.test(`${name}: every way to cut the bytes into chunks gives the same`, async (t) => {
    const steps: Step[] = [
      ...say.login,
      say.functionCall(94, Buffer.alloc(300, 1)),
      say.reply(bytes(7, Buffer.alloc(5000, 4), say.error(open))),
      fromDriver(marker(3)),
      say.functionCall(94),
      fromDatabase(marker(1)),
      fromDriver(marker(2)),
      fromDatabase(marker(2)),
      say.reply(say.error(open, 1013, 'ORA-01013\n')),
      say.functionCall(15),
      say.reply(say.status(0)),
      say.functionCall(94),
      say.reply(say.error(open, 1, 'ORA-00001: unique constraint violated\n')),
    ];
    const views: unknown[] = [];
    const whole = accepted(dialect);
    for (const step of steps) views.push(feed(whole, step).view());
    const check = (cut: (step: Step) => Buffer[]): void => {
      const tracker = accepted(dialect);
      steps.forEach((step, index) => {
        for (const chunk of cut(step)) feed(tracker, { from: step.from, bytes: chunk });
        t.strictSame(tracker.view(), views[index], `step ${index}`);
      });
    };
    check((step) => [...step.bytes].map((byte) => Buffer.from([byte])));
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 700 }), { minLength: 1 }), (sizes) => {
        let next = 0;
        check((step) => {
          const chunks: Buffer[] = [];
          for (let at = 0; at < step.bytes.length; ) {
            const size = sizes[next++ % sizes.length] ?? 1;
            chunks.push(step.bytes.subarray(at, at + size));
            at += size;
          }
          return chunks;
        });
      }),
      { numRuns: 20 },
    );
  });
}

const say = speaker(today);

t.test('19c: rows that end like a STATUS at the end of a packet do not end the call', async (t) => {
  const old = speaker(release19);
  const tracker = feed(ready(release19), old.functionCall(94), old.reply(old.error(open)), old.functionCall(5));
  feed(tracker, fromDatabase(data(bytes(7, 'rows', old.status(0)), 0)));
  t.match(tracker.view(), { calls: { inFlight: 0 }, transaction: { kind: 'none' } }, 'fooled, until more comes');
  feed(tracker, fromDatabase(data(bytes(7, 'rows'), 0)));
  t.equal(reasonOf(tracker), 'in-call');
  feed(tracker, fromDatabase(data(bytes(7, 'rows', old.error(open)), 0)));
  t.match(tracker.view(), { calls: { inFlight: 0, total: 6 }, transaction: { kind: 'open' } });
});

t.test('19c: an end in a packet as long as the SDU is found, but for one with a long text', async (t) => {
  const old = speaker(release19);
  for (const [textBytes, inFlight] of [
    [100, 0],
    [limits.fullPacketTailBytesMax, 1],
  ] as const) {
    const text = bytes(254, ub(textBytes), 'x'.repeat(textBytes), 0);
    const end = bytes(old.error(open, 6512, ' ').subarray(0, -2), text);
    const payload = bytes(Buffer.alloc(8192 - 10 - end.length, 7), end);
    const tracker = feed(ready(release19), old.functionCall(94), fromDatabase(data(payload, 0)));
    t.match(tracker.view(), { calls: { inFlight } });
  }
});

t.test('a login whose status cannot be read still names the session', async (t) => {
  const old = speaker(release19);
  const tracker = accepted(release19);
  const last = old.login.at(-1)?.bytes ?? Buffer.alloc(0);
  feed(
    tracker,
    ...old.login.slice(0, -1),
    fromDatabase(data(bytes(last.subarray(10, -5), 'a status of another dialect'), 0)),
  );
  t.match(tracker.view(), { phase: 'ready', identity: { sid: 42, serial: 4711 } });
  t.match(tracker.movability(), { movable: true, reason: 'in-call' });
  feed(tracker, old.functionCall(94));
  t.match(tracker.view().transaction, { kind: 'unknown', reason: 'no-status' });
});

t.test('a pipeline: many in flight, statuses in order, idle after the last answer', async (t) => {
  const tracker = ready(today);
  const begin = bytes(say.header(17, 199), 0, 0, 1);
  feed(tracker, say.request(bytes(begin, say.header(3, 94)), 0x1000), say.functionCall(94, Buffer.alloc(0), 0x1000));
  feed(tracker, say.functionCall(200, bytes(0)));
  t.match(tracker.view().calls, { inFlight: 3, pipelined: true });
  t.equal(reasonOf(tracker), 'pipelined');
  feed(tracker, say.reply(say.error(open)), say.reply(say.error(open)));
  t.match(tracker.view(), { calls: { inFlight: 1, pipelined: true }, transaction: { kind: 'open' } });
  feed(tracker, say.reply(say.status(open)));
  t.match(tracker.view(), { calls: { inFlight: 0, pipelined: false }, movability: { reason: 'in-transaction' } });
});

t.test('a request of many packets is one call, also when an earlier answer comes in the middle of it', async (t) => {
  const tracker = ready(today);
  const rows = bytes(say.header(3, 14), Buffer.alloc(100));
  feed(tracker, say.functionCall(94, Buffer.alloc(0), 0x1000), fromDriver(data(bytes(say.header(3, 94), rows), 0)));
  feed(tracker, say.reply(say.error(open)), fromDriver(data(rows, 0)), say.request(rows));
  t.match(tracker.view().calls, { inFlight: 1, total: 6, lastFunction: 'execute' });
});

t.test('19c: a request of many packets is one call, and a one-way function ends by itself', async (t) => {
  const old = speaker(release19);
  const tracker = ready(release19);
  feed(tracker, old.functionCall(94, Buffer.alloc(50)), old.request(bytes(old.header(3, 14), Buffer.alloc(50))));
  t.match(tracker.view().calls, { inFlight: 1, total: 5, lastFunction: 'execute' });
  feed(tracker, old.reply(old.error(0)), old.request(bytes(old.header(26, 163), 0, 0, 0)), old.functionCall(14));
  t.match(tracker.view().calls, { inFlight: 1, total: 6, lastFunction: 'commit' });
});

t.test('request boundaries tell a session between calls from an idle one', async (t) => {
  const tracker = ready(today);
  const boundary = (state: number): Step => say.request(bytes(say.header(17, 176), ub(state), say.header(3, 147)));
  feed(tracker, boundary(0x44), say.reply(say.status(0)));
  t.match(tracker.view(), { request: 'open', movability: { movable: true, reason: 'between-calls' } });
  feed(tracker, boundary(0x48), say.reply(say.status(0)));
  t.match(tracker.view(), { request: 'ended', movability: { movable: true, reason: 'idle' } });
});

t.test('a session given back to the pool of the database is released, and its SID and serial# are stale', async (t) => {
  const oneWay = ready(today);
  feed(oneWay, say.request(bytes(say.header(26, 163), 0, 0, 0)));
  t.match(oneWay.view(), { calls: { inFlight: 0 }, identity: { stale: true }, movability: { reason: 'released' } });
  feed(oneWay, say.functionCall(94));
  t.equal(reasonOf(oneWay), 'in-call');
  const byStatus = feed(ready(today), say.functionCall(94), say.reply(say.error(0x8000)));
  t.match(byStatus.view(), { identity: { stale: true }, movability: { movable: true, reason: 'released' } });
});

t.test('FLUSH OUT BINDS: the call ends with the answer behind it', async (t) => {
  const tracker = ready(today);
  feed(tracker, say.functionCall(94), fromDatabase(data(bytes(19), 0x2000)), say.request(bytes(19)));
  t.equal(reasonOf(tracker), 'in-call');
  feed(tracker, say.reply(say.error(open)));
  t.match(tracker.view(), { calls: { inFlight: 0, total: 5 }, transaction: { kind: 'open' } });
});

t.test('the end of a response may stand alone in the last packet', async (t) => {
  const tracker = ready(today);
  feed(tracker, say.functionCall(94), fromDatabase(data(say.error(open), 0)));
  t.equal(reasonOf(tracker), 'in-call');
  feed(tracker, fromDatabase(data(bytes(29), 0)));
  t.match(tracker.view(), { calls: { inFlight: 0 }, transaction: { kind: 'open' } });
});

t.test('a break is read as one, whatever was kept before it', async (t) => {
  const closeCursors = bytes(say.header(17, 105), 1, ub(2), ub(3), ub(4));
  const inHead = feed(ready(today), fromDriver(data(closeCursors.subarray(0, 5), 0), marker(3)));
  t.match(inHead.movability(), { movable: true, reason: 'breaking' });
  feed(inHead, fromDriver(marker(2)), say.request(bytes(closeCursors.subarray(5), say.header(3, 14))));
  t.match(inHead.view().calls, { inFlight: 1, lastFunction: 'commit' });
  const afterUnknown = feed(ready(today), say.functionCall(94), fromDatabase(packet(15, bytes(1, 2, 3)), marker(1)));
  t.match(afterUnknown.view().calls, { breakPhase: 'asked' });
});

t.test('a one-way function of a driver that marks no ends is over with its packet, wherever it is cut', async (t) => {
  const old = speaker(release19);
  const release = old.request(bytes(old.header(26, 163), 0, 0, 0)).bytes;
  for (let at = 1; at < release.length; at++) {
    const tracker = feed(ready(release19), fromDriver(release.subarray(0, at)), fromDriver(release.subarray(at)));
    t.match(tracker.movability(), { movable: true, reason: 'released' }, `cut at ${at}`);
    t.match(feed(tracker, old.functionCall(14)).view().calls, { inFlight: 1, lastFunction: 'commit' });
  }
});

t.test('log-off and the last packet of the driver are told from a lost connection', async (t) => {
  const tracker = ready(today);
  t.equal(tracker.loggedOff, false);
  feed(tracker, say.functionCall(9), say.reply(say.status(0)));
  t.equal(tracker.loggedOff, true);
  t.equal(feed(ready(today), fromDriver(data(Buffer.alloc(0), 0x40))).loggedOff, true);
});

t.test('an in-band notification is no part of a response', async (t) => {
  const tracker = ready(today);
  const notification = bytes(0, 8, 0, 0, 0, 0, 0, 0, 0x31, 0x1c, 0, 0, 0, 0);
  feed(tracker, say.functionCall(94), fromDatabase(packet(14, notification)));
  t.match(tracker.view(), { notification: 12572, calls: { inFlight: 1 } });
  feed(tracker, say.reply(say.error(0)));
  t.equal(reasonOf(tracker), 'idle');
});

t.test('native network encryption makes the session opaque; negotiated and not agreed on, it does not', async (t) => {
  const services = bytes(0xde, 0xad, 0xbe, 0xef, Buffer.alloc(20));
  const negotiation = [fromDriver(data(services, 0)), fromDatabase(data(services, 0))];
  const encrypted = feed(
    accepted(today, { nativeServices: true }),
    ...negotiation,
    say.request(bytes(0x9a, 0x77, 'x')),
  );
  t.match(encrypted.view(), { phase: 'opaque', transaction: { kind: 'unknown', reason: 'opaque' } });
  t.match(encrypted.movability(), { movable: 'unknown', reason: 'opaque', detail: 'native network encryption' });
  feed(encrypted, say.reply(bytes(1, 2, 3)));
  t.match(encrypted.view().bytes, { fromDatabase: 34 + 14 });
  const plain = feed(accepted(today, { nativeServices: true }), ...negotiation, ...say.login);
  t.match(plain.view(), { phase: 'ready', identity: { sid: 42 } });
});

t.test('TLS is opaque, and a refused session is no session', async (t) => {
  const tls = new SessionTracker();
  tls.settled({ outcome: { kind: 'opaque' }, connect: undefined, connectData: undefined });
  t.match(feed(tls, fromDriver(Buffer.alloc(9))).movability(), { movable: 'unknown', reason: 'opaque' });
  const refused = new SessionTracker();
  refused.settled({ outcome: { kind: 'refused' }, connect: undefined, connectData: undefined });
  t.match(refused.movability(), { movable: false, reason: 'in-login' });
});

t.test('bytes that are no packets end the watching and nothing else', async (t) => {
  const tracker = feed(ready(today), fromDatabase(Buffer.alloc(8)));
  t.match(tracker.movability(), { movable: 'unknown', reason: 'unknown', detail: /packet declares/ });
  feed(tracker, say.functionCall(94), say.reply(say.error(0)));
  t.match(tracker.movability(), { movable: 'unknown', reason: 'unknown', detail: /packet declares/ });
});

t.test('names a driver gives are bounded and fit for a terminal', async (t) => {
  const tracker = accepted(today);
  feed(tracker, ...say.login.slice(0, 4));
  const name = `a\u001b[31m${'b'.repeat(300)}`;
  const value = bytes(254, ub(name.length), name, 0);
  const pair = bytes(ub(15), clr('AUTH_PROGRAM_NM'), ub(name.length), value, ub(0));
  feed(tracker, say.request(bytes(say.header(3, 118), 1, ub(3), ub(1), 1, ub(1), 1, 1, clr('app'), pair)));
  t.equal(tracker.view().identity.program, `a[31m${'b'.repeat(limits.identityCharactersMax - 6)}`);
});

t.test('a head that never comes to its function makes the call unknown', async (t) => {
  const tracker = ready(today);
  const endless = bytes(say.header(17, 105), 1, ub(0xffff), Buffer.alloc(20_000));
  feed(tracker, fromDriver(data(endless, 0)));
  t.match(tracker.view(), { calls: { inFlight: 1 }, movability: { reason: 'unknown' } });
});
