import { isatty } from 'node:tty';
import { type Logger, pino } from 'pino';
import pretty from 'pino-pretty';
import { option } from './config.js';
import { choice } from './values.js';

export type { Logger } from 'pino';

/** The log options every command has. */
export const logOptions = {
  'log-level': option(
    choice('trace', 'debug', 'info', 'warn', 'error', 'silent'),
    'info',
    'least severity that is logged',
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
    { name, level, redact: { paths: redacted, censor: '[redacted]' }, timestamp: pino.stdTimeFunctions.isoTime },
    destination,
  );
}
