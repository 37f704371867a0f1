import { randomBytes } from 'node:crypto';
import { chownSync, copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { errorText } from '../../shim/program/errors.js';
import { MoveError, type MoveErrorCode } from '../errors.js';
import { ghostBytesMax, startMsMax, stopMsMax } from '../limits.js';
import { isAlive, processState, processTree, readOrNothing, signal, waitUntil } from '../workload/process.js';
import {
  initWords,
  killTree,
  packageDirectory,
  type StartOptions,
  startFailed,
  writeStart,
} from '../workload/start.js';
import type { ProcessIdentity, StoredWorkload } from '../workload/store.js';
import { type BundleConfig, bundleConfig, checkBundle, hostPath, inside, partsOf, withShim } from './bundle.js';
import { checkCriu, criu, pidFileIn, processIn } from './criu.js';
import type { Job, Mover, ToolState, Tools } from './mover.js';
import { markQueuesSent } from './tcp-image.js';
import { imageIn, outputOf, perform } from './tool.js';

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
    restored: (job) => copyOf(job),
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

const runDirectory = 'container';
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
  const shared = join(directory, runDirectory);
  try {
    prepare(options, config, bundle, command, { own, shared });
  } catch (cause) {
    throw MoveError.from('start-failed', `the container of ${bundle} could not be made ready`, cause);
  }
  const pidFile = join(own, 'pid');
  // Others have containers too, and may have called one of them that.
  const container = `${name}-${randomBytes(3).toString('hex')}`;
  await run(tools, ['run', '--detach', '--bundle', own, '--pid-file', pidFile, container], directory, 'start-failed');
  const process_ = processIn(pidFile);
  const ended = () => process_ === undefined || !isAlive(process_.pid, process_.startTicks);
  const started = () => readOrNothing(join(shared, 'started')) !== undefined;
  await waitUntil(() => started() || ended(), startMsMax);
  if (process_ !== undefined && started()) return { ...process_, container, command: [...command] };
  await remove(tools, container);
  throw startFailed(shared, 'runc');
}

/** Writes the bundle that runc is given, and what the container shares with its agent. */
function prepare(
  { directory, shim: settings, env }: StartOptions,
  config: BundleConfig,
  bundle: string,
  command: readonly string[],
  { own, shared }: { readonly own: string; readonly shared: string },
): void {
  for (const each of [own, shared]) mkdirSync(each, { mode: 0o700 });
  const { uid, gid } = config.process.user;
  for (const file of [...copyKeys(settings, shared), ...writeStart(shared, settingsInside(settings))])
    chownSync(file, uid, gid);
  chownSync(shared, uid, gid);
  const shim = `${inside.package}/dist/shim/main.js`;
  const first = initWords(inside.workload, { node: inside.node, shim, cwd: config.process.cwd }, command);
  const criuFile = join(directory, 'criu.conf');
  // Words of CRIU that runc has no option for: see `common` of criu.ts.
  writeFileSync(criuFile, `network-lock skip\nghost-limit ${ghostBytesMax}\n`, { mode: 0o600 });
  const outside = { workload: shared, node: process.execPath, package: packageDirectory, criuFile };
  writeFileSync(join(own, 'config.json'), JSON.stringify(withShim(config, bundle, first, env, outside)));
}

/** Of this process, as proc(5) writes them. */
function ownCapabilities(): bigint {
  const bits = /^CapEff:\s+([0-9a-f]+)$/m.exec(readOrNothing('/proc/self/status') ?? '')?.[1];
  return BigInt(`0x${bits ?? '0'}`);
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
 * runc has CRIU freeze by control group, and CRIU waits for ever for a process that was stopped before. So the container is
 * paused first, and its processes get their SIGSTOP then: CRIU finds it waiting, dumps them as stopped, and as such they
 * are left here and come to life there.
 */
async function dump({ tools, workload, directory }: Job): Promise<void> {
  const id = containerOf(workload);
  const image = imageIn(directory);
  mkdirSync(image, { recursive: true, mode: 0o700 });
  const tree = () => processTree(workload.pid, true);
  await run(tools, ['pause', id], directory, 'dump-failed');
  try {
    signal(tree(), 'SIGSTOP');
    await run(tools, ['checkpoint', '--leave-running', ...both(image, directory), id], directory, 'dump-failed');
  } finally {
    await resume(tools, id);
  }
  const stopped = () => tree().every((pid) => ['T', 'Z'].includes(processState(pid)?.state ?? 'Z'));
  if (!(await waitUntil(stopped, stopMsMax)))
    throw new MoveError('dump-failed', `the processes of ${workload.name} did not stop`);
  markQueuesSent(image);
}

/** Harmless for one that is not paused, and for one that is gone. */
async function resume({ runc: program }: Tools, id: string): Promise<void> {
  await outputOf(program, 'resume', id).catch(() => undefined);
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
    await run(tools, [...words, ...both(imageIn(directory), directory), id], directory, 'restore-failed', stop);
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

/** Every copy has a name of its own: agents of several nodes may share a machine. */
function copyName({ workload, move }: Job): string {
  return `${workload.name}-${move}`;
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

function containerOf({ name, container }: StoredWorkload): string {
  if (container === undefined) throw new Error(`${name} is no container`);
  return container;
}

/** Without output: what runc gives to a container must not lead here. */
async function run(
  { runc: program, criu: criuProgram }: Tools,
  words: readonly string[],
  directory: string,
  code: MoveErrorCode,
  stop?: AbortSignal,
): Promise<void> {
  const [verb = ''] = words;
  const log = join(directory, `runc-${verb}.log`);
  rmSync(log, { force: true });
  const quiet = ['-c', 'exec "$0" "$@" </dev/null >/dev/null 2>&1', program];
  const logs = [join(directory, verb === 'checkpoint' ? 'dump.log' : 'restore.log'), log];
  await perform('sh', [...quiet, '--criu', criuProgram, '--log', log, ...words], { name: 'runc', logs, code, stop });
}
