/** What a container of podman is made of: its image, mounts, variables and limits. */
import { readFileSync, writeFileSync } from 'node:fs';
import { isAbsolute, join, resolve } from 'node:path';
import { z } from 'zod';
import { MoveError } from '../errors.js';
import { readOrNothing } from '../workload/process.js';
import type { StartOptions } from '../workload/start.js';
import { inside, mount, type Outside, sysResource } from './bundle.js';
import { ownCapabilities } from './container.js';
import type { Tools } from './mover.js';
import { outputOf } from './tool.js';

/** The configuration of an image, as far as a workload depends on it. Names are those of the OCI image specification. */
const imageShape = z.object({
  Entrypoint: z.array(z.string()).nullish(),
  Cmd: z.array(z.string()).nullish(),
  WorkingDir: z.string().optional(),
  User: z.string().optional(),
});

export interface Image {
  /** Of its own; empty when it has none. */
  readonly command: readonly string[];
  readonly cwd: string;
  readonly user: { readonly uid: number; readonly gid: number };
}

/** @throws {MoveError} bundle-unfit */
export async function readImage(tools: Tools, image: string): Promise<Image> {
  const format = '{{json .Config}}';
  const found = await outputOf(tools.podman, 'image', 'inspect', '--format', format, image).catch((cause) => {
    throw MoveError.from('bundle-unfit', `there is no image ${image} at this node`, cause);
  });
  const { Entrypoint, Cmd, WorkingDir, User } = imageShape.parse(JSON.parse(found));
  return {
    command: [...(Entrypoint ?? []), ...(Cmd ?? [])],
    cwd: WorkingDir || '/',
    user: userOf(image, User || '0'),
  };
}

function userOf(image: string, user: string): Image['user'] {
  const [, uid, gid = uid] = /^(\d+)(?::(\d+))?$/.exec(user === 'root' ? '0' : user) ?? [];
  if (uid === undefined)
    throw new MoveError('bundle-unfit', `${image} names its user (${user}), and not the number of one`);
  if (uid !== '0' && !mayRaiseLimits())
    throw new MoveError('bundle-unfit', `the user of ${image} is not root, and the agent lacks CAP_SYS_RESOURCE`);
  return { uid: Number(uid), gid: Number(gid) };
}

function mayRaiseLimits(): boolean {
  return (ownCapabilities() & sysResource) !== 0n;
}

type Mount = z.infer<typeof mount>;
const mountsFile = 'mounts.json';

/**
 * Notes the mounts of a container in the directory of its workload, for `mountsOf`.
 * @param volumes SOURCE:DESTINATION each, or the same and :ro
 * @returns words for podman
 * @throws {MoveError} bundle-unfit
 */
export function mountWords(directory: string, volumes: readonly string[], outside: Outside): string[] {
  const mounts = [
    ...volumes.map(mountFrom),
    { destination: inside.node, source: outside.node, access: 'ro' },
    { destination: inside.package, source: outside.package, access: 'ro' },
    { destination: inside.workload, source: outside.workload, access: 'rw' },
  ];
  const noted = mounts.map(({ access, ...rest }): Mount => ({ ...rest, type: 'bind', options: [access] }));
  writeFileSync(join(directory, mountsFile), JSON.stringify(noted), { mode: 0o600 });
  return mounts.flatMap(({ source, destination, access }) => ['--volume', `${source}:${destination}:${access}`]);
}

function mountFrom(volume: string) {
  const [, source, destination = '', access = 'rw'] = /^([^:]+):([^:]+)(?::(ro|rw))?$/.exec(volume) ?? [];
  if (source === undefined || !isAbsolute(source) || !isAbsolute(destination))
    throw new MoveError('bundle-unfit', `volume ${volume} is not DIRECTORY:DIRECTORY or DIRECTORY:DIRECTORY:ro`);
  if (`${resolve(destination)}/`.startsWith(`${inside.top}/`))
    throw new MoveError('bundle-unfit', `volume ${volume}: Holdfast needs ${inside.top} for itself`);
  return { destination, source, access };
}

export function mountsOf(workloadDirectory: string): Mount[] {
  return z.array(mount).parse(JSON.parse(readFileSync(join(workloadDirectory, mountsFile), 'utf8')));
}

/**
 * Variables in a file: the command line everybody can read. io_uring cannot be frozen.
 * @returns words for podman
 * @throws {MoveError} start-failed
 */
export function variableWords(directory: string, env: StartOptions['env']): string[] {
  const broken = Object.entries(env).find(([, value]) => value.includes('\n'));
  if (broken !== undefined)
    throw new MoveError('start-failed', `the value of ${broken[0]} has several lines, which podman cannot be given`);
  const file = join(directory, 'env');
  const lines = Object.entries({ ...env, UV_USE_IO_URING: '0' }).map((each) => each.join('='));
  writeFileSync(file, `${lines.join('\n')}\n`, { mode: 0o600 });
  return ['--env-file', file];
}

/** Most that podman asks for by itself, and what it lowers its own limit of processes to before it starts anything. */
const filesMax = 1_048_576;
const processesMax = 32_768;

/** An agent that may not raise limits cannot give a container the high ones that podman would. */
export function limitWords(): string[] {
  if (mayRaiseLimits()) return [];
  const hard = (what: string, most: number) => {
    const found = new RegExp(`^${what} +\\S+ +(\\d+)`, 'm').exec(readOrNothing('/proc/self/limits') ?? '')?.[1];
    return Math.min(Number(found ?? most), most);
  };
  const [files, processes] = [hard('Max open files', filesMax), hard('Max processes', processesMax)];
  return ['--ulimit', `nofile=${files}:${files}`, '--ulimit', `nproc=${processes}:${processes}`];
}
