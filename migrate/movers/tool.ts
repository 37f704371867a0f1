import { execFile } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { errorText } from '../../shim/program/errors.js';
import { MoveError, type MoveErrorCode } from '../errors.js';
import { criuMsMax } from '../limits.js';
import { descendants, readOrNothing, signal } from '../workload/process.js';

const execute = promisify(execFile);

/** What such a program prints, when it ends well. Rejects with what `exitText` makes of it. */
export async function outputOf(program: string, ...args: readonly string[]): Promise<string> {
  try {
    return (await execute(program, args, { timeout: criuMsMax })).stdout;
  } catch (cause) {
    throw new Error(exitText(program, cause), { cause });
  }
}

/**
 * Runs a program, and says by what it has written into its logs why it failed: the first that tells something counts.
 * @param stop kills it and what it has made so far; never for a dump: half-way its tree is not as it was
 * @throws {MoveError} with the code that is given
 */
export async function perform(
  program: string,
  args: readonly string[],
  {
    name,
    logs,
    code,
    stop,
  }: {
    readonly name: string;
    readonly logs: readonly string[];
    readonly code: MoveErrorCode;
    readonly stop?: AbortSignal | undefined;
  },
): Promise<void> {
  const running = execute(program, args, { timeout: criuMsMax, cwd: '/' });
  // Nothing to read, and nobody who keeps it open.
  running.child.stdin?.end();
  const kill = () => signal(descendants(running.child.pid ?? 0), 'SIGKILL');
  stop?.addEventListener('abort', kill);
  try {
    await running;
  } catch (cause) {
    const found = logs.find((log) => lastErrors(readOrNothing(log) ?? '') !== '');
    const reason = found === undefined ? exitText(name, cause) : lastErrors(readOrNothing(found) ?? '');
    const place = found ?? logs[0];
    throw new MoveError(code, place === undefined ? reason : `${reason} (${place})`, { cause });
  } finally {
    stop?.removeEventListener('abort', kill);
  }
}

/** Without the command line, which is long and says nothing to people. */
function exitText(name: string, cause: unknown): string {
  if (typeof cause !== 'object' || cause === null || !('stderr' in cause) || !('code' in cause))
    return errorText(cause);
  // It could not even be started: a code of the system in place of an exit code.
  if (typeof cause.code === 'string') return errorText(cause);
  return String(cause.stderr).trim().split('\n').at(-1) || `${name} ended with ${cause.code ?? 'a signal'}`;
}

/** CRIU's log says why in the lines before the one that says that it failed; runc's has one line. */
export function lastErrors(log: string): string {
  const errors = log
    .split('\n')
    .flatMap((line) => /Error \([^)]*\): (.*)$/.exec(line)?.[1] ?? /level=error msg="(.*)"$/.exec(line)?.[1] ?? []);
  // It says this always, when it may not raise its own limit of open files.
  const own = errors.filter((text) => !text.includes('RLIMIT_NOFILE'));
  const telling = own.filter((text) => !text.endsWith('FAILED.'));
  return (telling.length > 0 ? telling : own).slice(0, 2).join('; ');
}

/** Where CRIU writes an image, and reads it. */
export function imageIn(moveDirectory: string): string {
  return join(moveDirectory, 'image');
}

/** Bytes of an image, also of one that is just being written. */
export function imageBytes(moveDirectory: string): number {
  const image = imageIn(moveDirectory);
  if (!existsSync(image)) return 0;
  return readdirSync(image).reduce(
    (sum, name) => sum + (statSync(join(image, name), { throwIfNoEntry: false })?.size ?? 0),
    0,
  );
}
