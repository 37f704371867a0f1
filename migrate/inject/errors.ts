import { CodedError } from '../../shim/program/errors.js';

export type InjectErrorCode =
  | 'relay-unreachable'
  /** It says why. */
  | 'relay-refused'
  /** What should be a rule is none. */
  | 'fault-invalid'
  /** A rule that was waited for did not act in time. */
  | 'fault-idle';

export class InjectError extends CodedError<InjectErrorCode> {
  constructor(code: InjectErrorCode, message: string, options?: ErrorOptions) {
    super(code, 'operator', message, options);
  }
}
