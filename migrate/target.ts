import type { Handlers } from '../shim/control/rpc-server.js';
import { formatAddress } from '../shim/program/address.js';
import { agentAddress } from './cluster.js';
import type { AgentVerbs, Bound } from './contract.js';
import { MoveError } from './errors.js';
import { checkCriu, restore } from './movers/criu.js';
import { type Node, shimOf } from './node.js';
import { machineIdentity, outerPid, processTree, signal } from './workload/process.js';
import { tcpTable } from './workload/sockets.js';
import { killTree } from './workload/start.js';

interface MoveNames {
  readonly move: string;
  readonly workload: string;
}

type TargetVerbs = Pick<AgentVerbs, 'prepare' | 'restore' | 'bind' | 'park' | 'abandon'>;

/**
 * What an agent does for the agent of the source. It keeps nothing in memory between these calls: the shared directory says
 * what there is, so a call can be repeated, and an agent that was restarted goes on.
 */
export function targetHandlers(node: Node): Handlers<TargetVerbs> {
  return {
    prepare: async (request) => {
      if (!node.store.hasMove(request.workload, request.move)) {
        const message = `${node.name} does not see the files of ${request.workload}: all agents need the same --state-dir`;
        throw new MoveError('state-not-shared', message);
      }
      if (request.mover === 'relink' && request.machine !== machineIdentity()) {
        throw new MoveError(
          'other-machine',
          `relink leaves the processes where they are, and ${node.name} cannot see them`,
        );
      }
      if (request.mover === 'criu') await checkRestorable(node, request.ports);
      return { address: agentAddress(node.cluster, node.name).host };
    },
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

async function checkRestorable(node: Node, ports: readonly { host: string; port: number }[]): Promise<void> {
  const criu = await checkCriu(node.criu);
  if ('missing' in criu) throw new MoveError('criu-missing', `no CRIU at ${node.name}: ${criu.missing}`);
  const taken = tcpTable('self').filter(({ listening }) => listening);
  const clash = ports.find((port) =>
    taken.some(({ local }) => local.port === port.port && overlap(local.host, port.host)),
  );
  if (clash === undefined) return;
  throw new MoveError(
    'port-taken',
    `${formatAddress(clash)} is in use at ${node.name}, and the workload listens there`,
  );
}

const anyHost = new Set(['0.0.0.0', '::']);

function overlap(one: string, other: string): boolean {
  return one === other || anyHost.has(one) || anyHost.has(other);
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
