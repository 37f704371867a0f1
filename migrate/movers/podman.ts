import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { delimiter, isAbsolute, join } from 'node:path';
import { errorText } from '../../shim/program/errors.js';
import { MoveError, type MoveErrorCode } from '../errors.js';
import { startMsMax } from '../limits.js';
import { isAlive, processState, readOrNothing, waitUntil } from '../workload/process.js';
import { killTree, type StartOptions, startFailed } from '../workload/start.js';
import type { ProcessIdentity } from '../workload/store.js';
import { hostPath, inside, partsOf } from './bundle.js';
import { checkpointStopped, containerOf, copyName, prepareShim, resume, sharedDirectory } from './container.js';
import { checkCriu, criu } from './criu.js';
import type { Job, Mover, ToolState, Tools } from './mover.js';
import { type Image, limitWords, mountsOf, mountWords, readImage, variableWords } from './podman-image.js';
import { markQueuesSent } from './tcp-image.js';
import { imageIn, lastErrors, outputOf, perform } from './tool.js';

/**
 * Moves a container that its agent has started from an image of podman, by podman's checkpoint and restore, in the same way as `runc`
 * does. What the container has written into its own file system goes along; the image must be at the target.
 * Seen to work with podman 4.3.1, runc 1.1.5 and CRIU 4.2, control groups of version 1.
 */
export const podman = {
  name: 'podman',
  phases: criu.phases,
  guess: { fixedMs: 900, bytesPerMs: 300_000 },
  carrier: {
    missing: 'podman-missing',
    check,
    start,
    dump,
    thaw: async ({ tools, workload }) => resume(tools, containerOf(workload)),
    restore,
    restored,
    end,
    parts: (_workload, directory) => partsOf({ mounts: mountsOf(directory) }),
    hostPath: (_workload, directory) => {
      const mounts = mountsOf(directory);
      // What is in no mount is in the image, or goes along.
      return (path) => hostPath({ mounts }, path);
    },
  },
} as const satisfies Mover;

async function check(tools: Tools): Promise<ToolState> {
  const found = await checkCriu(tools);
  if (found.missing !== undefined) return found;
  try {
    const version = /version (\S+)/.exec(await outputOf(tools.podman, '--version'))?.[1] ?? 'unknown';
    if (Number.parseInt(version, 10) < 4) return { missing: `podman ${version} is older than 4` };
    const runtime = (await outputOf(tools.podman, 'info', '--format', '{{.Host.OCIRuntime.Name}}')).trim();
    if (runtime !== 'runc') return { missing: `its runtime is ${runtime}, not runc` };
    await outputOf(tools.runc, '--version');
    return { version: `${version}, CRIU ${found.version}` };
  } catch (error) {
    return { missing: errorText(error) };
  }
}

type Started = ProcessIdentity & { readonly container: string; readonly command: string[] };

async function start(options: StartOptions): Promise<Started> {
  const { name, directory, tools, image = '' } = options;
  if (process.getuid?.() !== 0) throw new MoveError('start-failed', 'only an agent that is root can start containers');
  const own = await readImage(tools, image);
  const command = options.command.length > 0 ? options.command : own.command;
  if (command.length === 0) throw new MoveError('bundle-unfit', `${image} names no command, and none was given`);
  // What is started in the evening under the same name is another one; others have containers too.
  const container = `${name}-${randomBytes(3).toString('hex')}`;
  const words = madeReady(options, own, command, container);
  await outputOf(tools.podman, ...words).catch(async (cause) => {
    await remove(tools, container);
    throw MoveError.from('start-failed', `podman did not start a container of ${image}`, cause);
  });
  const process_ = await inspected(tools, container);
  const shared = sharedDirectory(directory);
  const ended = () => process_ === undefined || !isAlive(process_.pid, process_.startTicks);
  const started = () => readOrNothing(join(shared, 'started')) !== undefined;
  await waitUntil(() => started() || ended(), startMsMax);
  if (process_ !== undefined && started()) return { ...process_, command: [...command] };
  await remove(tools, container);
  throw startFailed(shared, 'podman');
}

/** Nothing of the container may need the network, or be at this node only; nothing may run in it besides its own processes. */
const fixedWords = [
  ...['--detach', '--pull', 'never', '--network', 'host', '--cgroupns', 'host'],
  ...['--log-driver', 'none', '--no-healthcheck'],
] as const;

/** Writes what the container sees. @returns words for podman */
function madeReady(options: StartOptions, own: Image, command: readonly string[], container: string): string[] {
  const { directory, env, image = '', volumes = [] } = options;
  try {
    const { first, outside } = prepareShim(options, own.user, own.cwd, command, ['tcp-established']);
    const [entrypoint = '', ...words] = first;
    return [
      ...['run', '--name', container, ...fixedWords, ...limitWords(), ...variableWords(directory, env)],
      ...['--annotation', `org.criu.config=${outside.criuFile}`, ...mountWords(directory, volumes, outside)],
      // CRIU makes a directory there, always with the same name: no two containers may share it.
      ...['--workdir', inside.workload, '--entrypoint', entrypoint, image, ...words],
    ];
  } catch (cause) {
    throw MoveError.from('start-failed', `the container of ${image} could not be made ready`, cause);
  }
}

const imageName = 'container.tar';
const streams = 'checkpoint';

async function dump(job: Job): Promise<void> {
  const { directory, workload } = job;
  const id = containerOf(workload);
  const image = imageIn(directory);
  mkdirSync(image, { recursive: true, mode: 0o700 });
  const file = join(image, imageName);
  const words = ['container', 'checkpoint', '--leave-running', '--tcp-established', '--file-locks'];
  await checkpointStopped(job, id, () =>
    engine(job, [...words, '--compress', 'none', '--export', file, id], { id, log: 'dump.log', code: 'dump-failed' }),
  );
  await markSent(file, directory);
}

/** What comes later in an archive takes the place of what is in it under the same name. */
async function markSent(archive: string, directory: string): Promise<void> {
  const apart = mkdtempSync(join(directory, 'streams-'));
  const tar = (...words: readonly string[]) =>
    perform('tar', ['--file', archive, '--directory', apart, ...words], { name: 'tar', logs: [], code: 'dump-failed' });
  try {
    const listed = (await outputOf('tar', '--list', '--file', archive)).split('\n');
    const found = listed.filter((name) => name.startsWith(`${streams}/tcp-stream-`));
    if (found.length === 0) return;
    await tar('--extract', ...found);
    markQueuesSent(join(apart, streams));
    await tar('--append', ...found);
  } finally {
    rmSync(apart, { recursive: true });
  }
}

async function restore(job: Job, stop?: AbortSignal): Promise<ProcessIdentity> {
  const { tools, workload, directory } = job;
  const name = copyName(job);
  const words = [
    'container',
    'restore',
    '--file-locks',
    '--import',
    join(imageIn(directory), imageName),
    '--name',
    name,
  ];
  try {
    // Established connections are in the container's own words for CRIU: podman has that for copies under the same name only.
    await engine(job, words, { id: name, log: 'restore.log', code: 'restore-failed', stop });
  } catch (error) {
    await remove(tools, name);
    throw error;
  }
  const copy = await inspected(tools, name);
  if (copy === undefined)
    throw new MoveError(
      'restore-failed',
      `podman said it was done, and there is no container ${name} of ${workload.name}`,
    );
  return copy;
}

/** Its name says which move it was made for. */
async function restored(job: Job): Promise<ProcessIdentity | undefined> {
  return inspected(job.tools, copyName(job));
}

/** The first process of a container, while it lives. */
async function inspected(
  { podman: program }: Tools,
  name: string,
): Promise<(ProcessIdentity & { readonly container: string }) | undefined> {
  const format = '{{.Id}} {{.State.Pid}}';
  const found = await outputOf(program, 'container', 'inspect', '--format', format, name).catch(() => '');
  const [container = '', pid = ''] = found.trim().split(' ');
  const startTicks = Number(pid) > 0 ? processState(Number(pid))?.startTicks : undefined;
  return startTicks === undefined ? undefined : { pid: Number(pid), startTicks, container };
}

async function end(tools: Tools, first: ProcessIdentity): Promise<boolean> {
  if (first.container !== undefined) await remove(tools, first.container);
  return killTree({ ...first, isolated: true });
}

/** Also one that is paused, or of which nothing but the name is left. What it cannot kill still lives afterwards, and is seen there. */
async function remove(tools: Tools, container: string): Promise<void> {
  await resume(tools, container);
  await outputOf(tools.podman, 'rm', '--force', '--time', '0', '--volumes', container).catch(() => undefined);
}

/** Runs podman with our CRIU as the one that its runtime finds, and says by CRIU's log why it failed. */
async function engine(
  { tools, directory }: Job,
  words: readonly string[],
  how: {
    readonly id: string;
    readonly log: string;
    readonly code: MoveErrorCode;
    readonly stop?: AbortSignal | undefined;
  },
): Promise<void> {
  const { id, log, code, stop } = how;
  const path = `PATH=${[...criuDirectory(tools, directory), process.env.PATH ?? '/usr/sbin:/usr/bin:/sbin:/bin'].join(delimiter)}`;
  try {
    await perform('env', [path, tools.podman, ...words], { name: 'podman', logs: [], code, stop });
  } catch (error) {
    const format = '{{.StaticDir}}';
    const place = await outputOf(tools.podman, 'container', 'inspect', '--format', format, id).catch(() => '');
    const reason = lastErrors(readOrNothing(join(place.trim(), log)) ?? '');
    throw reason === '' ? error : new MoveError(code, reason, { cause: error });
  }
}

/** Where it has the name by which the runtime looks for it; none when it is found anyway. */
function criuDirectory({ criu: program }: Tools, directory: string): string[] {
  if (!isAbsolute(program)) return [];
  const own = join(directory, 'bin');
  mkdirSync(own, { recursive: true, mode: 0o700 });
  rmSync(join(own, 'criu'), { force: true });
  symlinkSync(program, join(own, 'criu'));
  return [own];
}
