import { type MoveContext, moveNames } from '../context.js';
import { sendImage } from '../image/send.js';
import { abandonMsMax, criuMsMax } from '../limits.js';
import { fromTarget } from '../preflight/examine.js';
import { unlessAborted } from './aborted.js';
import { targetAgent } from './target-agent.js';

/** Sends the image to the target, where nodes keep images in directories of their own; else both see the same. */
export async function transfer(context: MoveContext): Promise<void> {
  const { store, workload, move, target, security, log, progress } = context;
  if (store.images === undefined) return;
  try {
    const agent = await targetAgent(context);
    const directory = store.openImage(workload.name, move);
    const { port, ticket } = await agent.call('receive', moveNames(context));
    const address = { host: target.host, port };
    const told = (done: number, total: number) => progress({ phase: 'transfer', done, total, unit: 'bytes' });
    const sending = sendImage(directory, { address, ticket, security, node: target.node, progress: told });
    log.info({ move, ...(await unlessAborted(context, sending)) }, 'image sent');
  } catch (cause) {
    throw fromTarget(cause, target.node);
  }
}

/** The target makes the processes from the image and leaves them stopped. */
export async function restore(context: MoveContext): Promise<void> {
  try {
    const agent = await targetAgent(context);
    const restored = agent.call('restore', moveNames(context), { timeoutMs: criuMsMax });
    context.found.copy = await unlessAborted(context, restored);
  } catch (cause) {
    throw fromTarget(cause, context.target.node);
  }
}

/** Undo: the copy is killed before it has run, also one that is just being made. */
export async function abandon(context: MoveContext): Promise<void> {
  try {
    await (await targetAgent(context)).call('abandon', moveNames(context), { timeoutMs: abandonMsMax });
  } catch (cause) {
    // A copy that nobody could kill is still stopped, and cannot bind once the source has bound again.
    context.log.warn({ err: fromTarget(cause, context.target.node) }, 'the copy may be left at the target, stopped');
  }
}
