import { agentAddress } from '../cluster.js';
import { moverOf } from '../movers/movers.js';
import type { Node } from '../node.js';
import { machineIdentity } from '../workload/process.js';
import { tcpTable } from '../workload/sockets.js';
import type { Inspection, InspectRequest } from './facts.js';
import { hostFacts } from './host.js';
import { lookAgain } from './tree.js';

/** What the agent of the target sees of all that a workload would need there. */
export async function inspectTarget(node: Node, request: InspectRequest): Promise<Inspection> {
  const stored = node.store.read(request.workload);
  const { pid, startTicks } = request.process;
  return {
    address: agentAddress(node.cluster, node.name).host,
    machine: machineIdentity(),
    host: await hostFacts(moverOf(request.mover).carrier?.check(node.tools), node.store.images ?? node.store.root),
    sharesState: stored?.pid === pid && stored.startTicks === startTicks,
    ownImages: node.store.images !== undefined,
    portsTaken: takenOf(request.ports),
    files: lookAgain(request.files),
  };
}

function takenOf(ports: InspectRequest['ports']): InspectRequest['ports'] {
  const taken = tcpTable('self').filter(({ listening }) => listening);
  return ports.filter((port) => taken.some(({ local }) => local.port === port.port && overlap(local.host, port.host)));
}

const anyHost = new Set(['0.0.0.0', '::']);

function overlap(one: string, other: string): boolean {
  return one === other || anyHost.has(one) || anyHost.has(other);
}
