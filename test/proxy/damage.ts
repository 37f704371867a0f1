/**
 * Conversations of real drivers, damaged: whatever comes, a decoder gives a packet, asks for more, or throws its coded error; a
 * session ends or its verdict is unknown; and what is kept of it stays within its bound.
 */
import { pack } from 'msgpackr';
import { planReplay } from '../../fixtures/captures/plan.js';
import type { Segment } from '../../fixtures/captures/tcp.js';
import { type ConnectAction, ConnectPhase } from '../../proxy/backend/connect-phase.js';
import { defaultBackendLimits, recordBytesMax } from '../../proxy/backend/limits.js';
import { PacketReader, TnsError } from '../../proxy/tns/index.js';
import { SessionTracker } from '../../proxy/track/session.js';
import { Random } from '../../shim/program/random.js';
import type { Recorded } from '../fixtures/captures/programs.js';

/** Bytes that mean something in many places: lengths, types, the greatest and the least of everything. */
const telling: readonly [number, ...number[]] = [
  0, 1, 2, 3, 4, 5, 6, 8, 9, 11, 12, 14, 17, 26, 29, 34, 0x40, 0x7f, 0x80, 0xfe, 0xff,
];

const damages: Readonly<Record<string, (bytes: Buffer, random: Random) => Buffer>> = {
  'one byte': (bytes, random) => {
    const copy = Buffer.from(bytes);
    copy[random.below(copy.length)] = random.chance(0.5) ? random.pick(telling) : random.below(256);
    return copy;
  },
  'some bytes': (bytes, random) => {
    const copy = Buffer.from(bytes);
    for (let count = random.below(20); count >= 0; count--) copy[random.below(copy.length)] = random.pick(telling);
    return copy;
  },
  'the head': (bytes, random) => {
    const copy = Buffer.from(bytes);
    copy[random.below(Math.min(copy.length, 40))] = random.pick(telling);
    return copy;
  },
  'cut off': (bytes, random) => bytes.subarray(0, random.below(bytes.length)),
  'a piece gone': (bytes, random) => {
    const from = random.below(bytes.length);
    return Buffer.concat([bytes.subarray(0, from), bytes.subarray(from + 1 + random.below(30))]);
  },
  'a piece twice': (bytes, random) => {
    const from = random.below(bytes.length);
    return Buffer.concat([bytes.subarray(0, from + random.below(60)), bytes.subarray(from)]);
  },
  'a packet between': (bytes, random) => {
    const body = Buffer.from(
      Array.from({ length: random.below(24) }, () => (random.chance(0.7) ? random.pick(telling) : random.below(256))),
    );
    // Often the beginning of a notification: its other fields are read only behind that.
    if (random.chance(0.3)) body.fill(Buffer.from([0, 8]), 0, Math.min(2, body.length));
    const header = Buffer.from([0, 0, 0, 8 + body.length, random.pick([9, 12, 14, 14, random.below(16)]), 0, 0, 0]);
    return random.chance(0.5) ? Buffer.concat([header, body, bytes]) : Buffer.concat([bytes, header, body]);
  },
  'noise in it': (bytes, random) => {
    const at = random.below(bytes.length);
    const noise = Buffer.from(Array.from({ length: 1 + random.below(200) }, () => random.below(256)));
    return Buffer.concat([bytes.subarray(0, at), noise, bytes.subarray(at)]);
  },
};

const damageKinds = Object.keys(damages) as [string, ...string[]];

/** Something done to bytes that nobody would do on purpose. */
export function damage(bytes: Buffer, random: Random): Buffer {
  return damages[random.pick(damageKinds)]?.(bytes, random) ?? bytes;
}

function damaged(segments: readonly Segment[], random: Random): { segments: Segment[]; how: string } {
  const copy = [...segments];
  const how: string[] = [];
  for (let count = random.below(3); count >= 0; count--) {
    const index = random.below(copy.length);
    const segment = copy[index];
    if (segment === undefined || segment.bytes.length === 0) continue;
    if (random.chance(0.1)) {
      const other = random.below(copy.length);
      [copy[index], copy[other]] = [copy[other] ?? segment, segment];
      how.push(`segments ${index} and ${other} swapped`);
      continue;
    }
    const kind = random.pick(damageKinds);
    const from = random.chance(0.05) ? (segment.from === 'driver' ? 'database' : 'driver') : segment.from;
    copy[index] = { from, bytes: damages[kind]?.(segment.bytes, random) ?? segment.bytes };
    how.push(`segment ${index}: ${kind}`);
  }
  return { segments: copy, how: how.join(', ') };
}

/** Pieces as TCP might deliver them. */
function* chunks(bytes: Buffer, random: Random): Generator<Buffer> {
  for (let at = 0; at < bytes.length; ) {
    const length = random.chance(0.7) ? bytes.length : 1 + random.below(20);
    yield bytes.subarray(at, at + length);
    at += length;
  }
}

/** What a session of the proxy does with these bytes, without its sockets. @returns the tracker, once there was an answer */
function watch(
  segments: readonly Segment[],
  random: Random,
): { tracker: SessionTracker | undefined; failed: string | undefined } {
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
    for (const chunk of chunks(bytes, random)) {
      if (failed !== undefined) return { tracker, failed };
      if (tracker !== undefined) from === 'driver' ? tracker.fromDriver(chunk, 0) : tracker.fromDatabase(chunk, 0);
      else if (from === 'driver') perform(phase.fromDriver(chunk));
      // Nothing comes from a database that has not been dialed.
      else if (phase.state === 'answering') perform(phase.fromDatabase(chunk));
    }
  }
  return { tracker, failed };
}

export interface Trials {
  /** How conversations ended, and how often. */
  readonly ends: ReadonlyMap<string, number>;
  /** What should not have happened, and how it was brought about. */
  readonly failures: readonly string[];
}

/** Plays conversations, each time damaged in another way. The same seed gives the same damage. */
export function playDamaged(recorded: readonly Recorded[], seed: number, runs: number): Trials {
  const random = new Random(seed);
  const ends = new Map<string, number>();
  const failures: string[] = [];
  const [first, ...others] = recorded;
  if (first === undefined) return { ends, failures: ['nothing was recorded'] };
  const { faults, restore } = collectFaults();
  try {
    for (const { name, segments } of recorded) {
      const { tracker, failed } = watch(segments, random);
      const reason = tracker?.movability().reason;
      if (failed !== undefined || reason === 'unknown') failures.push(`${name}, undamaged: ${failed ?? reason}`);
    }
    for (let run = 0; run < runs; run++) {
      const { name, segments } = random.pick([first, ...others]);
      const trial = damaged(segments, random);
      const what = `seed ${seed}, run ${run}: ${name}: ${trial.how}`;
      try {
        planReplay(trial.segments);
        const { tracker, failed } = watch(trial.segments, random);
        const end = failed ?? tracker?.movability().reason ?? 'no answer';
        ends.set(end, (ends.get(end) ?? 0) + 1);
        const keptBytes = tracker === undefined ? 0 : pack(tracker.state()).length;
        if (keptBytes > recordBytesMax) failures.push(`${what}: ${keptBytes} bytes are kept`);
      } catch (error) {
        faults.push(error);
      }
      for (const fault of faults.splice(0)) {
        failures.push(`${what}: ${fault instanceof Error ? fault.stack : fault}`);
      }
    }
  } finally {
    restore();
  }
  return { ends, failures };
}

/** The tracker puts every error of its readers into its verdict; those that are no answer of a decoder are collected here. */
function collectFaults(): { faults: unknown[]; restore(): void } {
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
  return {
    faults,
    restore: () => {
      PacketReader.prototype.push = push;
    },
  };
}
