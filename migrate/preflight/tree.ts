import { execFile } from 'node:child_process';
import { readdirSync, readlinkSync, statSync } from 'node:fs';
import { promisify } from 'node:util';
import { formatAddress } from '../../shim/program/address.js';
import { comparedFilesMax, shimMsMax } from '../limits.js';
import { memoryBytes, outerPid, processTree, readOrNothing } from '../workload/process.js';
import { isLoopback, socketInodes, type TcpSocket, tcpTable, udpTable } from '../workload/sockets.js';
import type { StoredWorkload } from '../workload/store.js';
import type { FileFacts, TreeFacts } from './facts.js';

const run = promisify(execFile);

/**
 * Looks at every process of a running workload. A process may end meanwhile: what is gone counts as not there.
 * @param shimPid in the workload's own namespace; its link is closed before the freeze
 * @param hostPath where a file is that the processes know by a path
 */
export async function treeFacts(
  workload: StoredWorkload,
  shimPid: number,
  hostPath: (path: string) => string | undefined,
): Promise<TreeFacts> {
  const tree = processTree(workload.pid, workload.isolated);
  const shim = outerPid(tree, shimPid);
  const opened = tree.flatMap(descriptorsOf);
  const mapped = tree.flatMap(mappedPaths);
  const links = opened.map(({ link }) => link);
  const files = filesOf(opened, mapped, hostPath);
  const inodes = new Set(tree.flatMap(socketInodes));
  const own = new Set(tree.filter((pid) => pid !== shim).flatMap(socketInodes));
  const tcp = tcpTable(workload.pid);
  return {
    processes: tree.length,
    threads: tree.reduce((sum, pid) => sum + numberIn(pid, 'status', /^Threads:\s+(\d+)$/m), 0),
    memoryBytes: tree.reduce((sum, pid) => sum + memoryBytes(pid, 'image'), 0),
    files: files.slice(0, comparedFilesMax),
    filesLeftOut: Math.max(0, files.length - comparedFilesMax),
    deleted: deletedOf(opened),
    unsupported: links.filter(isUnsupported),
    terminals: [...new Set(links.filter((link) => terminal.test(link)))],
    hasSharedMemory: mapped.some((path) => path.startsWith('/SYSV')),
    traced: tree.filter((pid) => numberIn(pid, 'status', /^TracerPid:\s+(\d+)$/m) > 0),
    ports: tcp.flatMap(({ listening, local, inode }) => (listening && inodes.has(inode) ? [local] : [])),
    foreignConnections: foreignConnections(tcp, own, inodes),
    foreignSockets: await foreignSockets(inodes),
    boundAddresses: boundAddresses(tcp, udpTable(workload.pid), own),
  };
}

/** The same files once more. */
export function lookAgain(files: readonly string[]): FileFacts[] {
  return files.map((path) => fileAt(path, path, false));
}

interface Descriptor {
  /** In /proc, where it can be looked at even when its name is gone. */
  readonly at: string;
  readonly link: string;
  readonly written: boolean;
}

function descriptorsOf(pid: number): Descriptor[] {
  return names(`/proc/${pid}/fd`).flatMap((name) => {
    const at = `/proc/${pid}/fd/${name}`;
    const link = linkOf(at);
    if (link === undefined) return [];
    // The last octal digits of the flags say how it was opened (open(2)): 0 is reading only.
    const flags = /^flags:\s+([0-7]+)$/m.exec(readOrNothing(`/proc/${pid}/fdinfo/${name}`) ?? '')?.[1] ?? '0';
    return [{ at, link, written: (Number.parseInt(flags, 8) & 3) !== 0 }];
  });
}

function mappedPaths(pid: number): string[] {
  const maps = readOrNothing(`/proc/${pid}/maps`) ?? '';
  return [...new Set([...maps.matchAll(/^\S+ \S+ \S+ \S+ [1-9]\d* +(.*)$/gm)].map(([, path = '']) => path))];
}

const terminal = /^\/dev\/(pts\/|tty|console)/;
const harmlessDevices = /^\/dev\/(null|zero|full|u?random|ptmx|shm\/.*|net\/tun)$/;
/** Anonymous files that CRIU has no image for (criu.org, "What cannot be checkpointed"). */
const unreadable = /^anon_inode:(\[io_uring\]|\[perf_event\]|\[userfaultfd\]|kvm|bpf-link|iommufd)/;

function isUnsupported(link: string): boolean {
  if (unreadable.test(link)) return true;
  return link.startsWith('/dev/') && !terminal.test(link) && !harmlessDevices.test(link);
}

const deletedMark = / \(deleted\)$/;
const kernelFiles = /^\/(proc|sys|dev(?!\/shm\/)|SYSV|memfd:|anon_hugepage|drm )/;

function isOnDisk(path: string): boolean {
  return path.startsWith('/') && !kernelFiles.test(path) && !deletedMark.test(path);
}

function filesOf(
  opened: readonly Descriptor[],
  mapped: readonly string[],
  hostPath: (path: string) => string | undefined,
): FileFacts[] {
  const files = new Map<string, FileFacts>();
  for (const each of mapped.filter(isOnDisk)) {
    const path = hostPath(each);
    if (path !== undefined) files.set(path, fileAt(path, path, false));
  }
  for (const { at, link, written } of opened) {
    const path = isOnDisk(link) ? hostPath(link) : undefined;
    if (path === undefined) continue;
    const former = files.get(path);
    files.set(path, fileAt(at, path, written || (former?.written ?? false)));
  }
  return [...files.values()].filter(({ kind }) => kind !== 'missing');
}

function fileAt(at: string, path: string, written: boolean): FileFacts {
  try {
    const found = statSync(at);
    const kind = found.isFile() ? 'file' : found.isDirectory() ? 'directory' : 'other';
    return { path, kind, bytes: kind === 'file' ? found.size : 0, written };
  } catch {
    return { path, kind: 'missing', bytes: 0, written };
  }
}

function deletedOf(opened: readonly Descriptor[]): { path: string; bytes: number }[] {
  return opened.flatMap(({ at, link, written }) => {
    if (!link.startsWith('/') || link.startsWith('/memfd:') || !deletedMark.test(link)) return [];
    const { kind, bytes } = fileAt(at, link, written);
    return kind === 'file' ? [{ path: link.replace(deletedMark, ''), bytes }] : [];
  });
}

/**
 * With one end outside: on the wire, or on loopback to a process that stays here. A connection that nobody has accepted yet
 * belongs to its listener and has no inode.
 */
export function foreignConnections(
  table: readonly TcpSocket[],
  own: ReadonlySet<string>,
  inodes: ReadonlySet<string>,
): string[] {
  const byEnds = new Map(table.map((socket) => [ends(socket.local, socket.remote), socket]));
  return table.flatMap((socket) => {
    const { local, remote, listening, inode } = socket;
    if (listening || !own.has(inode)) return [];
    const peer = byEnds.get(ends(remote, local));
    const staysHere = peer !== undefined && peer.inode !== '0' && !inodes.has(peer.inode);
    return isLoopback(remote.host) && !staysHere ? [] : [`${formatAddress(local)} to ${formatAddress(remote)}`];
  });
}

function ends(one: TcpSocket['local'], other: TcpSocket['local']): string {
  return `${formatAddress(one)} ${formatAddress(other)}`;
}

const anywhere = new Set(['0.0.0.0', '::']);

function boundAddresses(tcp: readonly TcpSocket[], udp: readonly TcpSocket[], own: ReadonlySet<string>): string[] {
  const bound = [...tcp.filter(({ listening }) => listening), ...udp].filter(({ inode }) => own.has(inode));
  const fixed = bound.filter(({ local }) => !isLoopback(local.host) && !anywhere.has(local.host));
  return [...new Set(fixed.map(({ local }) => formatAddress(local)))];
}

/** Unix sockets do not say in /proc where they lead; ss asks the kernel. @returns undefined without ss */
async function foreignSockets(inodes: ReadonlySet<string>): Promise<string[] | undefined> {
  try {
    const { stdout } = await run('ss', ['--unix', '--all', '--no-header'], {
      timeout: shimMsMax,
      maxBuffer: 64 * 1_048_576,
    });
    return parseUnixSockets(stdout).flatMap(({ name, inode, peer }) =>
      inodes.has(inode) && peer !== '0' && !inodes.has(peer) ? [name] : [],
    );
  } catch {
    return undefined;
  }
}

interface UnixSocket {
  readonly name: string;
  readonly inode: string;
  readonly peer: string;
}

/** Columns of ss: kind, state, two queues, own name and inode, the other's name (mostly `*`) and inode. */
export function parseUnixSockets(text: string): UnixSocket[] {
  return text.split('\n').flatMap((line) => {
    const found = /^(\S+)\s+\S+\s+\d+\s+\d+\s+(.*?)\s+(\d+)\s+(.*?)\s+(\d+)\s*$/.exec(line);
    if (found === null) return [];
    const [, kind = '', own = '', inode = '', theirs = '', peer = ''] = found;
    const name = [own, theirs].find((each) => each !== '*') ?? 'without a name';
    return [{ name: `${name} (${kind})`, inode, peer }];
  });
}

function numberIn(pid: number, file: string, pattern: RegExp): number {
  return Number(pattern.exec(readOrNothing(`/proc/${pid}/${file}`) ?? '')?.[1] ?? 0);
}

function names(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

function linkOf(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}
