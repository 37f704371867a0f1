import { CodedError } from '../../shim/program/errors.js';

export type ScenarioErrorCode =
  /** The file cannot be read, is no YAML, or says something that cannot be. */
  | 'scenario-invalid'
  /** What is to be repeated was recorded with another scenario. */
  | 'replay-mismatch';

export class ScenarioError extends CodedError<ScenarioErrorCode> {
  constructor(code: ScenarioErrorCode, message: string, options?: ErrorOptions) {
    super(code, 'operator', message, options);
  }
}
