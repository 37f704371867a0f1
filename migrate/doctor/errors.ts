import { CodedError, type ErrorSource } from '../../shim/program/errors.js';

export type DoctorErrorCode =
  /** No TCP or TLS connection to the address. */
  | 'doctor-unreachable'
  /** The listener refused; the text has its number. */
  | 'doctor-refused'
  /** What answers there is no Oracle Net, or says something that no listener says. */
  | 'doctor-not-oracle-net'
  /** No answer within `--timeout`. */
  | 'doctor-timeout';

export class DoctorError extends CodedError<DoctorErrorCode> {
  constructor(code: DoctorErrorCode, message: string, options?: ErrorOptions) {
    const source: ErrorSource = code === 'doctor-unreachable' ? 'operator' : 'backend';
    super(code, source, message, options);
  }
}
