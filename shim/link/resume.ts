import { timingSafeEqual } from 'node:crypto';
import { unpack } from 'msgpackr';
import { encodeControl } from './encode.js';
import { LinkError } from './errors.js';
import { type Epoch, frameTypes, protocolVersion, type StreamId } from './frame.js';
import type { Account, Link } from './link.js';
import type { StreamState } from './stream.js';

/**
 * The handshake, one round trip for any number of streams:
 *
 *   shim                                                          proxy
 *     RESUME   workload, instance, epoch, token, where streams stand ──>
 *     <── RESUME_OK  new epoch, new token, where streams stand
 *     CONFIRM  epoch ──>          from here on the old token is worthless
 *
 * or REJECTED with a verdict instead of RESUME_OK.
 */

export const verdicts = [
  /** No such workload is held here (the proxy was restarted, or the hold was ended by an operator). */
  'unknown-workload',
  /** Another copy of this workload has bound since; this one must never send a byte. */
  'stale-epoch',
  /** This is an image older than what it once acknowledged. */
  'peer-rewound',
  /** The hold ran out; the sessions are closed and rolled back. */
  'hold-expired',
  /** The token is wrong, or the peer may not bind this workload. */
  'not-authorised',
  /** Full, stopping or overloaded; come again after `retryAfterMs`. */
  'try-later',
] as const;
export type Verdict = (typeof verdicts)[number];

export const tokenBytes = 32;

export interface Resume extends Account {
  readonly version: number;
  /** Name of the workload, given by its owner. */
  readonly workload: string;
  /** Random, made once when the shim starts; tells a restarted shim from a moved one. */
  readonly instance: string;
  readonly epoch: Epoch;
  /** Token of the last bind; empty before the first. */
  readonly token: Buffer;
  /** Counts the RESUMEs this shim has sent, from 1: tells a late one of a dead connection from the newest. */
  readonly attempt: number;
}

export interface ResumeOk extends Account {
  readonly version: number;
  readonly epoch: Epoch;
  readonly token: Buffer;
  /** Bytes towards drivers that were sent before and will be again. */
  readonly replayedBytes: number;
}

export interface Rejected {
  readonly version: number;
  readonly verdict: Verdict;
  readonly reason: string;
  readonly retryAfterMs: number;
}

/** What the proxy keeps of a workload in order to judge the next RESUME. */
export interface Binding {
  readonly epoch: Epoch;
  readonly token: Buffer;
  /** What the shim presented for this bind: still good until it has confirmed that it got the answer. */
  readonly unconfirmed: { readonly epoch: Epoch; readonly token: Buffer } | undefined;
  /** Attempt of the RESUME that was bound last. */
  readonly attempt: number;
}

/** A workload that has never been bound: epoch 0, opened by an empty token. */
export const noBinding: Binding = { epoch: 0 as Epoch, token: Buffer.alloc(0), unconfirmed: undefined, attempt: 0 };

/**
 * May this RESUME bind? Every bind takes a token, so of two copies one binds and the other is stale. Lost RESUME_OKs, also
 * several in a row, must not lock the shim out, hence what it presented stays good until CONFIRM; no data is taken before
 * CONFIRM, so a bind that is superseded in that time has sent nothing to the database.
 */
export function judge(resume: Resume, binding: Binding, link: Link): { verdict: Verdict; reason: string } | undefined {
  const { epoch, token, unconfirmed } = binding;
  const expected = resume.epoch === epoch ? token : resume.epoch === unconfirmed?.epoch ? unconfirmed.token : undefined;
  if (expected === undefined) {
    return { verdict: 'stale-epoch', reason: `epoch ${resume.epoch} was presented, ${epoch} is the newest` };
  }
  if (!sameToken(resume.token, expected))
    return { verdict: 'not-authorised', reason: 'the resume token does not match' };
  // The network may deliver a RESUME after one that the shim sent later, on another connection: it is as stale as its snapshot,
  // and nobody waits for the verdict. Or it is a copy, and the other one has yet to confirm: if it never does (it was killed, a
  // move was taken back), this one must get in, so it is not refused for good.
  if (resume.attempt <= binding.attempt) {
    return { verdict: 'try-later', reason: `attempt ${resume.attempt} was presented after ${binding.attempt}` };
  }
  if (link.peerRewound(resume)) {
    return { verdict: 'peer-rewound', reason: 'the shim does not remember bytes it sent or acknowledged' };
  }
  return undefined;
}

/** The binding after a bind with a fresh token. */
export function bound(binding: Binding, resume: Resume, token: Buffer): Binding {
  const { epoch, attempt } = resume;
  return { epoch: (binding.epoch + 1) as Epoch, token, unconfirmed: { epoch, token: resume.token }, attempt };
}

/** The binding after CONFIRM. */
export function confirmed(binding: Binding): Binding {
  return { ...binding, unconfirmed: undefined };
}

function sameToken(a: Buffer, b: Buffer): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}

// Encoding ----------------------------------------------------------------------------------------------------------

export function encodeResume(resume: Resume): Buffer {
  return encodeControl(frameTypes.resume, { ...resume, streams: flatten(resume.streams) });
}

export function encodeResumeOk(ok: ResumeOk): Buffer {
  return encodeControl(frameTypes.resumeOk, { ...ok, streams: flatten(ok.streams) });
}

export function encodeRejected(rejected: Rejected): Buffer {
  return encodeControl(frameTypes.rejected, rejected);
}

export function encodeConfirm(epoch: Epoch): Buffer {
  return encodeControl(frameTypes.confirm, { epoch });
}

/** @throws LinkError `link-frame-malformed`, `link-version` */
export function decodeResume(payload: Buffer): Resume {
  const fields = decodeFields(payload, 'RESUME');
  return {
    version: version(fields),
    workload: text(fields, 'workload', 1, 128),
    instance: text(fields, 'instance', 1, 64),
    epoch: count(fields, 'epoch') as Epoch,
    token: bytes(fields, 'token'),
    attempt: count(fields, 'attempt'),
    ...account(fields),
  };
}

/** @throws LinkError `link-frame-malformed`, `link-version` */
export function decodeResumeOk(payload: Buffer): ResumeOk {
  const fields = decodeFields(payload, 'RESUME_OK');
  return {
    version: version(fields),
    epoch: count(fields, 'epoch') as Epoch,
    token: bytes(fields, 'token'),
    ...account(fields),
    replayedBytes: count(fields, 'replayedBytes'),
  };
}

/** An unknown verdict of a newer proxy is final here: `not-authorised`. @throws LinkError `link-frame-malformed` */
export function decodeRejected(payload: Buffer): Rejected {
  const fields = decodeFields(payload, 'REJECTED');
  const verdict = verdicts.find((known) => known === fields.verdict) ?? 'not-authorised';
  return {
    version: count(fields, 'version'),
    verdict,
    reason: text(fields, 'reason', 0, 1024),
    retryAfterMs: count(fields, 'retryAfterMs'),
  };
}

/** @throws LinkError `link-frame-malformed` */
export function decodeConfirm(payload: Buffer): Epoch {
  return count(decodeFields(payload, 'CONFIRM'), 'epoch') as Epoch;
}

type Fields = Readonly<Record<string, unknown>>;
const statesFields = 5;

function decodeFields(payload: Buffer, what: string): Fields {
  let value: unknown;
  try {
    value = unpack(payload);
  } catch (cause) {
    throw new LinkError('link-frame-malformed', `${what} is not msgpack`, { cause });
  }
  if (typeof value !== 'object' || value === null)
    throw new LinkError('link-frame-malformed', `${what} is not a record`);
  return value as Fields;
}

function account(fields: Fields): Account {
  return {
    lastStream: count(fields, 'lastStream'),
    sentTotal: count(fields, 'sentTotal'),
    receivedTotal: count(fields, 'receivedTotal'),
    windowBytes: count(fields, 'windowBytes'),
    streams: unflatten(fields.streams),
  };
}

function version(fields: Fields): number {
  const value = count(fields, 'version');
  if (value !== protocolVersion) {
    throw new LinkError('link-version', `the peer speaks version ${value} of the link, this end ${protocolVersion}`);
  }
  return value;
}

function count(fields: Fields, name: string): number {
  const value = fields[name];
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  throw new LinkError('link-frame-malformed', `${name} is not a count`);
}

function text(fields: Fields, name: string, min: number, max: number): string {
  const value = fields[name];
  if (typeof value === 'string' && value.length >= min && value.length <= max) return value;
  throw new LinkError('link-frame-malformed', `${name} is not a text of ${min} to ${max} characters`);
}

function bytes(fields: Fields, name: string): Buffer {
  const value = fields[name];
  // A copy: the payload's buffer is not kept past the call.
  if (value instanceof Uint8Array && (value.length === 0 || value.length === tokenBytes)) return Buffer.from(value);
  throw new LinkError('link-frame-malformed', `${name} is not a token`);
}

function integers(value: unknown, multiple: number): number[] {
  if (!Array.isArray(value) || value.length % multiple !== 0)
    throw new LinkError('link-frame-malformed', 'bad list of streams');
  for (const each of value) {
    if (!Number.isSafeInteger(each) || each < 0)
      throw new LinkError('link-frame-malformed', 'bad number in a list of streams');
  }
  return value;
}

function flatten(streams: readonly StreamState[]): number[] {
  return streams.flatMap((s) => [s.id, s.received, s.consumed, s.firstAvailable, s.sent]);
}

function unflatten(value: unknown): StreamState[] {
  const flat = integers(value, statesFields);
  const states: StreamState[] = [];
  let last = 0;
  for (let i = 0; i < flat.length; i += statesFields) {
    const [id = 0, received = 0, consumed = 0, firstAvailable = 0, sent = 0] = flat.slice(i, i + statesFields);
    if (id <= last) throw new LinkError('link-frame-malformed', 'streams are not in order');
    if (consumed > received || firstAvailable > sent)
      throw new LinkError('link-frame-malformed', `stream ${id} contradicts itself`);
    last = id;
    states.push({ id: id as StreamId, received, consumed, firstAvailable, sent });
  }
  return states;
}
