import type { Asker, WorkloadRow } from '../../proxy/control/contract.js';
import { errorCode } from '../../shim/program/errors.js';
import { MoveError } from '../errors.js';
import { awaitPollMs, shimMsMax } from '../limits.js';
import type { Operator } from '../operator.js';
import type { Life } from '../proxy.js';
import { waitUntil } from '../workload/process.js';

/**
 * Moves that somebody else makes: a hypervisor, a container engine, a person. The workload is parked (its link closed, its
 * sessions pinned at the proxy), is moved by whatever means, and is awaited where it runs then.
 */
export interface Ticket extends Life {
  /** A bind after the move has a greater one. */
  readonly epoch: number;
  readonly sessions: number;
  /** The node whose agent has closed the link; absent when no agent knows the workload: its link stays until it breaks. */
  readonly node?: string;
}

/**
 * Pins the sessions first, so that nothing can end them between the two.
 * @throws {MoveError} not-bound, detach-failed, proxy-unreachable, agent-unreachable
 */
export async function park(operator: Operator, name: string, instance: string | undefined, by: Asker): Promise<Ticket> {
  const { proxy } = operator;
  const rows = (await proxy.workloads()).filter((row) => isOf(row, name, instance) && row.state === 'bound');
  const [row, other] = rows;
  if (row === undefined) throw new MoveError('not-bound', `${name} is not bound: there is nothing to park`);
  if (other !== undefined)
    throw new MoveError('not-bound', `${name} is bound more than once: say which with --instance`);
  const life = { name, instance: row.instance };
  await proxy.pinHold({ workload: name, instance: row.instance, by });
  try {
    const node = await closeLink(operator, name);
    const ticket = { ...life, epoch: row.epoch, sessions: row.sessions };
    return node === undefined ? ticket : { ...ticket, node };
  } catch (error) {
    await proxy.unpinHold({ workload: name, instance: row.instance, by });
    throw error;
  }
}

/** @returns where; undefined when no agent has it */
async function closeLink(operator: Operator, name: string): Promise<string | undefined> {
  try {
    const { node } = await operator.find(name);
    await operator.ask(node, 'detach', { name }, { timeoutMs: 2 * shimMsMax });
    return node;
  } catch (error) {
    if (errorCode(error) === 'unknown-workload') return undefined;
    throw error;
  }
}

/**
 * Waits until the workload has bound again, and takes the pin away. Where an agent has its shim, that is told to bind.
 * @param epoch of the ticket; without one any bind will do
 * @throws {MoveError} await-timeout; unknown-workload when its sessions are gone
 */
export async function awaitBound(
  operator: Operator,
  wanted: { readonly name: string; readonly instance?: string | undefined; readonly epoch?: number | undefined },
  waitMs: number,
  by: Asker,
): Promise<WorkloadRow> {
  const deadlineMs = performance.now() + waitMs;
  let silence = '';
  for (;;) {
    const rows = (await operator.proxy.workloads()).filter((row) => isOf(row, wanted.name, wanted.instance));
    if (rows.length === 0) throw new MoveError('unknown-workload', `the proxy has no sessions of ${wanted.name}`);
    const bound = rows.find((row) => row.state === 'bound' && row.epoch > (wanted.epoch ?? 0));
    if (bound !== undefined) {
      await operator.proxy.unpinHold({ workload: bound.name, instance: bound.instance, by });
      return bound;
    }
    if (performance.now() > deadlineMs) throw new MoveError('await-timeout', `${wanted.name} has not bound${silence}`);
    silence = await tellToBind(operator, wanted.name);
    await waitUntil(() => false, awaitPollMs);
  }
}

/** @returns why not, for whoever waits in vain */
async function tellToBind(operator: Operator, name: string): Promise<string> {
  try {
    const { node } = await operator.find(name);
    await operator.ask(node, 'attach', { name }, { timeoutMs: 0 });
    return '';
  } catch (error) {
    // Its node is on the way, or no agent has it; the shim may come back all the same.
    return `: ${error instanceof Error ? error.message : String(error)}`;
  }
}

function isOf(row: WorkloadRow, name: string, instance: string | undefined): boolean {
  return row.name === name && (instance === undefined || row.instance === instance);
}
