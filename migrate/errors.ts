import { CodedError, type ErrorSource, errorCode, errorText } from '../shim/program/errors.js';
import type { FindingCode } from './preflight/errors.js';

export type MoveErrorCode =
  // What stands in the way of a move, and what other commands meet of it.
  | FindingCode
  // What was asked for.
  | 'unknown-workload'
  | 'unknown-node'
  | 'same-node'
  | 'mover-unfit'
  | 'workload-exists'
  | 'move-in-progress'
  | 'unknown-move'
  | 'evacuation-in-progress'
  | 'evacuation-unfinished'
  | 'nothing-to-resume'
  | 'no-target'
  | 'upgrade-failed'
  // What failed on the way.
  | 'start-failed'
  | 'bundle-unfit'
  | 'hook-failed'
  | 'detach-failed'
  | 'dump-failed'
  | 'restore-failed'
  | 'bind-refused'
  | 'bind-failed'
  | 'sessions-differ'
  | 'bytes-differ'
  | 'retire-failed'
  | 'put-back-failed'
  | 'await-timeout'
  | 'bind-unfinished'
  | 'sessions-lost'
  | 'journal-failed'
  // Why one that could have gone on did not.
  | 'aborted'
  | 'blackout-exceeded'
  | 'deadline-passed'
  | 'cut-off'
  // Of the records of moves.
  | 'record-altered'
  | 'owner-unknown';

/** Errors of starting and moving workloads. The text says what happened; the record of a move says what became of the source. */
export class MoveError extends CodedError<MoveErrorCode> {
  constructor(code: MoveErrorCode, message: string, options?: ErrorOptions & { readonly source?: ErrorSource }) {
    super(code, options?.source ?? 'operator', message, options);
  }

  /** Puts a code on whatever was thrown, unless it has one of ours. */
  static from(code: MoveErrorCode, what: string, cause: unknown): MoveError {
    if (cause instanceof MoveError) return cause;
    return new MoveError(code, `${what}: ${errorText(cause)}`, { cause });
  }

  /** What the machine of a move keeps of an error, as one again. */
  static ofFailure(failure: { readonly code: string; readonly message: string } | undefined): MoveError {
    return new MoveError((failure?.code ?? 'aborted') as MoveErrorCode, failure?.message ?? 'it was taken back');
  }

  /** Of a part that gave no answer. One that is there and does not take us says so: starting it again would not help. */
  static noAnswer(code: `${'agent' | 'proxy' | 'shim'}-unreachable`, what: string, cause: unknown): MoveError {
    const found = errorCode(cause);
    return MoveError.from(found === 'not-authorised' || found === 'wrong-contract' ? found : code, what, cause);
  }
}
