import { CodedError } from '../shim/program/errors.js';

export type HoldErrorCode =
  /** No such workload is bound or held. */
  | 'unknown-workload'
  /** Its application is there, so there is no hold. */
  | 'not-held';

/** What an operator is told who asks for something that cannot be done. */
export class HoldError extends CodedError<HoldErrorCode> {
  constructor(code: HoldErrorCode, message: string) {
    super(code, 'operator', message);
  }
}
