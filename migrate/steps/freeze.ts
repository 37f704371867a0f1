import { existsSync, linkSync, renameSync, rmSync } from 'node:fs';
import type { MoveContext } from '../context.js';
import { dump } from '../movers/criu.js';
import { processTree, signal } from '../workload/process.js';

/** Stops the tree and writes its image. */
export async function freeze(context: MoveContext): Promise<void> {
  const { store, workload, move, criu } = context;
  keepSocket(context);
  await dump(criu, workload.pid, store.openMove(workload.name, move));
}

/** Undo: the source goes on at the instruction where it was stopped. */
export async function thaw(context: MoveContext): Promise<void> {
  const { workload } = context;
  const socket = context.store.controlSocket(workload.name);
  if (existsSync(spareName(socket))) renameSync(spareName(socket), socket);
  signal(processTree(workload.pid, workload.isolated), 'SIGCONT');
}

/**
 * The copy puts a socket of its own in the place of the source's. A second name keeps the source's alive for the case that
 * the source has to be put back.
 */
function keepSocket({ store, workload }: MoveContext): void {
  const socket = store.controlSocket(workload.name);
  dropSpareSocket(socket);
  linkSync(socket, spareName(socket));
}

export function dropSpareSocket(socket: string): void {
  rmSync(spareName(socket), { force: true });
}

function spareName(socket: string): string {
  return `${socket}.source`;
}
