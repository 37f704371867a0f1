import { errorCode } from '../../shim/program/errors.js';
import { type MoveContext, moveNames, need } from '../context.js';
import type { Bound } from '../contract.js';
import { MoveError } from '../errors.js';
import { bindMsMax, shimMsMax } from '../limits.js';
import { fromTarget } from '../preflight/examine.js';

/**
 * The point of no return: a proxy that has accepted the target refuses the source from then on. So an answer that is not
 * certain is made certain: the target's shim is taken off the link, and the proxy is asked whom it knows.
 */
export async function bind(context: MoveContext): Promise<void> {
  const agent = need(context.found.agent, 'the agent');
  const { shimPid } = need(context.found.before, 'the shim');
  const request = { ...moveNames(context), shimPid };
  try {
    context.found.bound = await agent.call('bind', request, { timeoutMs: bindMsMax + shimMsMax });
  } catch (cause) {
    if (errorCode(cause) === 'bind-refused') throw cause;
    context.log.warn({ err: cause }, 'it is not certain that the target has bound');
    context.found.bound = await makeCertain(context, cause);
  }
}

async function makeCertain(context: MoveContext, cause: unknown): Promise<Bound> {
  const agent = need(context.found.agent, 'the agent');
  const { row } = need(context.found.before, 'the proxy');
  await agent.call('park', moveNames(context)).catch(() => undefined);
  const now = await context.proxy.workload(row).catch(() => undefined);
  const failure = fromTarget(cause, context.target.node);
  if (now === undefined || now.epoch <= row.epoch) throw failure;
  try {
    return await agent.call('bind', { ...moveNames(context), shimPid: need(context.found.before, 'the shim').shimPid });
  } catch (second) {
    const message = `the target has bound and cannot be reached: ${failure.message}`;
    throw new MoveError('bind-failed', message, { cause: second });
  }
}
