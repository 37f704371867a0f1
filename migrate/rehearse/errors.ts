import { CodedError } from '../../shim/program/errors.js';

export type RehearseErrorCode =
  /** An application did not get to work, or did not end when it was told to. */
  | 'load-stuck'
  /** The database cannot be used for it: no connection, or no right to make tables. */
  | 'database-unusable';

export class RehearseError extends CodedError<RehearseErrorCode> {
  constructor(code: RehearseErrorCode, message: string, options?: ErrorOptions) {
    super(code, code === 'database-unusable' ? 'backend' : 'operator', message, options);
  }
}
