/** What containers have in common, whatever engine runs them: the shim in them, and how they are stopped for an image. */
import { chownSync, copyFileSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { MoveError, type MoveErrorCode } from '../errors.js';
import { ghostBytesMax, stopMsMax } from '../limits.js';
import { processState, processTree, readOrNothing, signal, waitUntil } from '../workload/process.js';
import { initWords, packageDirectory, type StartOptions, writeStart } from '../workload/start.js';
import type { StoredWorkload } from '../workload/store.js';
import { inside, type Outside } from './bundle.js';
import type { Job, Tools } from './mover.js';
import { outputOf, perform } from './tool.js';

const sharedName = 'container';

/** What the container and its agent share: socket, logs, exit code. */
export function sharedDirectory(workloadDirectory: string): string {
  return join(workloadDirectory, sharedName);
}

interface Prepared {
  /** The first process of the container, and its arguments. */
  readonly first: readonly string[];
  readonly outside: Outside;
}

/**
 * Makes ready what the container sees of Holdfast.
 * @param cwd of the application, in the container
 * @param criuWords for CRIU, besides what the engine tells it
 */
export function prepareShim(
  { directory, shim: settings }: StartOptions,
  user: { readonly uid: number; readonly gid: number },
  cwd: string,
  command: readonly string[],
  criuWords: readonly string[] = [],
): Prepared {
  const shared = sharedDirectory(directory);
  mkdirSync(shared, { mode: 0o700 });
  const { uid, gid } = user;
  for (const file of [...copyKeys(settings, shared), ...writeStart(shared, settingsInside(settings))])
    chownSync(file, uid, gid);
  chownSync(shared, uid, gid);
  const shim = `${inside.package}/dist/shim/main.js`;
  const criuFile = join(directory, 'criu.conf');
  // Words of CRIU that no engine has an option for: see `common` of criu.ts.
  const words = ['network-lock skip', `ghost-limit ${ghostBytesMax}`, ...criuWords];
  writeFileSync(criuFile, `${words.join('\n')}\n`, { mode: 0o600 });
  return {
    first: initWords(inside.workload, { node: inside.node, shim, cwd }, command),
    outside: { workload: shared, node: process.execPath, package: packageDirectory, criuFile },
  };
}

/** Of this process, as proc(5) writes them. */
export function ownCapabilities(): bigint {
  const bits = /^CapEff:\s+([0-9a-f]+)$/m.exec(readOrNothing('/proc/self/status') ?? '')?.[1];
  return BigInt(`0x${bits ?? '0'}`);
}

const keyOptions = ['secret-file', 'tls-cert', 'tls-ca'] as const;

/** The container sees copies of what the shim needs to authenticate itself, and nothing else of the agent's. */
function copyKeys(shim: StartOptions['shim'], directory: string): string[] {
  return keyOptions.flatMap((option) => {
    const file = shim[option];
    if (typeof file !== 'string') return [];
    const copy = join(directory, basename(file));
    copyFileSync(file, copy);
    return [copy];
  });
}

function settingsInside(shim: StartOptions['shim']): StartOptions['shim'] {
  const place = (file: unknown) => `${inside.workload}/${basename(String(file))}`;
  const files = ['control-socket', ...keyOptions].filter((option) => shim[option] !== undefined);
  return { ...shim, ...Object.fromEntries(files.map((option) => [option, place(shim[option])])) };
}

/**
 * Engines have CRIU freeze by control group, and CRIU waits for ever for a process that was stopped before. So the container is
 * paused first, and its processes get their SIGSTOP then: CRIU finds it waiting, dumps them as stopped, and as such they
 * are left here and come to life there. Podman refuses what was paused by itself; what its runtime has paused it does not mind.
 * @param id by which runc knows it
 */
export async function checkpointStopped(
  { tools, workload, directory }: Job,
  id: string,
  checkpoint: () => Promise<void>,
): Promise<void> {
  const tree = () => processTree(workload.pid, true);
  await runRunc(tools, ['pause', id], directory, 'dump-failed');
  try {
    signal(tree(), 'SIGSTOP');
    await checkpoint();
  } finally {
    await resume(tools, id);
  }
  const stopped = () => tree().every((pid) => ['T', 'Z'].includes(processState(pid)?.state ?? 'Z'));
  if (!(await waitUntil(stopped, stopMsMax)))
    throw new MoveError('dump-failed', `the processes of ${workload.name} did not stop`);
}

/** Harmless for one that is not paused, and for one that is gone. */
export async function resume({ runc }: Tools, id: string): Promise<void> {
  await outputOf(runc, 'resume', id).catch(() => undefined);
}

/** Every copy has a name of its own: agents of several nodes may share a machine. */
export function copyName({ workload, move }: Job): string {
  return `${workload.name}-${move}`;
}

export function containerOf({ name, container }: StoredWorkload): string {
  if (container === undefined) throw new Error(`${name} is no container`);
  return container;
}

/** Without output: what runc gives to a container must not lead here. */
export async function runRunc(
  { runc, criu }: Tools,
  words: readonly string[],
  directory: string,
  code: MoveErrorCode,
  stop?: AbortSignal,
): Promise<void> {
  const [verb = ''] = words;
  const log = join(directory, `runc-${verb}.log`);
  rmSync(log, { force: true });
  const quiet = ['-c', 'exec "$0" "$@" </dev/null >/dev/null 2>&1', runc];
  const logs = [join(directory, verb === 'checkpoint' ? 'dump.log' : 'restore.log'), log];
  await perform('sh', [...quiet, '--criu', criu, '--log', log, ...words], { name: 'runc', logs, code, stop });
}
