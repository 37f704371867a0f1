import type { Handlers } from '../shim/control/rpc-server.js';
import { agentAddress } from './cluster.js';
import type { AgentVerbs, Bound } from './contract.js';
import { MoveError } from './errors.js';
import { restore } from './movers/criu.js';
import { type Node, shimOf } from './node.js';
import { inspectTarget } from './preflight/target.js';
import { outerPid, processTree, signal } from './workload/process.js';
import { killTree } from './workload/start.js';

interface MoveNames {
  readonly move: string;
  readonly workload: string;
}

type TargetVerbs = Pick<AgentVerbs, 'inspect' | 'restore' | 'bind' | 'park' | 'abandon'>;

/**
 * What an agent does for the agent of the source. It keeps nothing in memory between these calls: the shared directory says
 * what there is, so a call can be repeated, and an agent that was restarted goes on.
 */
export function targetHandlers(node: Node): Handlers<TargetVerbs> {
  return {
    inspect: (request) => inspectTarget(node, request),
    restore: async (names) => {
      const copy = await restore(node.criu, node.store.moveDirectory(names.workload, names.move));
      node.store.writeCopy(names.workload, names.move, copy);
      return copy;
    },
    bind: async (request) =>
      request.mover === 'relink' ? rebind(node, request) : bindCopy(node, request, request.shimPid),
    park: async ({ workload }) => {
      await shimOf(node, workload).detach();
      return {};
    },
    abandon: async (names) => {
      const copy = node.store.readCopy(names.workload, names.move);
      if (copy !== undefined) await killTree({ ...copy, isolated: true });
      return {};
    },
  };
}

/** First the shim alone. Only when the sessions are its own does the application run. */
async function bindCopy(node: Node, names: MoveNames, shimPid: number): Promise<Bound> {
  const copy = node.store.readCopy(names.workload, names.move);
  if (copy === undefined) throw new MoveError('unknown-move', `${node.name} has restored nothing for ${names.move}`);
  const tree = processTree(copy.pid, true);
  const shim = outerPid(tree, shimPid);
  if (shim === undefined) throw new MoveError('restore-failed', `there is no shim in the copy of ${names.workload}`);
  signal([shim], 'SIGCONT');
  const { epoch, streams, replayedBytes } = await shimOf(node, names.workload).attach();
  signal(tree, 'SIGCONT');
  return { epoch, streams, replayedBytes };
}

async function rebind(node: Node, { workload }: MoveNames): Promise<Bound> {
  const localAddress = agentAddress(node.cluster, node.name).host;
  const { epoch, streams, replayedBytes } = await shimOf(node, workload).attach({ localAddress });
  return { epoch, streams, replayedBytes };
}
