import { CodedError } from '../../shim/program/errors.js';

export type JudgeErrorCode = 'history-malformed';

/** A history that no program can have: whoever wrote it down is wrong, and no verdict can come of it. */
export class JudgeError extends CodedError<JudgeErrorCode> {
  constructor(code: JudgeErrorCode, message: string) {
    super(code, 'operator', message);
  }
}
