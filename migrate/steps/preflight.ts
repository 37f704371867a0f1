import type { SessionRow } from '../../proxy/control/contract.js';
import { formatAddress } from '../../shim/program/address.js';
import { errorCode } from '../../shim/program/errors.js';
import { type MoveContext, moveNames, need } from '../context.js';
import { MoveError } from '../errors.js';
import { checkCriu } from '../movers/criu.js';
import { machineIdentity, outerPid, processTree } from '../workload/process.js';
import { isLoopback, tcpSockets } from '../workload/sockets.js';
import { lifeOf } from '../workload/store.js';

/** Finds every reason against the move that can be found while the application still runs. */
export async function preflight(context: MoveContext): Promise<void> {
  const { workload, mover, target } = context;
  const state = lifeOf(workload);
  if (state !== 'running') throw new MoveError('workload-ended', `${workload.name} is ${state}`);
  const status = await context.shim.status();
  const life = { name: workload.name, instance: status.instance };
  const row = await context.proxy.workload(life);
  if (status.state !== 'bound' || row?.state !== 'bound') {
    const why = status.reason ?? row?.why ?? '';
    throw new MoveError('not-bound', `the shim of ${workload.name} is ${status.state}, not bound ${why}`.trim());
  }
  const sessions = await context.proxy.sessions(life);
  if (!context.allowUnknown) checkKnown(sessions);
  context.found.before = { row, sessions, shimPid: status.pid };
  if (mover === 'criu') await checkSource(context);
  const ports = mover === 'criu' ? checkSockets(context) : [];
  context.store.openMove(workload.name, context.move);
  try {
    context.found.agent = await target.connect();
    await need(context.found.agent, 'the agent').call('prepare', {
      ...moveNames(context),
      machine: machineIdentity(),
      ports,
    });
  } catch (cause) {
    throw fromTarget(cause, target.node);
  }
  const { name } = workload;
  context.store.write({
    ...workload,
    moving: { move: context.move, to: target.node, mover, instance: row.instance, epoch: row.epoch },
  });
  context.log.info({ workload: name, to: target.node, sessions: sessions.length }, 'ready to move');
}

/**
 * What is encrypted, or not understood, is carried like everything else. But nobody can say what such a session is in the middle
 * of, so that somebody has to decide.
 * @throws {MoveError} session-unknown
 */
export function checkKnown(sessions: readonly SessionRow[]): void {
  const [unknown, ...more] = sessions.filter(({ movable }) => movable === 'unknown');
  if (unknown === undefined) return;
  const { sid, serial, driver, stream, reason, detail } = unknown;
  const who = sid === undefined ? `stream ${stream}` : `session ${sid},${serial ?? 0}`;
  const others = more.length === 0 ? '' : `, and ${more.length} more`;
  const message = `whether ${who}${driver === undefined ? '' : ` of ${driver}`} is in a transaction is not known: ${reason}, ${detail}${others}; --allow-unknown moves it all the same`;
  throw new MoveError('session-unknown', message);
}

/** Errors of our own kind keep their code; what is left is about the connection. */
export function fromTarget(cause: unknown, node: string): MoveError {
  const code = errorCode(cause);
  const aboutConnection = new Set(['unreachable', 'timeout', 'closed', 'not-authorised', 'wrong-contract']);
  if (code === undefined || aboutConnection.has(code))
    return MoveError.noAnswer('agent-unreachable', `agent of ${node}`, cause);
  return cause as MoveError;
}

async function checkSource(context: MoveContext): Promise<void> {
  if (!context.workload.isolated) {
    const message = `${context.workload.name} has no process-id namespace of its own, which CRIU needs: run the agent as root`;
    throw new MoveError('not-isolated', message);
  }
  const criu = await checkCriu(context.criu);
  if ('missing' in criu) throw new MoveError('criu-missing', `no CRIU at the source: ${criu.missing}`);
}

/** @returns where the tree listens: these ports must be free at the target */
function checkSockets({ workload, found }: MoveContext): { host: string; port: number }[] {
  const tree = processTree(workload.pid, workload.isolated);
  const shim = outerPid(tree, need(found.before, 'the shim').shimPid);
  const others = tcpSockets(tree.filter((pid) => pid !== shim));
  const foreign = others.find(({ listening, remote }) => !listening && !isLoopback(remote.host));
  if (foreign !== undefined) {
    const ends = `${formatAddress(foreign.local)} to ${formatAddress(foreign.remote)}`;
    throw new MoveError(
      'foreign-connection',
      `the connection from ${ends} cannot move: only those through the shim can`,
    );
  }
  return tcpSockets(tree).flatMap(({ listening, local }) => (listening ? [local] : []));
}
