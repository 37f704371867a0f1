import { CodedError } from '../../shim/program/errors.js';

export type FaultErrorCode =
  /** The proxy runs without `--allow-faults`. */
  | 'faults-not-allowed'
  /** There would be more rules than `faultsMax`. */
  | 'too-many-faults'
  /** A rule of transport at a proxy: a relay does those. */
  | 'fault-not-here';

/** What somebody is told who asks for faults that cannot be had. */
export class FaultError extends CodedError<FaultErrorCode> {
  constructor(code: FaultErrorCode, message: string) {
    super(code, 'operator', message);
  }
}
