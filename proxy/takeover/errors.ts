import { CodedError } from '../../shim/program/errors.js';

export type TakeoverErrorCode =
  /** What the worker before has put down is of a version that this program cannot go on from. */
  | 'takeover-version'
  /** It is no such thing, or contradicts itself. */
  | 'takeover-damaged'
  /** The worker had read bytes of the database and died before it had put them down: they are gone. */
  | 'takeover-bytes-lost'
  /** The connection to the database was not kept: it has TLS, was just being made, or the journal could not be written. */
  | 'takeover-not-kept'
  /** The connection to the database ended while there was no worker. */
  | 'takeover-connection-lost';

/** Why a session, or all of them, could not be taken over from a worker that has died. */
export class TakeoverError extends CodedError<TakeoverErrorCode> {
  constructor(code: TakeoverErrorCode, message: string, cause?: unknown) {
    super(code, 'proxy', message, { cause });
  }
}
