/** Who an error is laid to: the driver's side, Holdfast itself, the database's side, or the person at the controls. */
export type ErrorSource = 'frontend' | 'proxy' | 'backend' | 'operator';

/** Base of the error classes of all modules: callers match on `code`, never on the text. */
export class CodedError<Code extends string = string> extends Error {
  readonly code: Code;
  readonly source: ErrorSource;

  constructor(code: Code, source: ErrorSource, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
    this.source = source;
  }
}

/** The text of anything that was thrown; libraries throw strings too. */
export function errorText(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

/** OpenSSL's own words, without the file and line of its source around them. */
export function tlsReason(cause: unknown): string {
  const reason = typeof cause === 'object' && cause !== null && 'reason' in cause ? cause.reason : undefined;
  return typeof reason === 'string' ? reason : errorText(cause).trim();
}

/** The `code` of anything that was thrown (also of Node.js' own errors), or undefined. */
export function errorCode(thrown: unknown): string | undefined {
  if (typeof thrown !== 'object' || thrown === null || !('code' in thrown)) return undefined;
  return typeof thrown.code === 'string' ? thrown.code : undefined;
}

/** Makes a switch over a union a compile error when a member is missing. */
export function assertNever(value: never): never {
  throw new Error(`unexpected value: ${JSON.stringify(value)}`);
}
