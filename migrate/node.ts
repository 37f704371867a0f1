import type { Logger } from '../shim/program/log.js';
import type { Security, SecuritySettings } from '../shim/program/security.js';
import type { Abort } from './abort.js';
import type { Cluster } from './cluster.js';
import type { WorkloadInfo } from './contract.js';
import { MoveError } from './errors.js';
import { History } from './history.js';
import type { Hooks } from './hooks.js';
import type { Tools } from './movers/mover.js';
import type { Monitor } from './preflight/monitor.js';
import { ProxyView } from './proxy.js';
import { ShimView } from './shim.js';
import { lifeOf, type Store, type StoredWorkload } from './workload/store.js';

/** What one agent knows of itself; the verbs are functions of it. */
export interface Node {
  readonly name: string;
  readonly cluster: Cluster;
  readonly security: Security;
  /** Handed on to the shims that this agent starts. */
  readonly securitySettings: SecuritySettings;
  /** Directory with the certificates of workloads; undefined: beside the agent's own. */
  readonly workloadKeys?: string | undefined;
  readonly store: Store;
  readonly tools: Tools;
  /** Programs of the operator that run at points of moves. */
  readonly hooks?: Hooks | undefined;
  /** The account that reads limits of the database. */
  readonly monitor?: Monitor | undefined;
  readonly log: Logger;
  /** Workloads that are being started or moved right now. */
  readonly busy: Set<string>;
  /** There while this node is being emptied; no further move begins after `interrupt`. */
  evacuation?: { interrupt(why: string): void };
  /** How each move that is under way can be taken back, by its name. */
  readonly moves: Map<string, Abort>;
}

/** @throws {MoveError} unknown-workload when there is none of this name here */
export function ownWorkload(node: Node, name: string): StoredWorkload {
  const workload = node.store.read(name);
  if (workload === undefined) throw new MoveError('unknown-workload', `there is no workload ${name}`);
  if (workload.node === node.name) return workload;
  throw new MoveError('unknown-workload', `${name} is not at ${node.name} but at ${workload.node}`);
}

export function proxyOf(node: Node): ProxyView {
  return new ProxyView(node.cluster.proxy.control, node.security);
}

export function historyOf(node: Node): History {
  return new History(node.store.root, node.name);
}

export function shimOf(node: Node, workload: string): ShimView {
  return new ShimView(node.store.controlSocket(workload));
}

export function workloadInfo(node: Node, workload: StoredWorkload): WorkloadInfo {
  const { startTicks: _startTicks, moving, ...shown } = workload;
  const state = lifeOf(workload);
  const exitCode = state === 'ended' ? node.store.exitCode(workload.name) : undefined;
  return {
    ...shown,
    state,
    ...(exitCode === undefined ? {} : { exitCode }),
    ...(moving === undefined ? {} : { moving: moving.to }),
  };
}

/** Runs a change of one workload; a second one at the same time is refused. @throws {MoveError} move-in-progress */
export async function exclusively<T>(node: Node, workload: string, change: () => Promise<T>): Promise<T> {
  if (node.busy.has(workload)) {
    throw new MoveError(
      'move-in-progress',
      `${workload} is being started, moved or stopped: wait until that has ended`,
    );
  }
  node.busy.add(workload);
  try {
    return await change();
  } finally {
    node.busy.delete(workload);
  }
}
