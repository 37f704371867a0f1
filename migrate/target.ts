import type { Handlers } from '../shim/control/rpc-server.js';
import { agentAddress } from './cluster.js';
import type { AgentVerbs, Bound } from './contract.js';
import { MoveError } from './errors.js';
import { ImageError } from './image/errors.js';
import { type Reception, receiveImage } from './image/receive.js';
import type { Carrier, Job } from './movers/mover.js';
import { carrierOf, moverOf } from './movers/movers.js';
import { type Node, shimOf } from './node.js';
import { inspectTarget } from './preflight/target.js';
import { isAlive, outerPid, processState, processTree, sameNetwork, signal } from './workload/process.js';
import type { Copy } from './workload/store.js';

interface MoveNames {
  readonly move: string;
  readonly workload: string;
}

type TargetVerbs = Pick<
  AgentVerbs,
  'inspect' | 'receive' | 'restore' | 'bind' | 'fingerprints' | 'park' | 'abandon' | 'copy'
>;

/**
 * What an agent does for the agent of the source. It keeps nothing in memory between these calls but what it is just restoring:
 * the shared directory says what there is, so a call can be repeated, and an agent that was restarted goes on.
 */
export function targetHandlers(node: Node): Handlers<TargetVerbs> {
  const restoring = new Map<string, { readonly stop: AbortController; readonly done: Promise<unknown> }>();
  const receptions = new Map<string, Reception>();
  return {
    inspect: (request) => inspectTarget(node, request),
    receive: async ({ workload, move }) => {
      if (node.store.images === undefined)
        throw new ImageError('image-refused', `${node.name} has no --image-dir, and the source has`);
      receptions.get(move)?.close();
      const { host } = agentAddress(node.cluster, node.name);
      const reception = await receiveImage(node.store.openImage(workload, move), host, node.security, node.log);
      receptions.set(move, reception);
      return { port: reception.port, ticket: reception.ticket };
    },
    restore: async ({ workload, move }) => {
      receptions.delete(move);
      const stop = new AbortController();
      const { carrier, job } = carriedBy(node, workload, move);
      const made = carrier.restore(job, stop.signal);
      restoring.set(move, { stop, done: made.catch(() => undefined) });
      try {
        const copy = await made;
        node.store.writeCopy(workload, move, { ...copy, isReleased: false });
        return copy;
      } finally {
        restoring.delete(move);
      }
    },
    bind: async (request) => {
      if (moverOf(request.mover).carrier === undefined) return rebind(node, request);
      const bound = await bindCopy(node, request, request.shimPid);
      // One that was sent: the one that all nodes see is for the source to remove.
      if (node.store.images !== undefined) node.store.removeImage(request.workload, request.move);
      return bound;
    },
    fingerprints: ({ workload }) => shimOf(node, workload).fingerprints(),
    park: async ({ workload }) => {
      await shimOf(node, workload).detach();
      return {};
    },
    abandon: async ({ workload, move }) => {
      const underWay = restoring.get(move);
      underWay?.stop.abort();
      await underWay?.done;
      const copy = await findCopy(node, workload, move);
      if (copy !== undefined) await carriedBy(node, workload, move).carrier.end(node.tools, copy, true);
      receptions.get(move)?.close();
      receptions.delete(move);
      if (node.store.images !== undefined) node.store.removeImage(workload, move);
      return {};
    },
    copy: async ({ workload, move }) => {
      const copy = await findCopy(node, workload, move);
      if (copy === undefined || !isAlive(copy.pid, copy.startTicks)) return { state: 'none' };
      const { pid, startTicks, isReleased } = copy;
      return { state: isReleased ? 'running' : 'stopped', process: { pid, startTicks } };
    },
  };
}

/** First the shim alone. Only when the sessions are its own does the application run. */
async function bindCopy(node: Node, names: MoveNames, shimPid: number): Promise<Bound> {
  const copy = await findCopy(node, names.workload, names.move);
  if (copy === undefined) throw new MoveError('unknown-move', `${node.name} has restored nothing for ${names.move}`);
  const tree = processTree(copy.pid, true);
  const shim = outerPid(tree, shimPid);
  if (shim === undefined) throw new MoveError('restore-failed', `there is no shim in the copy of ${names.workload}`);
  signal([shim], 'SIGCONT');
  const { epoch, streams, replayedBytes } = await shimOf(node, names.workload).attach();
  node.store.writeCopy(names.workload, names.move, { ...copy, isReleased: true });
  signal(tree, 'SIGCONT');
  return { epoch, streams, replayedBytes };
}

/** How what is to run here is taken along: as it was started. @throws {MoveError} unknown-workload */
function carriedBy(node: Node, name: string, move: string): { readonly carrier: Carrier; readonly job: Job } {
  const workload = node.store.read(name);
  if (workload === undefined) throw new MoveError('unknown-workload', `there is no workload ${name}`);
  const directory = node.store.moveDirectory(name, move);
  return { carrier: carrierOf(workload), job: { tools: node.tools, workload, move, directory } };
}

/** Also one whose agent died before it could write down that CRIU was done. */
async function findCopy(node: Node, workload: string, move: string): Promise<Copy | undefined> {
  const written = node.store.readCopy(workload, move);
  if (written !== undefined) return written;
  const { carrier, job } = carriedBy(node, workload, move);
  const restored = await carrier.restored(job);
  return restored === undefined ? undefined : { ...restored, isReleased: false };
}

/**
 * Copies that a dead agent of this node has left behind stopped, of moves that were taken back since.
 */
export async function clearCopies(node: Node): Promise<void> {
  for (const workload of node.store.all()) {
    for (const move of node.store.moves(workload.name)) {
      const copy = await findCopy(node, workload.name, move);
      const isWanted = workload.moving?.move === move || copy?.pid === workload.pid;
      if (copy === undefined || copy.isReleased || isWanted || !isAlive(copy.pid, copy.startTicks)) continue;
      if (!sameNetwork(copy.pid) || processState(copy.pid)?.state !== 'T') continue;
      await carrierOf(workload).end(node.tools, copy, true);
      node.log.warn({ workload: workload.name, move, pid: copy.pid }, 'a copy that was left behind was ended');
    }
  }
}

async function rebind(node: Node, { workload }: MoveNames): Promise<Bound> {
  const localAddress = agentAddress(node.cluster, node.name).host;
  const { epoch, streams, replayedBytes } = await shimOf(node, workload).attach({ localAddress });
  return { epoch, streams, replayedBytes };
}
