import { type MoveContext, need } from '../context.js';
import { MoveError } from '../errors.js';
import { killTree } from '../workload/start.js';
import { dropSpareSocket } from './freeze.js';

/** The workload is the target's from here on; what is left at the source is killed where it was stopped. */
export async function retire(context: MoveContext): Promise<void> {
  const { store, workload, target, move, mover, found } = context;
  const { moving: _moving, ...rest } = workload;
  store.write({ ...rest, ...(mover === 'criu' ? need(found.copy, 'the copy') : {}), node: target.node });
  if (mover === 'relink') return;
  dropSpareSocket(store.controlSocket(workload.name));
  store.removeImage(workload.name, move);
  if (await killTree(workload)) return;
  throw new MoveError('retire-failed', `the stopped source, process ${workload.pid}, could not be ended`);
}

/** Undo of the preflight: the workload is free for the next move. */
export async function release({ store, workload, move }: MoveContext): Promise<void> {
  const { moving: _moving, ...rest } = workload;
  store.write(rest);
  store.removeImage(workload.name, move);
}
