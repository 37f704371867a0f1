/** What facts mean for a move. Pure. */
import { ghostBytesMax } from '../limits.js';
import type { Carrier } from '../movers/mover.js';
import { shownBytes } from '../output.js';
import type { FindingCode } from './errors.js';
import type { FileFacts, HostFacts, Inspection, TreeFacts } from './facts.js';
import { blocks, type Finding, warns } from './finding.js';

/** An image is the memory and little else: page maps, and descriptors. */
const imageFactor = 1.1;

/** What CRIU needs of the two hosts for this tree. */
export function judgeHosts(source: HostFacts, target: Inspection, node: string, tree: TreeFacts): Finding[] {
  const { host } = target;
  return [
    ...(source.architecture === host.architecture
      ? judgeProcessor(source, host, node)
      : [blocks('architecture-differs', 'target', `${source.architecture} here, ${host.architecture} at ${node}`)]),
    ...judgeKernel(source.kernel, host.kernel, node),
    ...judgeRoom(source, host, node, tree),
    ...target.portsTaken.map(({ host: address, port }) =>
      blocks('port-taken', 'target', `${address}:${port} is in use at ${node}, and the workload listens there`),
    ),
  ];
}

const toolOf: Readonly<Partial<Record<FindingCode, string>>> = {
  'criu-missing': 'no CRIU',
  'runc-missing': 'no runc',
  'podman-missing': 'no podman',
};

export function judgeCarrier(
  { missing: code }: Pick<Carrier, 'missing'>,
  { carrier }: HostFacts,
  place: 'source' | 'target',
  node: string,
): Finding[] {
  if (carrier?.missing === undefined) return [];
  return [blocks(code, place, `${toolOf[code] ?? 'no tool'} at ${node}: ${carrier.missing}`)];
}

function judgeProcessor(source: HostFacts, target: HostFacts, node: string): Finding[] {
  const lacking = source.processor.filter((feature) => !target.processor.includes(feature));
  if (lacking.length === 0) return [];
  return [blocks('processor-lacks', 'target', `${node} does not have ${listed(lacking)}`)];
}

function judgeKernel(source: string, target: string, node: string): Finding[] {
  const [major = 0, minor = 0] = numbers(source);
  const [targetMajor = 0, targetMinor = 0] = numbers(target);
  if (targetMajor > major || (targetMajor === major && targetMinor >= minor)) return [];
  return [warns('kernel-older', 'target', `${source} here, ${target} at ${node}`)];
}

function numbers(release: string): number[] {
  return release.split('.').map((part) => Number.parseInt(part, 10));
}

function judgeRoom(source: HostFacts, target: HostFacts, node: string, tree: TreeFacts): Finding[] {
  const findings: Finding[] = [];
  const imageBytes = tree.memoryBytes * imageFactor;
  const free = Math.min(source.imageFreeBytes, target.imageFreeBytes);
  if (free < imageBytes) {
    const place = source.imageFreeBytes < imageBytes ? 'source' : 'target';
    findings.push(
      blocks('image-space', place, `${shownBytes(imageBytes)} for the image, ${shownBytes(free)} are free`),
    );
  }
  if (target.memoryFreeBytes < tree.memoryBytes) {
    const found = `the workload has ${shownBytes(tree.memoryBytes)}, ${shownBytes(target.memoryFreeBytes)} are free at ${node}`;
    findings.push(blocks('target-memory', 'target', found));
  }
  if (target.processesFree < tree.threads) {
    const found = `the workload has ${tree.threads} processes and threads, ${node} can make ${target.processesFree}`;
    findings.push(blocks('target-processes', 'target', found));
  }
  return findings;
}

/** What CRIU cannot take along. */
export function judgeTree(tree: TreeFacts): Finding[] {
  const large = tree.deleted.filter(({ bytes }) => bytes > ghostBytesMax);
  return [
    ...each('foreign-connection', tree.foreignConnections, (ends) => `the connection from ${ends} cannot move`),
    ...each('foreign-socket', tree.foreignSockets ?? [], (socket) => `the Unix socket ${socket} cannot move`),
    ...(tree.foreignSockets === undefined ? [warns('sockets-unseen', 'source', 'there is no working ss')] : []),
    ...tree.boundAddresses.map((address) => warns('address-bound', 'workload', `a socket is bound to ${address}`)),
    ...each('descriptor-unsupported', tree.unsupported, (what) => `a process has ${what} open`),
    ...each('terminal-attached', tree.terminals, (terminal) => `a process has ${terminal} open`),
    ...(tree.hasSharedMemory ? [blocks('memory-shared', 'workload', 'System V shared memory is attached')] : []),
    ...tree.traced.map((pid) => blocks('being-traced', 'workload', `process ${pid} has a tracer`)),
    ...large.map(({ path, bytes }) =>
      blocks('deleted-file-large', 'workload', `${path}: ${shownBytes(bytes)} of at most ${shownBytes(ghostBytesMax)}`),
    ),
    ...(tree.filesLeftOut > 0
      ? [warns('files-unseen', 'workload', `${tree.filesLeftOut} files more than are compared`)]
      : []),
  ];
}

function each(
  code: Parameters<typeof blocks>[0],
  found: readonly string[],
  sentence: (one: string) => string,
): Finding[] {
  return [...new Set(found)].map((one) => blocks(code, 'workload', sentence(one)));
}

/**
 * @param before as the source saw them before the target was asked, and
 * @param after when it had answered: a log may have grown in between
 */
export function judgeFiles(
  before: readonly FileFacts[],
  target: readonly FileFacts[],
  after: readonly FileFacts[],
  node: string,
): Finding[] {
  const theirs = new Map(target.map((file) => [file.path, file]));
  const later = new Map(after.map((file) => [file.path, file]));
  return before.flatMap((file) => {
    const found = theirs.get(file.path);
    // Gone here as well: it was a file of a moment.
    if (found === undefined || later.get(file.path)?.kind === 'missing') return [];
    if (found.kind === 'missing') return [blocks('file-missing', 'target', `${file.path} is not there at ${node}`)];
    if (found.kind !== file.kind)
      return [blocks('file-differs', 'target', `${file.path} is a ${file.kind} here, a ${found.kind} at ${node}`)];
    if (file.kind !== 'file') return [];
    const most = file.written ? (later.get(file.path)?.bytes ?? file.bytes) : file.bytes;
    const isSame = found.bytes >= Math.min(file.bytes, most) && found.bytes <= Math.max(file.bytes, most);
    if (isSame) return [];
    return [
      blocks('file-differs', 'target', `${file.path} has ${file.bytes} bytes here, ${found.bytes} bytes at ${node}`),
    ];
  });
}

/** What a container consists of: there, and of the same kind and size. */
export function judgeParts(parts: readonly FileFacts[], target: readonly FileFacts[], node: string): Finding[] {
  return parts.flatMap(({ path, kind, bytes }) => {
    const found = target.find((file) => file.path === path);
    if (found?.kind === kind && found.bytes === bytes) return [];
    const size = kind === 'file' ? ` of ${bytes} bytes` : '';
    const theirs =
      found === undefined || found.kind === 'missing' ? 'nothing' : `a ${found.kind} of ${found.bytes} bytes`;
    return [blocks('bundle-differs', 'target', `${path} is a ${kind}${size} here, ${theirs} at ${node}`)];
  });
}

/** @param versions by the name of the part */
export function judgeVersions(versions: Readonly<Record<string, string>>): Finding[] {
  if (new Set(Object.values(versions)).size <= 1) return [];
  const found = Object.entries(versions).map(([part, version]) => `${part} ${version}`);
  return [warns('versions-differ', 'workload', found.join(', '))];
}

const listedMax = 8;

function listed(words: readonly string[]): string {
  const rest = words.length - listedMax;
  return `${words.slice(0, listedMax).join(', ')}${rest > 0 ? ` and ${rest} more` : ''}`;
}
