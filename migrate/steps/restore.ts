import { type MoveContext, moveNames, need } from '../context.js';
import { criuMsMax } from '../limits.js';
import { fromTarget } from '../preflight/examine.js';

/** The image is in the directory that all nodes share; a store without one would be copied here. */
export async function transfer(_context: MoveContext): Promise<void> {}

/** The target makes the processes from the image and leaves them stopped. */
export async function restore(context: MoveContext): Promise<void> {
  try {
    const agent = need(context.found.agent, 'the agent');
    context.found.copy = await agent.call('restore', moveNames(context), { timeoutMs: criuMsMax });
  } catch (cause) {
    throw fromTarget(cause, context.target.node);
  }
}

/** Undo: the copy is killed before it has run. */
export async function abandon(context: MoveContext): Promise<void> {
  try {
    await need(context.found.agent, 'the agent').call('abandon', moveNames(context));
  } catch (cause) {
    // A copy that nobody could kill is still stopped, and cannot bind once the source has bound again.
    context.log.warn({ err: fromTarget(cause, context.target.node) }, 'the copy may be left at the target, stopped');
  }
}
