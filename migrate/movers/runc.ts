import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { errorText } from '../../shim/program/errors.js';
import { MoveError } from '../errors.js';
import { startMsMax } from '../limits.js';
import { isAlive, readOrNothing, waitUntil } from '../workload/process.js';
import { killTree, type StartOptions, startFailed } from '../workload/start.js';
import type { ProcessIdentity } from '../workload/store.js';
import { type BundleConfig, bundleConfig, checkBundle, hostPath, partsOf, withShim } from './bundle.js';
import {
  checkpointStopped,
  containerOf,
  copyName,
  ownCapabilities,
  prepareShim,
  resume,
  runRunc,
  sharedDirectory,
} from './container.js';
import { checkCriu, criu, pidFileIn, processIn } from './criu.js';
import type { Job, Mover, ToolState, Tools } from './mover.js';
import { markQueuesSent } from './tcp-image.js';
import { imageIn, outputOf } from './tool.js';

/**
 * Moves an OCI container that its agent has started from a bundle, by runc's checkpoint and restore. The shim is in the container,
 * and the container in the network namespace of its agent: all that moves is one tree of processes, as without containers.
 * Seen to work with runc 1.1.5 and CRIU 4.2, control groups of version 1.
 */
export const runc = {
  name: 'runc',
  phases: criu.phases,
  guess: { fixedMs: 600, bytesPerMs: 500_000 },
  carrier: {
    missing: 'runc-missing',
    check,
    start,
    dump,
    thaw: async ({ tools, workload }) => resume(tools, containerOf(workload)),
    restore,
    restored: async (job) => copyOf(job),
    end,
    parts: (_workload, directory) => partsOf(derived(directory)),
    hostPath: (_workload, directory) => {
      const config = derived(directory);
      return (path) => hostPath(config, path);
    },
  },
} as const satisfies Mover;

async function check(tools: Tools): Promise<ToolState> {
  const found = await checkCriu(tools);
  if (found.missing !== undefined) return found;
  try {
    const version = /^runc version (\S+)/.exec(await outputOf(tools.runc, '--version'))?.[1] ?? 'unknown';
    const [major = 0, minor = 0] = version.split('.').map(Number);
    if (major < 1 || (major === 1 && minor < 1)) return { missing: `runc ${version} is older than 1.1` };
    return { version: `${version}, CRIU ${found.version}` };
  } catch (error) {
    return { missing: errorText(error) };
  }
}

const bundleDirectory = 'bundle';

async function start(options: StartOptions): Promise<Started> {
  const { name, directory, tools } = options;
  const bundle = options.bundle ?? '';
  if (process.getuid?.() !== 0) throw new MoveError('start-failed', 'only an agent that is root can start containers');
  const config = readBundle(bundle);
  checkBundle(config, bundle, ownCapabilities());
  const command = options.command.length > 0 ? options.command : (config.process.args ?? []);
  if (command.length === 0) throw new MoveError('bundle-unfit', `${bundle} names no command, and none was given`);
  const own = join(directory, bundleDirectory);
  const shared = sharedDirectory(directory);
  try {
    prepare(options, config, bundle, command, own);
  } catch (cause) {
    throw MoveError.from('start-failed', `the container of ${bundle} could not be made ready`, cause);
  }
  const pidFile = join(own, 'pid');
  // Others have containers too, and may have called one of them that.
  const container = `${name}-${randomBytes(3).toString('hex')}`;
  await runRunc(
    tools,
    ['run', '--detach', '--bundle', own, '--pid-file', pidFile, container],
    directory,
    'start-failed',
  );
  const process_ = processIn(pidFile);
  const ended = () => process_ === undefined || !isAlive(process_.pid, process_.startTicks);
  const started = () => readOrNothing(join(shared, 'started')) !== undefined;
  await waitUntil(() => started() || ended(), startMsMax);
  if (process_ !== undefined && started()) return { ...process_, container, command: [...command] };
  await remove(tools, container);
  throw startFailed(shared, 'runc');
}

/** Writes the bundle that runc is given, and what the container shares with its agent. */
function prepare(options: StartOptions, config: BundleConfig, bundle: string, command: readonly string[], own: string) {
  mkdirSync(own, { mode: 0o700 });
  const { user, cwd } = config.process;
  const { first, outside } = prepareShim(options, user, cwd, command);
  writeFileSync(join(own, 'config.json'), JSON.stringify(withShim(config, bundle, first, options.env, outside)));
}

type Started = ProcessIdentity & { readonly container: string; readonly command: string[] };

function readBundle(bundle: string): BundleConfig {
  const file = join(bundle, 'config.json');
  try {
    return bundleConfig.parse(JSON.parse(readFileSync(file, 'utf8')));
  } catch (cause) {
    const why = errorText(cause).split('\n')[0];
    throw new MoveError('bundle-unfit', `${file} is not that of a bundle: ${why}`, { cause });
  }
}

/** What was made of the bundle; read again where it is needed, for it is all that an agent keeps. */
function derived(workloadDirectory: string): BundleConfig {
  return readBundle(join(workloadDirectory, bundleDirectory));
}

async function dump(job: Job): Promise<void> {
  const { tools, workload, directory } = job;
  const id = containerOf(workload);
  const image = imageIn(directory);
  mkdirSync(image, { recursive: true, mode: 0o700 });
  const words = ['checkpoint', '--leave-running', ...both(image, directory), id];
  await checkpointStopped(job, id, () => runRunc(tools, words, directory, 'dump-failed'));
  markQueuesSent(image);
}

async function restore(job: Job, stop?: AbortSignal): Promise<ProcessIdentity> {
  const { tools, workload, directory } = job;
  const id = copyName(job);
  const pidFile = pidFileIn(directory);
  rmSync(pidFile, { force: true });
  // The bundle is where all nodes see it: two levels above the directory of a move.
  const bundle = join(directory, '../..', bundleDirectory);
  const words = ['restore', '--detach', '--bundle', bundle, '--pid-file', pidFile];
  try {
    await runRunc(tools, [...words, ...both(imageIn(directory), directory), id], directory, 'restore-failed', stop);
  } catch (error) {
    await remove(tools, id);
    throw error;
  }
  const copy = copyOf(job);
  if (copy === undefined)
    throw new MoveError('restore-failed', `runc said it was done, and there is no container ${id} of ${workload.name}`);
  return copy;
}

function both(image: string, directory: string): string[] {
  return ['--tcp-established', '--file-locks', '--image-path', image, '--work-path', directory];
}

function copyOf(job: Job): ProcessIdentity | undefined {
  const found = processIn(pidFileIn(job.directory));
  return found === undefined ? undefined : { ...found, container: copyName(job) };
}

async function end(tools: Tools, first: ProcessIdentity): Promise<boolean> {
  if (first.container !== undefined) await remove(tools, first.container);
  return killTree({ ...first, isolated: true });
}

/** Also one that is paused, or of which nothing but the name is left. What it cannot kill still lives afterwards, and is seen there. */
async function remove({ runc: program }: Tools, id: string): Promise<void> {
  await outputOf(program, 'delete', '--force', id).catch(() => undefined);
}
