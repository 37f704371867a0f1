import { type MoveContext, need } from '../context.js';
import { MoveError } from '../errors.js';
import { killTree } from '../workload/start.js';
import { dropOtherSocket } from './freeze.js';

/** The workload is the target's from here on; what is left at the source is killed where it was stopped. */
export async function retire(context: MoveContext): Promise<void> {
  const { store, workload, target, move, mover, found } = context;
  const { moving: _moving, ...rest } = workload;
  const copy = mover === 'criu' ? need(found.copy, 'the copy') : {};
  // Before the workload is given away: whoever starts this agent again looks after its own workloads only.
  const isGone = mover === 'relink' || (await killTree(workload));
  store.write({ ...rest, ...copy, node: target.node });
  if (mover === 'relink') return;
  dropOtherSocket(store.controlSocket(workload.name));
  store.removeImage(workload.name, move);
  if (isGone) return;
  throw new MoveError('retire-failed', `the stopped source, process ${workload.pid}, could not be ended`);
}

/** Undo of the preflight: the workload is free for the next move. */
export async function release({ store, workload, move }: MoveContext): Promise<void> {
  const { moving: _moving, ...rest } = workload;
  store.write(rest);
  dropOtherSocket(store.controlSocket(workload.name));
  store.removeImage(workload.name, move);
}
