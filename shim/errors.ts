import type { Verdict } from './link/index.js';
import { CodedError } from './program/errors.js';

export type ShimErrorCode =
  /** The proxy gave a final verdict. */
  | `refused-${Verdict}`
  /** The shim was detached or stopped while an attach was under way. */
  | 'detached';

export class ShimError extends CodedError<ShimErrorCode> {
  static refused(verdict: Verdict, reason: string): ShimError {
    return new ShimError(`refused-${verdict}`, 'proxy', reason);
  }

  static detached(): ShimError {
    return new ShimError('detached', 'operator', 'the shim was detached before it could bind');
  }
}
