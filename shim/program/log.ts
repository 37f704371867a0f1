import { isatty } from 'node:tty';
import { type Logger, pino } from 'pino';
import pretty from 'pino-pretty';
import { option } from './config.js';
import { errorCode } from './errors.js';
import { choice } from './values.js';

export type { Logger } from 'pino';

const levels = ['trace', 'debug', 'info', 'warn', 'error', 'silent'] as const;

/** The log options every command has. */
export const logOptions = {
  'log-level': option(
    { ...choice(...levels), placeholder: 'LEVEL' },
    'info',
    `least severity that is logged: ${levels.join(', ')}`,
  ),
  'log-format': option(choice('auto', 'json', 'pretty'), 'auto', 'auto is pretty on a terminal and JSON elsewhere'),
} as const;

const secretNames = ['secret', 'password', 'token', 'key', 'psk', 'authorization'];

/** Never in a log, one level down included; deeper objects are not logged as a rule. */
const redacted = secretNames.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]);

export interface LogSettings {
  readonly logLevel: string;
  readonly logFormat: 'auto' | 'json' | 'pretty';
}

const stderr = 2;

/**
 * Logs go to stderr (stdout is for results), written synchronously: the last line before a crash is the one that counts,
 * and a worker thread would be one more thing to freeze in a move.
 */
export function makeLogger(name: string, settings: LogSettings): Logger {
  const isPretty = settings.logFormat === 'pretty' || (settings.logFormat === 'auto' && isatty(stderr));
  const destination = isPretty
    ? pretty({ destination: stderr, sync: true, ignore: 'pid,hostname,name', translateTime: 'SYS:HH:MM:ss.l' })
    : pino.destination({ fd: stderr, sync: true });
  return makeLoggerTo(destination, name, settings.logLevel);
}

export function makeLoggerTo(destination: { write(line: string): void }, name: string, level: string): Logger {
  return pino(
    {
      name,
      level,
      redact: { paths: redacted, censor: '[redacted]' },
      timestamp: pino.stdTimeFunctions.isoTime,
      serializers: { err: describeError },
      formatters: { log: withCode },
    },
    destination,
  );
}

/** Whoever searches the log for a code finds it in one place, in every line that is about an error. */
function withCode(fields: Record<string, unknown>): Record<string, unknown> {
  const code = 'code' in fields ? undefined : errorCode(fields.err);
  return code === undefined ? fields : { code, ...fields };
}

/**
 * An error with a code is a state of the world (a host that is down, a file that is missing): where in our code it was
 * noticed helps nobody. All others are faults of ours, and their stack is what one needs.
 */
function describeError(error: unknown): unknown {
  const code = errorCode(error);
  if (code === undefined || isFault(code)) return pino.stdSerializers.err(error as Error);
  const { name, source, message, cause } = error as Record<string, unknown>;
  return { type: name, code, source, message, ...(cause === undefined ? {} : { cause: describeError(cause) }) };
}

/** Node.js' own codes begin so and mean wrong use of it, except for what OpenSSL says of a peer. */
function isFault(code: string): boolean {
  return code.startsWith('ERR_') && !/^ERR_(SSL|TLS|OSSL)_/.test(code);
}
