import { spawn } from 'node:child_process';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import type { MoveContext } from './context.js';
import { MoveError } from './errors.js';
import { hookOutputBytesMax } from './limits.js';
import type { Phase } from './plan.js';
import type { MoveRecord } from './record.js';

export type HookName = 'pre-detach' | 'post-restore' | 'post-bind' | 'on-abort' | 'on-alert';

/** Programs of the operator: files of a directory, named after the point at which they run. */
export interface Hooks {
  readonly directory: string;
  /** Time for one of them; then it is killed with all it has started. */
  readonly timeoutMs: number;
}

/** Where the move passes them. Only at post-restore the application waits: the copy is there and has not bound. */
const hookAfter: Partial<Readonly<Record<Phase, HookName>>> = {
  preflight: 'pre-detach',
  restore: 'post-restore',
  bind: 'post-bind',
};

/** A failing hook before the detach stops the move; of a later one there is a warning. @throws {MoveError} hook-failed */
export async function hookAfterPhase(phase: Phase, context: MoveContext): Promise<void> {
  const name = hookAfter[phase];
  if (name === undefined) return;
  const { move, mover, workload, node, target, found } = context;
  const { row, sessions = [] } = found.before ?? {};
  const record = {
    ...{
      move,
      mover: mover.name,
      workload: workload.name,
      from: { node, address: row?.address },
      to: { node: target.node },
    },
    ...{ epoch: { before: row?.epoch, after: found.bound?.epoch }, sessions },
  };
  try {
    await runHook(context.hooks, name, record);
  } catch (thrown) {
    if (name === 'pre-detach' || !(thrown instanceof MoveError)) throw thrown;
    found.warnings.push({ code: thrown.code, message: thrown.message });
  }
}

/** Runs when a move was not made, with its whole record; what it says changes nothing any more. */
export async function hookOnAbort({ hooks, log, move }: MoveContext, record: MoveRecord): Promise<void> {
  if (record.outcome === 'moved') return;
  await runHook(hooks, 'on-abort', record).catch((err: unknown) => log.warn({ err, move }, 'a hook failed'));
}

/**
 * Runs a hook, when there is one: the record on its standard input as a line of JSON, the point it stands at in HOLDFAST_HOOK.
 * @throws {MoveError} hook-failed: it ended with another code than 0, was too slow, or may not be run
 */
export async function runHook(hooks: Hooks | undefined, name: HookName, record: object): Promise<void> {
  if (hooks === undefined) return;
  const file = join(hooks.directory, name);
  const stat = statSync(file, { throwIfNoEntry: false });
  if (stat === undefined) return;
  const own = process.getuid?.() ?? 0;
  if ((stat.mode & 0o022) !== 0 || (stat.uid !== own && stat.uid !== 0)) {
    throw new MoveError('hook-failed', `${file} can be changed by others: it is not run`);
  }
  const end = await ending(file, hooks.timeoutMs, `${JSON.stringify({ hook: name, ...record })}\n`, name);
  if (end.why === undefined) return;
  const words = end.output.trim().split('\n').at(-1);
  throw new MoveError('hook-failed', `${name}: ${end.why}${words ? `: ${words}` : ''}`);
}

/** @returns why it failed, if it did, and the beginning of what it has printed */
function ending(
  file: string,
  timeoutMs: number,
  input: string,
  name: HookName,
): Promise<{ why: string | undefined; output: string }> {
  return new Promise((resolve) => {
    const env = { PATH: process.env.PATH ?? '/usr/bin:/bin', HOLDFAST_HOOK: name };
    // A process group of its own: what it has started is killed with it.
    const child = spawn(file, [], { cwd: '/', env, detached: true, stdio: ['pipe', 'pipe', 'pipe'] });
    let output = '';
    let late: string | undefined;
    const keep = (data: Buffer) => {
      output = (output + data).slice(0, hookOutputBytesMax);
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    // One that does not want to know closes it, or has ended.
    child.stdin.on('error', () => undefined);
    child.stdin.end(input);
    const timer = setTimeout(() => {
      late = `took longer than ${timeoutMs} ms`;
      if (child.pid !== undefined) killGroup(child.pid);
    }, timeoutMs);
    const end = (why: string | undefined) => {
      clearTimeout(timer);
      resolve({ why: late ?? why, output });
    };
    child.once('error', (error) => end(error.message));
    child.once('close', (code, signal) => end(code === 0 ? undefined : `ended with ${code ?? signal}`));
  });
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // All of it has ended in the meantime.
  }
}
