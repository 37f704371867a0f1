import { type MoveContext, need } from '../context.js';
import { MoveError } from '../errors.js';
import { dropOtherSocket } from './freeze.js';

/** The workload is the target's from here on; what is left at the source is killed where it was stopped. */
export async function retire(context: MoveContext): Promise<void> {
  const { store, workload, target, move, mover, tools, found } = context;
  const { moving: _moving, ...rest } = workload;
  if (mover.carrier === undefined) {
    store.write({ ...rest, node: target.node });
    return;
  }
  const copy = need(found.copy, 'the copy');
  // Before the workload is given away: whoever starts this agent again looks after its own workloads only.
  const isGone = await mover.carrier.end(tools, workload, workload.isolated);
  store.write({ ...rest, ...copy, node: target.node });
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
