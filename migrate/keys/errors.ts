import { CodedError } from '../../shim/program/errors.js';

export type KeysErrorCode =
  /** Something would be overwritten. */
  | 'keys-exist'
  /** The directory has no authority, or not the key of the one it has. */
  | 'keys-missing'
  /** A file in the directory is not what its name says. */
  | 'keys-invalid'
  /** Others than its owner can look into the directory. */
  | 'keys-not-private'
  /** This step of a rotation is not the next one. */
  | 'keys-wrong-step';

export class KeysError extends CodedError<KeysErrorCode> {
  constructor(code: KeysErrorCode, message: string, options?: ErrorOptions) {
    super(code, 'operator', message, options);
  }
}
