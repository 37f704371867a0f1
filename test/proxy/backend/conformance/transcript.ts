/** Conversations of drivers and databases byte by byte, built without the codec under test, and played through a proxy's session. */
import type { Test } from 'tap';
import { compare, planReplay } from '../../../../fixtures/captures/plan.js';
import { type Played, type PlayOptions, Stage } from '../../../../fixtures/captures/play.js';
import type { Segment } from '../../../../fixtures/captures/tcp.js';
import type { SessionTrack } from '../../../../proxy/track/view.js';
import type { Address } from '../../../../shim/program/address.js';
import { pipe } from '../pipe.js';

export const bytes = (...parts: readonly (number | string | Buffer)[]): Buffer =>
  Buffer.concat(
    parts.map((part) => {
      if (typeof part === 'number') return Buffer.from([part]);
      return typeof part === 'string' ? Buffer.from(part, 'latin1') : part;
    }),
  );

/** A packet of the connect phase: a length of 16 bits. */
export function early(type: number, body: Buffer, flags = 0): Buffer {
  const header = Buffer.from([0, 0, 0, 0, type, flags, 0, 0]);
  header.writeUInt16BE(8 + body.length, 0);
  return Buffer.concat([header, body]);
}

/** A packet behind ACCEPT. */
export function packet(type: number, body: Buffer, flags = 0): Buffer {
  const header = Buffer.from([0, 0, 0, 0, type, flags, 0, 0]);
  header.writeUInt32BE(8 + body.length, 0);
  return Buffer.concat([header, body]);
}

export const data = (payload: Buffer | string, dataFlags = 0, flags = 0): Buffer =>
  packet(6, bytes(dataFlags >> 8, dataFlags & 0xff, payload), flags);

export const marker = (kind: 'break' | 'reset' | 'interrupt'): Buffer =>
  packet(12, bytes(1, 0, { break: 1, reset: 2, interrupt: 3 }[kind]));

export interface ConnectFields {
  readonly options?: number;
  readonly compression?: number;
  readonly flags2?: number;
  readonly sduBytes?: number;
  /** NA flags: 0x84 switches native services off. */
  readonly services?: number;
}

const descriptor = '(DESCRIPTION=(CONNECT_DATA=(SERVICE_NAME=orders)(CID=(PROGRAM=x)(HOST=h)(USER=u))))';

export function connect(fields: ConnectFields = {}): Buffer {
  const body = Buffer.alloc(66);
  body.writeUInt16BE(319, 0);
  body.writeUInt16BE(300, 2);
  body.writeUInt16BE(fields.options ?? 0x0001, 4);
  body.writeUInt16BE(8192, 6);
  body.writeUInt16BE(descriptor.length, 16);
  body.writeUInt16BE(74, 18);
  body.fill(fields.services ?? 0x84, 24, 26);
  body.writeUInt32BE(fields.sduBytes ?? 8192, 50);
  body.writeUInt16BE(fields.compression ?? 0, 58);
  body.writeUInt32BE(fields.flags2 ?? 0, 62);
  return early(1, bytes(body, descriptor));
}

export interface AcceptFields extends ConnectFields {
  readonly version?: number;
}

export function accept(fields: AcceptFields = {}): Buffer {
  const version = fields.version ?? 319;
  const body = Buffer.alloc(version >= 319 ? 53 : version >= 318 ? 37 : version >= 315 ? 33 : 24);
  body.writeUInt16BE(version, 0);
  body.writeUInt16BE(fields.options ?? 0x0001, 2);
  body.writeUInt16BE(Math.min(fields.sduBytes ?? 8192, 65535), 4);
  const services = fields.services ?? 0x0c;
  body[14] = services;
  body[15] = services;
  if (version >= 315) {
    body.writeUInt32BE(fields.sduBytes ?? 8192, 24);
    body[32] = (fields.compression ?? 0) >> 8;
  }
  if (version >= 318) body.writeUInt32BE(fields.flags2 ?? 0, 33);
  return early(2, body);
}

export const driver = (...parts: readonly Buffer[]): Segment => ({ from: 'driver', bytes: Buffer.concat(parts) });
export const database = (...parts: readonly Buffer[]): Segment => ({ from: 'database', bytes: Buffer.concat(parts) });

export interface Result {
  readonly toDatabase: ReturnType<typeof compare>;
  readonly toDriver: ReturnType<typeof compare>;
}

/** Plays it to an address that leads to the stage. */
export async function playThrough(
  stage: Stage,
  shim: Address,
  segments: readonly Segment[],
  options: PlayOptions = {},
): Promise<Result> {
  const plan = planReplay(segments);
  if (plan.kind === 'skip') throw new Error(plan.why);
  const played: Played = await stage.play(plan, shim, options);
  return { toDatabase: compare(plan.database, played.database), toDriver: compare(plan.driver, played.driver) };
}

/** Plays it through a session of the proxy, and looks at what its tracker says after each turn of either side. */
export async function play(
  t: Test,
  segments: readonly Segment[],
): Promise<Result & { readonly tracks: readonly SessionTrack[]; readonly last: SessionTrack }> {
  const stage = await Stage.open();
  t.teardown(() => stage.close());
  const front = await pipe(t, stage.address);
  const tracks: SessionTrack[] = [];
  const look = (): SessionTrack => {
    const session = front.sessions[0];
    if (session === undefined) throw new Error('there is no session');
    const { track } = session.describe();
    tracks.push(track);
    return track;
  };
  const onTurn = async (_side: string, turn: number): Promise<void> => {
    if (turn > 0) look();
  };
  const result = await playThrough(stage, { host: '127.0.0.1', port: front.port }, segments, {
    onTurn,
    stallMs: 60_000,
  });
  return { ...result, tracks, last: look() };
}

/** The same as recorded, in both directions; the rest is what was cleared. */
export function same(t: Test, { toDatabase, toDriver }: Result, cleared: readonly string[] = []): void {
  t.equal(toDatabase.wrong, undefined, 'to the database, byte for byte');
  t.equal(toDriver.wrong, undefined, 'to the driver, byte for byte');
  t.strictSame([...toDatabase.cleared, ...toDriver.cleared], cleared);
}
