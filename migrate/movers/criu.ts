import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { errorText } from '../../shim/program/errors.js';
import { MoveError, type MoveErrorCode } from '../errors.js';
import { criuMsMax, ghostBytesMax, stopMsMax } from '../limits.js';
import { descendants, processState, processTree, readOrNothing, signal, waitUntil } from '../workload/process.js';
import { killTree } from '../workload/start.js';
import type { ProcessIdentity } from '../workload/store.js';
import { markQueuesSent } from './tcp-image.js';

const run = promisify(execFile);

/**
 * What both directions need. The tree is in the network namespace of its agent, as CRIU is, so CRIU leaves that alone and
 * the copy gets the target's. After detach the only TCP is loopback: nothing on the wire could answer a frozen socket, so
 * no packet filter has to lock it. Control groups differ between hosts and are the business of whoever runs the agent.
 */
const common = ['--tcp-established', '--network-lock', 'skip', '--manage-cgroups=ignore', '--file-locks', '-v3'];

export type CriuState = { readonly version: string } | { readonly missing: string };

/** Asks CRIU itself whether it works here. */
export async function checkCriu(criu: string): Promise<CriuState> {
  if (process.getuid?.() !== 0) return { missing: 'CRIU needs root' };
  try {
    await run(criu, ['check'], { timeout: criuMsMax });
    const { stdout } = await run(criu, ['--version'], { timeout: criuMsMax });
    return { version: /Version: (\S+)/.exec(stdout)?.[1] ?? 'unknown' };
  } catch (error) {
    return { missing: exitText(error) };
  }
}

/**
 * Stops the tree and writes the image. The tree is stopped by signal first and CRIU leaves it as it found it: with CRIU's own
 * `--leave-stopped` its TCP sockets stay in repair mode, and after an abort every write to them would fail with EPERM. The
 * copies come to life stopped as well: the application must not run before its sessions are bound.
 * @throws {MoveError} dump-failed
 */
export async function dump(criu: string, pid: number, moveDirectory: string): Promise<void> {
  await stopAll(pid);
  const image = join(moveDirectory, 'image');
  mkdirSync(image, { recursive: true, mode: 0o700 });
  const log = join(moveDirectory, 'dump.log');
  const ghosts = ['--ghost-limit', String(ghostBytesMax)];
  const args = ['dump', '--tree', String(pid), '--images-dir', image, '--log-file', log, '--leave-running', ...ghosts];
  await perform(criu, [...args, ...common], log, 'dump-failed');
  markQueuesSent(image);
}

/** Bytes of an image, also of one that is just being written. */
export function imageBytes(moveDirectory: string): number {
  const image = join(moveDirectory, 'image');
  if (!existsSync(image)) return 0;
  return readdirSync(image).reduce(
    (sum, name) => sum + (statSync(join(image, name), { throwIfNoEntry: false })?.size ?? 0),
    0,
  );
}

async function stopAll(init: number): Promise<void> {
  // Again and again: a process may have forked before its own signal arrived.
  const stopped = () => {
    const restless = processTree(init, true).filter((pid) => !['T', 'Z'].includes(processState(pid)?.state ?? 'Z'));
    signal(restless, 'SIGSTOP');
    return restless.length === 0;
  };
  if (await waitUntil(stopped, stopMsMax)) return;
  throw new MoveError('dump-failed', `processes of the tree of ${init} did not stop within ${stopMsMax} ms`);
}

/**
 * Makes the tree from the image. When that fails, or is stopped half-way, nothing of it is left.
 * @returns the id of its first process
 * @throws {MoveError} restore-failed
 */
export async function restore(criu: string, moveDirectory: string, stop?: AbortSignal): Promise<ProcessIdentity> {
  const pidFile = pidFileIn(moveDirectory);
  const log = join(moveDirectory, 'restore.log');
  rmSync(pidFile, { force: true });
  const image = join(moveDirectory, 'image');
  const args = ['restore', '--images-dir', image, '--log-file', log, '--restore-detached', '--pidfile', pidFile];
  try {
    await perform(criu, [...args, ...common], log, 'restore-failed', stop);
  } catch (error) {
    const half = restored(moveDirectory);
    if (half !== undefined) await killTree({ ...half, isolated: true });
    throw error;
  }
  const copy = restored(moveDirectory);
  if (copy === undefined)
    throw new MoveError('restore-failed', `CRIU said it was done, and there is no process (${log})`);
  return copy;
}

/** The first process of what CRIU has restored, while it lives. */
export function restored(moveDirectory: string): ProcessIdentity | undefined {
  const pid = Number(readOrNothing(pidFileIn(moveDirectory)) ?? Number.NaN);
  const startTicks = processState(pid)?.startTicks;
  return startTicks === undefined ? undefined : { pid, startTicks };
}

function pidFileIn(moveDirectory: string): string {
  return join(moveDirectory, 'restored.pid');
}

/** @param stop kills CRIU and what it has made so far; never for a dump: half-way its tree is not as it was */
async function perform(
  criu: string,
  args: readonly string[],
  log: string,
  code: MoveErrorCode,
  stop?: AbortSignal,
): Promise<void> {
  const running = run(criu, args, { timeout: criuMsMax, cwd: '/' });
  const kill = () => signal(descendants(running.child.pid ?? 0), 'SIGKILL');
  stop?.addEventListener('abort', kill);
  try {
    await running;
  } catch (cause) {
    const reason = lastErrors(readOrNothing(log) ?? '') || exitText(cause);
    throw new MoveError(code, `${reason} (${log})`, { cause });
  } finally {
    stop?.removeEventListener('abort', kill);
  }
}

/** Without the command line, which is long and says nothing to people. */
function exitText(cause: unknown): string {
  if (typeof cause !== 'object' || cause === null || !('stderr' in cause) || !('code' in cause))
    return errorText(cause);
  // It could not even be started: a code of the system in place of an exit code.
  if (typeof cause.code === 'string') return errorText(cause);
  return String(cause.stderr).trim().split('\n').at(-1) || `CRIU ended with ${cause.code ?? 'a signal'}`;
}

/** CRIU's log says why in the lines before the one that says that it failed. */
export function lastErrors(log: string): string {
  const errors = log.split('\n').flatMap((line) => /Error \(([^)]*)\): (.*)$/.exec(line)?.[2] ?? []);
  // It says this always, when it may not raise its own limit of open files.
  const own = errors.filter((text) => !text.includes('RLIMIT_NOFILE'));
  const telling = own.filter((text) => !text.endsWith('FAILED.'));
  return (telling.length > 0 ? telling : own).slice(0, 2).join('; ');
}
