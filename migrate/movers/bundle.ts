/** The bundle of a container: what of it makes a workload, and what does not. Facts are from the OCI runtime specification. */
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { MoveError } from '../errors.js';

/** A mount of a container. */
export const mount = z.looseObject({
  destination: z.string(),
  type: z.string().optional(),
  source: z.string().optional(),
  options: z.array(z.string()).optional(),
});

/** config.json, as far as a workload depends on it; everything else is handed on as it is. */
export const bundleConfig = z.looseObject({
  process: z.looseObject({
    terminal: z.boolean().optional(),
    user: z.looseObject({ uid: z.number().int(), gid: z.number().int() }),
    args: z.array(z.string()).optional(),
    env: z.array(z.string()).optional(),
    cwd: z.string(),
  }),
  root: z.looseObject({ path: z.string() }),
  mounts: z.array(mount).optional(),
  linux: z.looseObject({
    namespaces: z.array(z.looseObject({ type: z.string(), path: z.string().optional() })).optional(),
  }),
  annotations: z.record(z.string(), z.string()).optional(),
});
export type BundleConfig = z.infer<typeof bundleConfig>;

/** Where a container sees what Holdfast needs in it: nothing of its image is there. */
export const inside = {
  top: '/holdfast',
  /** What the agent and the processes share: socket, logs, exit code. */
  workload: '/holdfast/workload',
  node: '/holdfast/node',
  package: '/holdfast/package',
} as const;

/** Where that is at the node. */
export interface Outside {
  readonly workload: string;
  readonly node: string;
  readonly package: string;
  /** Configuration that CRIU reads besides what runc tells it. */
  readonly criuFile: string;
}

/** The bit of CAP_SYS_RESOURCE (capabilities(7)): without it CRIU cannot read the limits of a process of another user. */
export const sysResource = 1n << 24n;

/**
 * What a container must not have, and why.
 * @param capabilities of the agent, as bits
 * @throws {MoveError} bundle-unfit, which names all of it
 */
export function checkBundle(config: BundleConfig, bundle: string, capabilities: bigint): void {
  const namespaces = config.linux.namespaces ?? [];
  const has = (type: string) => namespaces.some((each) => each.type === type);
  const below = (config.mounts ?? []).filter(({ destination }) => `${destination}/`.startsWith(`${inside.top}/`));
  const reasons = [
    ...(has('pid') && has('mount') ? [] : ['it needs pid and mount namespaces of its own']),
    ...(has('network') ? ['it must not have a network namespace: its shim reaches the proxy as its node does'] : []),
    ...(has('cgroup') ? ['it must not have a cgroup namespace: CRIU would not restore it'] : []),
    ...(has('user') ? ['it must not have a user namespace'] : []),
    ...namespaces.flatMap(({ type, path }) => (path ? [`its ${type} namespace is one that exists (${path})`] : [])),
    ...(config.process.terminal ? ['it has a terminal, which cannot move'] : []),
    ...(config.process.user.uid === 0 || (capabilities & sysResource) !== 0n
      ? []
      : ['its user is not root, and the agent lacks CAP_SYS_RESOURCE']),
    ...below.map(({ destination }) => `it mounts ${destination}, which Holdfast needs for itself`),
  ];
  if (reasons.length === 0) return;
  throw new MoveError('bundle-unfit', `the container of ${bundle} cannot be moved: ${reasons.join('; ')}`);
}

/**
 * The same container with a shim in it: its first process starts the shim, then the application.
 * @param bundle its directory, from which relative paths count
 * @param first the program that does so, and its arguments
 */
export function withShim(
  config: BundleConfig,
  bundle: string,
  first: readonly string[],
  env: Readonly<Record<string, string>>,
  outside: Outside,
): BundleConfig {
  const bind = (destination: string, source: string, access: 'ro' | 'rw') => ({
    ...{ destination, source, type: 'bind' },
    options: ['bind', access, 'nosuid', 'nodev'],
  });
  return {
    ...config,
    process: {
      ...config.process,
      args: [...first],
      // The one that comes last counts. io_uring cannot be frozen.
      env: [...(config.process.env ?? []), ...Object.entries({ ...env, UV_USE_IO_URING: '0' }).map((e) => e.join('='))],
      // CRIU makes a directory there, always with the same name: no two containers may share it.
      cwd: inside.workload,
    },
    root: { ...config.root, path: resolve(bundle, config.root.path) },
    mounts: [
      ...(config.mounts ?? []).map((each) =>
        isBind(each) && each.source !== undefined ? { ...each, source: resolve(bundle, each.source) } : each,
      ),
      bind(inside.node, outside.node, 'ro'),
      bind(inside.package, outside.package, 'ro'),
      bind(inside.workload, outside.workload, 'rw'),
    ],
    annotations: { ...config.annotations, 'org.criu.config': outside.criuFile },
  };
}

/** Where the files of a container are at the node. Without a root: its engine keeps that. */
interface Whereabouts {
  readonly root?: BundleConfig['root'] | undefined;
  readonly mounts?: readonly z.infer<typeof mount>[] | undefined;
}

/** What of the node the container consists of: the target must have the same. */
export function partsOf({ root, mounts = [] }: Whereabouts): readonly string[] {
  const sources = mounts.filter(isBind).filter(({ destination }) => destination !== inside.workload);
  return [...(root === undefined ? [] : [root.path]), ...sources.flatMap(({ source }) => source ?? [])];
}

/** Where a file of the container is at the node; undefined for what has no place there, as in /proc or on a tmpfs. */
export function hostPath({ root, mounts = [] }: Whereabouts, path: string): string | undefined {
  const over = mounts
    .filter(({ destination }) => path === destination || path.startsWith(`${destination.replace(/\/$/, '')}/`))
    .toSorted((one, other) => other.destination.length - one.destination.length)[0];
  if (over === undefined) return root && join(root.path, path);
  if (!isBind(over) || over.source === undefined) return undefined;
  return join(over.source, path.slice(over.destination.length));
}

function isBind({ type, options = [] }: z.infer<typeof mount>): boolean {
  return type === 'bind' || options.includes('bind') || options.includes('rbind');
}
