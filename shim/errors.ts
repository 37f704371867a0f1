import type { ErrorSource, Verdict } from './link/index.js';

export type ShimErrorCode =
  /** The proxy gave a final verdict; `verdict` says which. */
  | 'shim-refused'
  /** The shim was detached or stopped while an attach was under way. */
  | 'shim-detached';

export class ShimError extends Error {
  override readonly name = 'ShimError';
  readonly code: ShimErrorCode;
  readonly source: ErrorSource;
  readonly verdict: Verdict | undefined;

  constructor(code: ShimErrorCode, message: string, options: { verdict?: Verdict; cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.code = code;
    this.source = code === 'shim-refused' ? 'proxy' : 'operator';
    this.verdict = options.verdict;
  }
}
