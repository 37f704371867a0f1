import { type ControlServer, serveControl } from '../shim/control/rpc-server.js';
import { defined } from '../shim/program/defined.js';
import { agentAddress } from './cluster.js';
import { agentContract } from './contract.js';
import { evacuateNode } from './fleet/evacuate.js';
import { loadOf } from './fleet/load.js';
import { briefOf } from './history.js';
import { checkCarriers } from './movers/movers.js';
import { historyOf, type Node, workloadInfo } from './node.js';
import {
  abortMove,
  attachWorkload,
  detachWorkload,
  moveWorkload,
  preflightOf,
  recoverMoves,
  resumeMove,
  runWorkload,
  stopWorkload,
} from './source.js';
import { clearCopies, targetHandlers } from './target.js';
import { machineIdentity } from './workload/process.js';

/**
 * Answers for one node, at the address that the cluster file gives it.
 * @throws {MoveError} unknown-node; {ControlError} address-in-use, bad-address
 */
export async function startAgent(node: Node): Promise<ControlServer> {
  const own = () => node.store.all().filter((workload) => workload.node === node.name);
  await clearCopies(node);
  await recoverMoves(node);
  return serveControl(
    agentContract,
    {
      info: async () => ({
        node: node.name,
        pid: process.pid,
        machine: machineIdentity(),
        carriers: await checkCarriers(node.tools),
        workloads: own().length,
      }),
      run: (request) => runWorkload(node, request),
      workloads: async () => own().map((workload) => workloadInfo(node, workload)),
      stop: ({ name }) => stopWorkload(node, name),
      load: () => loadOf(node),
      evacuate: (request, emit) => evacuateNode(node, request, emit),
      detach: ({ name }) => detachWorkload(node, name),
      attach: ({ name }) => attachWorkload(node, name),
      preflight: (request) => preflightOf(node, request),
      move: (request, emit) => moveWorkload(node, request, emit),
      abortMove: async ({ move, by }) => abortMove(node, move, by),
      history: async ({ workload, most }) =>
        historyOf(node)
          .last(most)
          .filter(({ record }) => workload === undefined || record.workload === workload)
          .map(briefOf),
      showMove: async ({ move }) => defined({ sealed: historyOf(node).find(move) }),
      verifyMoves: async ({ move }) => {
        const history = historyOf(node);
        const found = move === undefined ? undefined : history.find(move);
        return { ...history.verify(), ...(found === undefined ? {} : { seal: { n: found.n, hash: found.hash } }) };
      },
      resumeMove: ({ move }, emit) => resumeMove(node, move, emit),
      ...targetHandlers(node),
    },
    { address: agentAddress(node.cluster, node.name), security: node.security },
    { log: node.log },
  );
}
