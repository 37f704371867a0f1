import { CodedError } from '../../shim/program/errors.js';

export type RelayErrorCode =
  | 'relay-unknown'
  | 'relay-exists'
  | 'toxic-unknown'
  | 'toxic-exists'
  | 'relay-bad-request'
  /** No relay stands on the leg that a rule names. */
  | 'relay-no-leg'
  | 'relay-too-many'
  /** The address cannot be listened on. */
  | 'relay-listen-failed';

/** With the status that Toxiproxy answers with. */
const statuses: Readonly<Record<RelayErrorCode, number>> = {
  'relay-unknown': 404,
  'relay-exists': 409,
  'toxic-unknown': 404,
  'toxic-exists': 409,
  'relay-bad-request': 400,
  'relay-no-leg': 409,
  'relay-too-many': 409,
  'relay-listen-failed': 500,
};

export class RelayError extends CodedError<RelayErrorCode> {
  constructor(code: RelayErrorCode, message: string, options?: ErrorOptions) {
    super(code, 'operator', message, options);
  }

  get status(): number {
    return statuses[this.code];
  }
}
