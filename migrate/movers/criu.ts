import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { errorText } from '../../shim/program/errors.js';
import { MoveError } from '../errors.js';
import { ghostBytesMax, stopMsMax } from '../limits.js';
import { processState, processTree, readOrNothing, signal, waitUntil } from '../workload/process.js';
import { killTree, startTree } from '../workload/start.js';
import type { ProcessIdentity } from '../workload/store.js';
import type { Job, Mover, ToolState, Tools } from './mover.js';
import { markQueuesSent } from './tcp-image.js';
import { imageIn, outputOf, perform } from './tool.js';

/** Moves a process tree that its agent has started, by CRIU itself. */
export const criu = {
  name: 'criu',
  phases: ['preflight', 'detach', 'freeze', 'transfer', 'restore', 'bind', 'verify', 'retire'],
  // Dump, restore and bind of a small tree, and pages written and read once each.
  guess: { fixedMs: 350, bytesPerMs: 500_000 },
  carrier: {
    missing: 'criu-missing',
    check: checkCriu,
    start: startTree,
    dump,
    thaw: async () => undefined,
    restore,
    restored: async ({ directory }) => processIn(pidFileIn(directory)),
    end: async (_tools, first, isolated) => killTree({ ...first, isolated }),
    parts: () => [],
    hostPath: () => (path) => path,
  },
} as const satisfies Mover;

/**
 * What both directions need. The tree is in the network namespace of its agent, as CRIU is, so CRIU leaves that alone and
 * the copy gets the target's. After detach the only TCP is loopback: nothing on the wire could answer a frozen socket, so
 * no packet filter has to lock it. Control groups differ between hosts and are the business of whoever runs the agent.
 */
const common = ['--tcp-established', '--network-lock', 'skip', '--manage-cgroups=ignore', '--file-locks', '-v3'];

/** Asks CRIU itself whether it works here. */
export async function checkCriu({ criu: program }: Pick<Tools, 'criu'>): Promise<ToolState> {
  if (process.getuid?.() !== 0) return { missing: 'CRIU needs root' };
  try {
    await outputOf(program, 'check');
    return { version: /Version: (\S+)/.exec(await outputOf(program, '--version'))?.[1] ?? 'unknown' };
  } catch (error) {
    return { missing: errorText(error) };
  }
}

/**
 * The tree is stopped by signal first and CRIU leaves it as it found it: with CRIU's own `--leave-stopped` its TCP sockets stay
 * in repair mode, and after an abort every write to them would fail with EPERM. The copies come to life stopped as well: the
 * application must not run before its sessions are bound.
 */
async function dump({ tools, workload, directory }: Job): Promise<void> {
  await stopAll(workload.pid);
  const image = imageIn(directory);
  mkdirSync(image, { recursive: true, mode: 0o700 });
  const log = join(directory, 'dump.log');
  const ghosts = ['--ghost-limit', String(ghostBytesMax)];
  const tree = ['--tree', String(workload.pid)];
  const args = ['dump', ...tree, '--images-dir', image, '--log-file', log, '--leave-running', ...ghosts];
  await perform(tools.criu, [...args, ...common], { name: 'CRIU', logs: [log], code: 'dump-failed' });
  markQueuesSent(image);
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

async function restore({ tools, directory }: Job, stop?: AbortSignal): Promise<ProcessIdentity> {
  const pidFile = pidFileIn(directory);
  const log = join(directory, 'restore.log');
  rmSync(pidFile, { force: true });
  const image = imageIn(directory);
  const args = ['restore', '--images-dir', image, '--log-file', log, '--restore-detached', '--pidfile', pidFile];
  try {
    await perform(tools.criu, [...args, ...common], { name: 'CRIU', logs: [log], code: 'restore-failed', stop });
  } catch (error) {
    const half = processIn(pidFile);
    if (half !== undefined) await killTree({ ...half, isolated: true });
    throw error;
  }
  const copy = processIn(pidFile);
  if (copy === undefined)
    throw new MoveError('restore-failed', `CRIU said it was done, and there is no process (${log})`);
  return copy;
}

/** The process whose id a restore has written there, while it lives. */
export function processIn(pidFile: string): ProcessIdentity | undefined {
  const pid = Number(readOrNothing(pidFile) ?? Number.NaN);
  const startTicks = processState(pid)?.startTicks;
  return startTicks === undefined ? undefined : { pid, startTicks };
}

/** Where a restore writes the id of the first process. */
export function pidFileIn(moveDirectory: string): string {
  return join(moveDirectory, 'restored.pid');
}
