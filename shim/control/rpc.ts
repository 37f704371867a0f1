import type { Socket } from 'node:net';
import * as msgpackr from 'msgpackr';
import type { z } from 'zod';
import { CodedError, type ErrorSource, errorCode, errorText } from '../program/errors.js';
import type { Role } from '../program/identity.js';

/**
 * The control API that operators' tools speak with shims, proxies and agents: verbs with checked requests and replies.
 * This file has what both ends share; rpc-server.ts and rpc-client.ts carry it over net-ipc.
 */
export interface Verb<Request, Reply, Event> {
  readonly request: z.ZodType<Request>;
  readonly reply: z.ZodType<Reply>;
  /** What the handler may send to the caller before the reply. */
  readonly event?: z.ZodType<Event>;
  /** Whose certificates may call it besides operators', who may call everything: nobody's, unless it says so. */
  readonly callers?: readonly Role[];
}

export type Verbs = Readonly<Record<string, Verb<unknown, unknown, unknown>>>;

export interface Contract<V extends Verbs = Verbs> {
  /** Which kind of program answers, so that a tool pointed at the wrong port says so. */
  readonly name: string;
  /** Both ends must have the same: parts of one installation are upgraded together. */
  readonly version: number;
  readonly verbs: V;
}

export type RequestOf<V> = V extends Verb<infer Request, unknown, unknown> ? Request : never;
export type ReplyOf<V> = V extends Verb<unknown, infer Reply, unknown> ? Reply : never;
export type EventOf<V> = V extends Verb<unknown, unknown, infer Event> ? Event : never;

/** Gives a contract its exact type. */
export function defineContract<const V extends Verbs>(name: string, version: number, verbs: V): Contract<V> {
  return { name, version, verbs };
}

/** Codes that come from the control API itself; handlers add those of their own errors. */
export type ControlCode =
  | 'unreachable'
  | 'not-authorised'
  | 'wrong-contract'
  | 'unknown-verb'
  | 'bad-request'
  | 'bad-reply'
  | 'too-large'
  | 'too-many-calls'
  | 'timeout'
  | 'closed'
  | 'address-in-use'
  | 'bad-address'
  | 'internal';

/** An error of a call: of the control API, or one the handler threw at the other end with its code kept. */
export class ControlError extends CodedError<ControlCode | (string & {})> {}

/** What is sent in either direction, inside net-ipc messages. */
export type ClientMessage = {
  readonly kind: 'call';
  readonly id: number;
  readonly verb: string;
  readonly body: unknown;
};

export interface ErrorOnWire {
  readonly code: string;
  readonly source: ErrorSource;
  readonly message: string;
}

export type ServerMessage =
  | { readonly kind: 'welcome' }
  | { readonly kind: 'refused'; readonly error: ErrorOnWire }
  | { readonly kind: 'event'; readonly id: number; readonly body: unknown }
  | { readonly kind: 'reply'; readonly id: number; readonly body: unknown }
  | { readonly kind: 'failed'; readonly id: number; readonly error: ErrorOnWire };

export interface Hello {
  readonly contract: string;
  readonly version: number;
}

export function toWire(thrown: unknown): ErrorOnWire {
  if (thrown instanceof CodedError) return { code: thrown.code, source: thrown.source, message: thrown.message };
  return { code: errorCode(thrown) ?? 'internal', source: 'proxy', message: errorText(thrown) };
}

export function fromWire(error: ErrorOnWire): ControlError {
  return new ControlError(error.code, error.source, error.message);
}

export function firstIssue(error: z.ZodError): string {
  const issue = error.issues[0];
  return `${issue?.path.join('.') || 'body'}: ${issue?.message ?? 'not valid'}`;
}

/**
 * What the other end may make net-ipc do with its bytes; call it before any are read. It decides by itself, on the first
 * message and before anybody knows what it may: it could ask for compression, of which a few KiB unfold to any size, and it
 * gets the msgpackr that net-ipc brings along, in which 25 bytes that announce long lists (1.11.5) take a gigabyte. So
 * compression stays off, whoever asks for it, and the msgpackr is ours, which looks at what is there.
 */
export function limitCodecs(socket: Socket): void {
  let codec: typeof msgpackr | undefined;
  const set = (wanted: unknown) => {
    codec = wanted === undefined ? undefined : msgpackr;
  };
  Object.defineProperties(socket, {
    zlib: { get: () => undefined, set: () => undefined },
    msgpack: { get: () => codec, set },
  });
}

/**
 * net-ipc would collect a message of any announced length, and wait for the rest of one for ever. It asks the socket for the
 * whole message as soon as it knows the length: there a message that is too long is refused, before it is collected.
 */
export function limitMessages(socket: Socket, bytesMax: () => number, pauseMsMax: number): void {
  const read = socket.read.bind(socket);
  socket.read = (bytes?: number) => {
    const most = bytesMax();
    if (bytes === undefined || bytes <= most) return read(bytes);
    socket.destroy(new ControlError('too-large', 'operator', `a control message is longer than ${most} bytes`));
    return null;
  };
  socket.setTimeout(pauseMsMax, () => {
    if (socket.readableLength === 0) return;
    socket.destroy(new ControlError('timeout', 'operator', `a control message stopped half-way for ${pauseMsMax} ms`));
  });
}
