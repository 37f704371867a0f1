import { existsSync, renameSync, rmSync } from 'node:fs';
import { jobOf, type MoveContext, need } from '../context.js';
import { progressMs } from '../limits.js';
import { imageBytes } from '../movers/tool.js';
import { outerPid, processState, processTree, residentBytes, signal } from '../workload/process.js';

/** Stops the tree and writes its image. */
export async function freeze(context: MoveContext): Promise<void> {
  const { store, workload, move, mover, found } = context;
  found.sourceStopped = true;
  const directory = store.openMove(workload.name, move);
  store.openImage(workload.name, move);
  const stopWatching = watchImage(context, directory);
  await need(mover.carrier, 'what the processes are taken along by').dump(jobOf(context)).finally(stopWatching);
  setSocketAside(context);
}

/** Tells how large the image is by now; it will be about as large as the memory in use. */
function watchImage({ workload, progress }: MoveContext, directory: string): () => void {
  const total = processTree(workload.pid, workload.isolated).reduce((sum, pid) => sum + residentBytes(pid), 0);
  const timer = setInterval(() => {
    progress({ phase: 'freeze', done: imageBytes(directory), total, unit: 'bytes' });
  }, progressMs);
  return () => clearInterval(timer);
}

/**
 * Undo: the source goes on at the instruction where it was stopped. Only its shim does when the target may have bound: the
 * application follows when the proxy has taken the source.
 */
export async function thaw(context: MoveContext): Promise<void> {
  const { workload, found, mover } = context;
  await mover.carrier?.thaw(jobOf(context));
  const socket = context.store.controlSocket(workload.name);
  if (existsSync(spareName(socket))) {
    if (existsSync(socket)) renameSync(socket, copyName(socket));
    renameSync(spareName(socket), socket);
  }
  const shim = found.targetMayOwn ? shimProcess(context) : undefined;
  if (shim !== undefined) signal([shim], 'SIGCONT');
  if (found.targetMayOwn) return;
  signal(processTree(workload.pid, workload.isolated), 'SIGCONT');
  found.sourceStopped = false;
}

/** The shim of the source, where it still lives. */
export function shimProcess({ workload, found }: MoveContext): number | undefined {
  const inner = found.before?.shimPid;
  if (inner === undefined) return undefined;
  const alive = processTree(workload.pid, workload.isolated).filter((pid) => processState(pid)?.state !== 'Z');
  return outerPid(alive, inner);
}

/**
 * The copy makes a socket file of its own. The source's must be out of its way, and by renaming: once unlinked, even with
 * another hard link left, CRIU takes the socket for deleted and leaves it out of the next image.
 */
function setSocketAside({ store, workload }: MoveContext): void {
  const socket = store.controlSocket(workload.name);
  renameSync(socket, spareName(socket));
}

/** Takes the renaming of `thaw` back: the copy lives on. */
export function returnSocket({ store, workload }: MoveContext): void {
  const socket = store.controlSocket(workload.name);
  if (!existsSync(copyName(socket))) return;
  renameSync(socket, spareName(socket));
  renameSync(copyName(socket), socket);
}

/** What is left of the one that does not live on. */
export function dropOtherSocket(socket: string): void {
  rmSync(spareName(socket), { force: true });
  rmSync(copyName(socket), { force: true });
}

function copyName(socket: string): string {
  return `${socket}.copy`;
}

function spareName(socket: string): string {
  return `${socket}.source`;
}
