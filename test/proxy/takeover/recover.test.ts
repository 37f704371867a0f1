import fc from 'fast-check';
import t from 'tap';
import { packRecord } from '../../../proxy/backend/record.js';
import { type Entry, entryKinds } from '../../../proxy/journal/entry.js';
import { mustBeReadable, place, type RecoveredSession, recover } from '../../../proxy/takeover/recover.js';
import { type SavedSession, savedVersion } from '../../../proxy/takeover/saved.js';
import { accepted, feed, now } from '../track/tracked.js';
import { bytes, data, type Step, speaker, today, ub } from '../track/wire.js';
import { checkpointOf, chunk, entry, noted, recordOf, savedSession, savedWorkload, type stream } from './left.js';

/** The one session that is made of this. */
function recovered(saved: SavedSession, ...since: Entry[]): RecoveredSession {
  const { workloads, damaged } = recoverAll(saved, since);
  const session = workloads[0]?.sessions[0];
  if (session === undefined) throw damaged[0]?.error ?? new Error('no session');
  return session;
}

function recoverAll(saved: SavedSession, since: Entry[], ofWorkload: Entry[] = []) {
  const workload = { checkpoint: checkpointOf(savedWorkload()), before: [], since: ofWorkload };
  const session = { checkpoint: checkpointOf(saved), before: [], since };
  // In whatever order they are found.
  return recover(
    new Map([
      [17, session],
      [16, workload],
    ]),
    now,
  );
}

const say = speaker(today);
const conversation: readonly Step[] = [
  ...say.login,
  say.functionCall(94),
  say.reply(say.error(2)),
  say.request(bytes(say.header(17, 105), 1, ub(3), ub(3), ub(4), ub(500), say.header(3, 94))),
  say.reply(bytes(7, Buffer.alloc(60, 4), say.error(2, 1403, 'ORA-01403: no data found\n'))),
  say.functionCall(14),
  say.reply(say.status(0)),
  say.functionCall(94),
  { from: 'database', bytes: data(say.error(2), 0) },
  { from: 'database', bytes: data(bytes(29), 0x2000) },
  say.functionCall(147),
];

/** The conversation in pieces that end wherever the numbers say. */
function pieces(cuts: readonly number[]): Step[] {
  let turn = 0;
  return conversation.flatMap(({ from, bytes: all }) => {
    const parts: Step[] = [];
    for (let at = 0; at < all.length; ) {
      const length = cuts[turn++ % cuts.length] ?? all.length;
      parts.push({ from, bytes: all.subarray(at, at + length) });
      at += length;
    }
    return parts;
  });
}

t.test(
  'checkpoint and entries give what a worker that saw everything would know, wherever the checkpoint was',
  async (t) => {
    const seen = { early: 0, late: 0 };
    const property = fc.property(
      fc.array(fc.integer({ min: 1, max: 90 }), { minLength: 1, maxLength: 20 }),
      fc.noBias(fc.nat(1_000)),
      (cuts, share) => {
        const steps = pieces(cuts);
        const cut = Math.round((share / 1_000) * steps.length);
        seen[share < 500 ? 'early' : 'late'] += 1;
        const whole = feed(accepted(today), ...steps);
        const totals = { driver: 100, database: 40 };
        const pass = ({ from, bytes: { length } }: Step): number => {
          totals[from] += length;
          return totals[from] - length;
        };
        const stored: Buffer[] = [Buffer.alloc(25, 's')];
        for (const step of steps.slice(0, cut)) {
          pass(step);
          if (step.from === 'database') stored.push(step.bytes);
        }
        const positions = { received: totals.driver, consumed: 100, delivered: totals.database };
        const record = recordOf(feed(accepted(today), ...steps.slice(0, cut)), {
          positions,
          watchedBytes: totals.driver,
        });
        const image = { ...savedSession().stream, bytes: [...stored] };
        const since = steps.slice(cut).map((step) => {
          if (step.from === 'database') stored.push(step.bytes);
          return chunk(step.from === 'driver' ? 'fromDriver' : 'fromDatabase', pass(step), step.bytes);
        });
        const found = recovered(savedSession({ record, stream: image }), ...since);
        const expected = {
          ...record,
          positions: { received: totals.driver, consumed: 100, delivered: totals.database },
          watchedBytes: totals.driver,
          paused: false,
          track: whole.state(),
        };
        if (found.record === undefined) return false;
        const isSame = packRecord(found.record).equals(packRecord(expected));
        return isSame && Buffer.concat(found.stream.bytes).equals(Buffer.concat(stored)) && found.closed === undefined;
      },
    );
    fc.assert(property, { numRuns: 200 });
    t.ok(seen.early > 20 && seen.late > 20, JSON.stringify(seen));
  },
);

t.test('bytes of the driver that came a second time are watched once', async (t) => {
  const request = say.functionCall(94).bytes;
  const watched = feed(accepted(today), ...say.login, { from: 'driver', bytes: request });
  const whole = feed(accepted(today), ...say.login, { from: 'driver', bytes: Buffer.concat([request, request]) });
  // The worker before had taken over itself: the tracker had seen the first request when its bytes came again.
  const record = recordOf(watched, { watchedBytes: 100 + request.length });
  const { record: found } = recovered(
    savedSession({ record }),
    chunk('fromDriver', 100, request.subarray(0, 7)),
    chunk('fromDriver', 107, Buffer.concat([request.subarray(7), request.subarray(0, 3)])),
    chunk('fromDriver', 103 + request.length, request.subarray(3)),
  );
  t.match(found, { positions: { received: 100 + 2 * request.length }, watchedBytes: 100 + 2 * request.length });
  t.same(found?.track, whole.state());
});

t.test('a gap or an overlap in either direction is called damaged, never gone on with', async (t) => {
  for (const wrong of [
    [chunk('fromDriver', 101, 'x')],
    [chunk('fromDriver', 99, 'x')],
    [chunk('fromDatabase', 41, 'x')],
    [chunk('fromDatabase', 40, 'x'), chunk('fromDatabase', 40, 'x')],
  ]) {
    const { workloads, damaged } = recoverAll(savedSession(), wrong);
    t.match(damaged, [{ id: 17, error: { code: 'takeover-damaged' } }]);
    t.match(workloads, [{ id: 16, sessions: [] }], 'the others go on');
  }
});

t.test('one session that cannot be read does not harm the others', async (t) => {
  const good = { checkpoint: checkpointOf(savedSession()), before: [], since: [] };
  const checkpoint = checkpointOf(savedSession());
  const other = checkpointOf(savedSession(), { version: 99, oldest: 99 });
  const record = { ...recordOf(), version: 99, oldest: 99 };
  const { workloads, damaged } = recover(
    new Map([
      [16, { checkpoint: checkpointOf(savedWorkload()), before: [], since: [] }],
      [17, { checkpoint: checkpoint.subarray(1), before: [], since: [] }],
      [18, good],
      [19, { checkpoint: other, before: [], since: [] }],
      [20, { checkpoint: checkpointOf(savedSession({ record })), before: [], since: [] }],
      [21, { ...good, since: [entry(entryKinds.event, Buffer.from([0xc1]))] }],
    ]),
    now,
  );
  t.match(workloads, [{ sessions: [{ id: 18 }] }]);
  t.equal(workloads[0]?.sessions.length, 1);
  t.strictSame(
    damaged.map(({ id, error }) => [id, error.code]),
    [
      [17, 'takeover-damaged'],
      [19, 'takeover-version'],
      [20, 'takeover-version'],
      [21, 'takeover-damaged'],
    ],
  );
});

t.test('the newest stream that the shim has opened is known, with or without a session', async (t) => {
  const opened = (id: number) => noted({ kind: 'opened', stream: id as typeof stream });
  const last = (since: Entry[]) => recoverAll(savedSession(), [], since).workloads[0]?.saved.link.lastStream;
  t.equal(last([]), 5);
  t.equal(last([opened(6), opened(9)]), 9);
  t.equal(last([opened(4)]), 5);
});

t.test('an end of the driver, and ends towards it, are known', async (t) => {
  t.match(recovered(savedSession()), { record: { driverEnded: false }, stream: { ended: undefined, closed: false } });
  t.match(recovered(savedSession(), noted({ kind: 'driver-ended' })), { record: { driverEnded: true } });
  const ended = (...codes: ('closed' | 'lost')[]) =>
    recovered(savedSession(), ...codes.map((code) => noted({ kind: 'ended', code }))).stream;
  t.match(ended('closed'), { ended: 'closed', closed: true });
  t.match(ended('closed', 'lost'), { ended: 'lost', closed: true }, 'it may have gone out before');
  t.match(ended('lost', 'closed'), { ended: 'lost', closed: false }, 'nothing follows an end that was out of order');
});

t.test('what the database says after the end is nobody‘s, but counts as read', async (t) => {
  const late = recovered(savedSession(), noted({ kind: 'ended', code: 'closed' }), chunk('fromDatabase', 40, 'late'));
  t.match(late, { stream: { bytes: savedSession().stream.bytes }, record: { positions: { delivered: 44 } } });
});

for (const [form, acked] of [
  [
    'as an entry',
    (base: number): Entry => ({ owner: 17, kind: entryKinds.acked, position: base, body: Buffer.alloc(0) }),
  ],
  ['as version 2 has it', (base: number) => noted({ kind: 'acked', base })],
] as const)
  t.test(`what the shim has acknowledged is not taken over, ${form}`, async (t) => {
    const { base } = savedSession().stream;
    const more = chunk('fromDatabase', 40, 'more');
    const left = (...since: Entry[]) => {
      const { stream } = recovered(savedSession(), ...since);
      return [stream.base, stream.acked, Buffer.concat(stream.bytes).toString()];
    };
    t.strictSame(left(acked(base + 3), more), [base + 3, base + 3, `${'s'.repeat(22)}more`]);
    t.strictSame(left(more, acked(base + 3), acked(base + 27)), [base + 27, base + 27, 're']);
    t.strictSame(left(more, acked(base + 29)), [base + 29, base + 29, '']);
    for (const wrong of [base - 1, base + 26]) {
      t.match(recoverAll(savedSession(), [acked(wrong)]).damaged, [{ id: 17, error: { code: 'takeover-damaged' } }]);
    }
  });

t.test('of a session whose connection was closed only the rest for the shim is left', async (t) => {
  const closed = noted({ kind: 'closed', consumed: 70, driverEnded: true });
  const session = recovered(savedSession(), chunk('fromDatabase', 40, 'bye'), closed);
  t.match(session, { record: undefined, closed: { consumed: 70, driverEnded: true } });
  t.match(place(session, true, undefined), {
    kind: 'closed',
    rest: { consumed: 70, peerEnded: true, bytes: [Buffer.alloc(25, 's'), Buffer.from('bye')] },
  });
  const before = recovered(savedSession({ record: undefined, closed: { consumed: 9, driverEnded: false } }));
  t.match(place(before, false, undefined), { kind: 'closed', rest: { consumed: 9, peerEnded: false } });
});

// Where a session goes on -------------------------------------------------------------------------------------------

/** 20 bytes of the driver and 10 of the database have passed since the checkpoint. */
const running = (...more: Entry[]): RecoveredSession =>
  recovered(
    savedSession({ record: recordOf(undefined, { positions: { received: 100, consumed: 95, delivered: 40 } }) }),
    chunk('fromDriver', 100, Buffer.alloc(20)),
    chunk('fromDatabase', 40, Buffer.alloc(10)),
    ...more,
  );
/** The counters of its socket when these positions of the driver and of the database have passed it. */
const counters = (sent: number, read: number) => ({
  ...{ writtenBytes: sent - 10, readBytes: read - 10, arrivedBytes: read - 10, peerEnded: false, ended: false },
});

t.test('the driver‘s bytes come again from where the kernel says that the database has them', async (t) => {
  for (const sent of [95, 100, 113, 120]) {
    const placed = place(running(), true, counters(sent, 50));
    t.match(placed, { kind: 'alive', resendFrom: sent, rest: { consumed: sent, peerEnded: false, acked: 15 } });
  }
});

t.test('the end of the driver is gone on with when all before it has passed, and comes again otherwise', async (t) => {
  const ended = running(noted({ kind: 'driver-ended' }));
  t.match(place(ended, true, counters(120, 50)), { kind: 'alive', rest: { consumed: 120, peerEnded: true } });
  t.match(place(ended, true, counters(119, 50)), { kind: 'alive', rest: { consumed: 119, peerEnded: false } });
});

t.test('bytes that were read and not put down end the session, whatever their number', async (t) => {
  for (const read of [51, 5_000]) {
    const error = { code: 'takeover-bytes-lost', message: `${read - 50} bytes were read and not put down` };
    t.match(place(running(), true, counters(120, read)), { kind: 'lost', error });
  }
});

t.test('a journal that contradicts the kernel ends the session', async (t) => {
  for (const [sent, read] of [
    [94, 50],
    [121, 50],
    [120, 49],
  ] as const) {
    t.match(place(running(), true, counters(sent, read)), { kind: 'lost', error: { code: 'takeover-damaged' } });
  }
});

t.test('an end that was told and was not in order is the last thing, whatever became of the connection', async (t) => {
  const session = running();
  const broken = { ...session, stream: { ...session.stream, ended: 'lost' as const } };
  for (const kernel of [undefined, counters(120, 50)]) {
    for (const isKept of [true, false]) {
      const placement = place(broken, isKept, kernel);
      t.match(placement, { kind: 'closed', rest: { ended: 'lost', consumed: 120, bytes: broken.stream.bytes } });
    }
  }
});

t.test(
  'a connection that is gone after the database has ended in order is over; what the shim lacks is kept',
  async (t) => {
    const session = running();
    const ended = { ...session, stream: { ...session.stream, ended: 'closed' as const, closed: true } };
    for (const isKept of [true, false]) {
      const placement = place(ended, isKept, undefined);
      const { bytes } = ended.stream;
      t.match(placement, {
        kind: 'closed',
        rest: { ended: 'lost', closed: true, consumed: 120, peerEnded: false, bytes },
      });
    }
    t.match(place(ended, true, counters(120, 50)), { kind: 'alive' }, 'it may still take what the driver says');
    const both = running(noted({ kind: 'driver-ended' }));
    const over = { ...both, stream: { ...both.stream, ended: 'closed' as const, closed: true } };
    t.match(place(over, true, undefined), { kind: 'closed', rest: { ended: 'closed', peerEnded: true } });
  },
);

t.test('a connection that was not kept, or is gone, ends the session', async (t) => {
  t.match(place(running(), false, undefined), { kind: 'lost', error: { code: 'takeover-not-kept' } });
  t.match(place(running(), true, undefined), { kind: 'lost', error: { code: 'takeover-connection-lost' } });
});

t.test('a program that could not read what another one writes finds out before it takes over', async (t) => {
  const checkpoint = (version: number) =>
    entry(entryKinds.checkpoint, checkpointOf(savedSession(), { version, oldest: version }));
  mustBeReadable([checkpoint(savedVersion), noted({ kind: 'driver-ended' }), chunk('fromDriver', 0, 'x')]);
  t.throws(() => mustBeReadable([checkpoint(savedVersion), checkpoint(99)]), { code: 'takeover-version' });
  // Half a checkpoint is no reason not to begin: its session is told as damaged, and the others go on.
  mustBeReadable([entry(entryKinds.checkpoint, Buffer.from([0xc1]))]);
});
