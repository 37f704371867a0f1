import { type MoveContext, moveNames } from '../context.js';
import { abandonMsMax, criuMsMax } from '../limits.js';
import { fromTarget } from '../preflight/examine.js';
import { unlessAborted } from './aborted.js';
import { targetAgent } from './target-agent.js';

/** The image is in the directory that all nodes share; a store without one would be copied here. */
export async function transfer(_context: MoveContext): Promise<void> {}

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
