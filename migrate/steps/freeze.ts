import { existsSync, renameSync, rmSync } from 'node:fs';
import type { MoveContext } from '../context.js';
import { dump } from '../movers/criu.js';
import { processTree, signal } from '../workload/process.js';

/** Stops the tree and writes its image. */
export async function freeze(context: MoveContext): Promise<void> {
  const { store, workload, move, criu } = context;
  await dump(criu, workload.pid, store.openMove(workload.name, move));
  setSocketAside(context);
}

/** Undo: the source goes on at the instruction where it was stopped. */
export async function thaw(context: MoveContext): Promise<void> {
  const { workload } = context;
  const socket = context.store.controlSocket(workload.name);
  if (existsSync(spareName(socket))) renameSync(spareName(socket), socket);
  signal(processTree(workload.pid, workload.isolated), 'SIGCONT');
}

/**
 * The copy makes a socket file of its own. The source's must be out of its way, and by renaming: once unlinked, even with
 * another hard link left, CRIU takes the socket for deleted and leaves it out of the next image.
 */
function setSocketAside({ store, workload }: MoveContext): void {
  const socket = store.controlSocket(workload.name);
  renameSync(socket, spareName(socket));
}

export function dropSpareSocket(socket: string): void {
  rmSync(spareName(socket), { force: true });
}

function spareName(socket: string): string {
  return `${socket}.source`;
}
