/**
 * Conversations of the real driver, recorded now and then damaged: whatever comes, a decoder gives a packet, asks for more, or throws
 * its coded error; a session ends or its verdict is unknown; and what is kept of it stays within its bound.
 * HOLDFAST_SEED and HOLDFAST_FUZZ_RUNS repeat or lengthen a run.
 */
import { pack } from 'msgpackr';
import t from 'tap';
import { planReplay } from '../../fixtures/captures/plan.js';
import type { Segment } from '../../fixtures/captures/tcp.js';
import { type ConnectAction, ConnectPhase } from '../../proxy/backend/connect-phase.js';
import { defaultBackendLimits, recordBytesMax } from '../../proxy/backend/limits.js';
import { parseTarget } from '../../proxy/backend/target.js';
import { PacketReader, TnsError } from '../../proxy/tns/index.js';
import { SessionTracker } from '../../proxy/track/session.js';
import { type Recorded, recordPrograms } from '../fixtures/captures/programs.js';

const seed = Number(process.env.HOLDFAST_SEED ?? Date.now() % 2 ** 31);
const runs = Number(process.env.HOLDFAST_FUZZ_RUNS ?? 3_000);
t.comment(`HOLDFAST_SEED=${seed} HOLDFAST_FUZZ_RUNS=${runs}`);

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
let state = seed;
function random(): number {
  state = (state + 0x6d2b79f5) | 0;
  let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
}
const below = (limit: number): number => Math.floor(random() * limit);
const pick = <T>(values: readonly T[]): T => {
  const value = values[below(values.length)];
  if (value === undefined) throw new Error('nothing to pick from');
  return value;
};

/** Bytes that mean something in many places: lengths, types, the greatest and the least of everything. */
const telling = [0, 1, 2, 3, 4, 5, 6, 8, 9, 11, 12, 14, 17, 26, 29, 34, 0x40, 0x7f, 0x80, 0xfe, 0xff];

const damages: Readonly<Record<string, (bytes: Buffer) => Buffer>> = {
  'one byte': (bytes) => {
    const copy = Buffer.from(bytes);
    copy[below(copy.length)] = random() < 0.5 ? pick(telling) : below(256);
    return copy;
  },
  'some bytes': (bytes) => {
    const copy = Buffer.from(bytes);
    for (let count = below(20); count >= 0; count--) copy[below(copy.length)] = pick(telling);
    return copy;
  },
  'the head': (bytes) => {
    const copy = Buffer.from(bytes);
    copy[below(Math.min(copy.length, 40))] = pick(telling);
    return copy;
  },
  'cut off': (bytes) => bytes.subarray(0, below(bytes.length)),
  'a piece gone': (bytes) => {
    const from = below(bytes.length);
    return Buffer.concat([bytes.subarray(0, from), bytes.subarray(from + 1 + below(30))]);
  },
  'a piece twice': (bytes) => {
    const from = below(bytes.length);
    return Buffer.concat([bytes.subarray(0, from + below(60)), bytes.subarray(from)]);
  },
  'a packet between': (bytes) => {
    const body = Buffer.from(Array.from({ length: below(24) }, () => (random() < 0.7 ? pick(telling) : below(256))));
    // Often the beginning of a notification: its other fields are read only behind that.
    if (random() < 0.3) body.fill(Buffer.from([0, 8]), 0, Math.min(2, body.length));
    const header = Buffer.from([0, 0, 0, 8 + body.length, pick([9, 12, 14, 14, below(16)]), 0, 0, 0]);
    return random() < 0.5 ? Buffer.concat([header, body, bytes]) : Buffer.concat([bytes, header, body]);
  },
  'noise in it': (bytes) => {
    const at = below(bytes.length);
    const noise = Buffer.from(Array.from({ length: 1 + below(200) }, () => below(256)));
    return Buffer.concat([bytes.subarray(0, at), noise, bytes.subarray(at)]);
  },
};

function damaged(segments: readonly Segment[]): { segments: Segment[]; how: string } {
  const copy = [...segments];
  const how: string[] = [];
  for (let count = below(3); count >= 0; count--) {
    const index = below(copy.length);
    const segment = copy[index];
    if (segment === undefined || segment.bytes.length === 0) continue;
    if (random() < 0.1) {
      const other = below(copy.length);
      [copy[index], copy[other]] = [copy[other] ?? segment, segment];
      how.push(`segments ${index} and ${other} swapped`);
      continue;
    }
    const kind = pick(Object.keys(damages));
    const from = random() < 0.05 ? (segment.from === 'driver' ? 'database' : 'driver') : segment.from;
    copy[index] = { from, bytes: damages[kind]?.(segment.bytes) ?? segment.bytes };
    how.push(`segment ${index}: ${kind}`);
  }
  return { segments: copy, how: how.join(', ') };
}

/** Pieces as TCP might deliver them. */
function* chunks(bytes: Buffer): Generator<Buffer> {
  for (let at = 0; at < bytes.length; ) {
    const length = random() < 0.7 ? bytes.length : 1 + below(20);
    yield bytes.subarray(at, at + length);
    at += length;
  }
}

/** What a session of the proxy does with these bytes, without its sockets. @returns the tracker, once there was an answer */
function watch(segments: readonly Segment[]): { tracker: SessionTracker | undefined; failed: string | undefined } {
  const phase = new ConnectPhase({ addresses: [{ host: 'db', port: 1 }], limits: defaultBackendLimits });
  let tracker: SessionTracker | undefined;
  let failed: string | undefined;
  const perform = (actions: readonly ConnectAction[]): void => {
    for (const action of actions) {
      if (action.kind === 'dial') perform(phase.dialed());
      else if (action.kind === 'fail') failed = action.error.code;
      else if (action.kind === 'settled') {
        tracker = new SessionTracker();
        tracker.settled(action);
        tracker.fromDriver(action.fromDriver, 0);
        tracker.fromDatabase(action.fromDatabase, 0);
      }
    }
  };
  for (const { from, bytes } of segments) {
    for (const chunk of chunks(bytes)) {
      if (failed !== undefined) return { tracker, failed };
      if (tracker !== undefined) from === 'driver' ? tracker.fromDriver(chunk, 0) : tracker.fromDatabase(chunk, 0);
      else if (from === 'driver') perform(phase.fromDriver(chunk));
      // Nothing comes from a database that has not been dialed.
      else if (phase.state === 'answering') perform(phase.fromDatabase(chunk));
    }
  }
  return { tracker, failed };
}

/** The tracker puts every error of its readers into its verdict; those that are no answer of a decoder are collected here. */
const faults: unknown[] = [];
const { push } = PacketReader.prototype;
PacketReader.prototype.push = function collecting(chunk: Buffer): void {
  try {
    push.call(this, chunk);
  } catch (error) {
    if (!(error instanceof TnsError)) faults.push(error);
    throw error;
  }
};
t.teardown(() => {
  PacketReader.prototype.push = push;
});

t.test('damaged conversations of the driver', async (t) => {
  const recorded: readonly Recorded[] = (await recordPrograms(t)).filter(({ segments }) => segments.length > 0);
  t.ok(recorded.length >= 10, `${recorded.length} conversations`);
  for (const { name, segments } of recorded) {
    const { tracker, failed } = watch(segments);
    t.equal(failed, undefined, `${name}, undamaged`);
    t.not(tracker?.movability().reason, 'unknown', `${name}, undamaged`);
  }
  const ends = new Map<string, number>();
  for (let run = 0; run < runs; run++) {
    const { name, segments } = pick(recorded);
    const trial = damaged(segments);
    const what = `run ${run}: ${name}: ${trial.how}`;
    try {
      planReplay(trial.segments);
      const { tracker, failed } = watch(trial.segments);
      const end = failed ?? tracker?.movability().reason ?? 'no answer';
      ends.set(end, (ends.get(end) ?? 0) + 1);
      const keptBytes = tracker === undefined ? 0 : pack(tracker.state()).length;
      if (keptBytes > recordBytesMax) t.fail(`${what}: ${keptBytes} bytes are kept`);
    } catch (error) {
      t.fail(`${what}: ${error instanceof Error ? error.stack : error}`);
    }
    const [fault] = faults.splice(0);
    if (fault !== undefined) t.fail(`${what}: ${fault instanceof Error ? fault.stack : fault}`);
  }
  t.comment(Object.fromEntries(ends));
  t.ok(ends.size >= 5, 'damage has all kinds of ends');
  for (const end of ['unknown', 'driver-not-oracle-net', 'database-not-oracle-net'])
    t.ok((ends.get(end) ?? 0) > 0, end);
});

t.test('damaged texts of --database are addresses or are refused', async (t) => {
  const text =
    '(DESCRIPTION_LIST=(LOAD_BALANCE=on)(DESCRIPTION=(ADDRESS_LIST=(FAILOVER=on)(ADDRESS=(PROTOCOL=tcps)(HOST=a)(PORT=1))))(SECURITY=(SSL_SERVER_CERT_DN="CN=x")))';
  let refused = 0;
  for (let run = 0; run < runs; run++) {
    const kind = pick(Object.keys(damages));
    const target = parseTarget(damages[kind]?.(Buffer.from(text)).toString('latin1') ?? '');
    if (target === undefined) refused += 1;
    else if (target.lists.every(({ addresses }) => addresses.length === 0)) t.fail('a target without an address');
  }
  t.ok(refused > runs / 10 && refused < runs, `${refused} of ${runs} refused`);
});
