import { errorCode } from '../../shim/program/errors.js';
import { type MoveContext, moveNames, need } from '../context.js';
import type { Bound } from '../contract.js';
import { MoveError } from '../errors.js';
import { bindMsMax, shimMsMax } from '../limits.js';
import { fromTarget } from '../preflight/examine.js';
import { returnSocket } from './freeze.js';
import { targetAgent } from './target-agent.js';

/**
 * The point of no return: a proxy that has accepted the target refuses the source from then on. So an answer that is not
 * certain is made certain: the target's shim is taken off the link, and the proxy is asked whom it knows.
 * @throws {MoveError} bind-unfinished when the target has bound all the same and does not answer
 */
export async function bind(context: MoveContext): Promise<void> {
  const { shimPid } = need(context.found.before, 'the shim');
  const request = { ...moveNames(context), shimPid };
  const leftMs = blackoutLeftMs(context);
  const timeoutMs = Math.min(bindMsMax + shimMsMax, leftMs);
  const agent = await targetAgent(context);
  context.found.targetMayOwn = true;
  // It may come here a second time, from a way back that the proxy has barred.
  returnSocket(context);
  if (context.mover.carrier !== undefined && context.found.copy === undefined) {
    const { process: copy } = await agent.call('copy', moveNames(context), { timeoutMs: shimMsMax });
    if (copy !== undefined) context.found.copy = copy;
  }
  try {
    context.found.bound = await agent.call('bind', request, { timeoutMs });
  } catch (cause) {
    if (errorCode(cause) === 'bind-refused') throw cause;
    context.log.warn({ err: cause }, 'it is not certain that the target has bound');
    const isOver = errorCode(cause) === 'timeout' && timeoutMs === leftMs;
    context.found.bound = await makeCertain(context, isOver ? blackoutExceeded(context, cause) : cause);
  }
  tellBound(context);
}

function tellBound({ found, progress }: MoveContext): void {
  const total = found.before?.sessions.length ?? 0;
  progress({ phase: 'bind', done: Math.min(total, found.bound?.streams ?? 0), total, unit: 'sessions' });
}

/** At least one: 0 would be no limit. */
function blackoutLeftMs({ maxBlackoutMs, found }: MoveContext): number {
  if (maxBlackoutMs === undefined || found.darkSinceMs === undefined) return Number.POSITIVE_INFINITY;
  return Math.max(1, found.darkSinceMs + maxBlackoutMs - performance.now());
}

export function blackoutExceeded({ maxBlackoutMs = 0 }: MoveContext, cause?: unknown): MoveError {
  const message = `the application has waited for more than --max-blackout, ${maxBlackoutMs} ms`;
  return new MoveError('blackout-exceeded', message, { cause });
}

async function makeCertain(context: MoveContext, cause: unknown): Promise<Bound> {
  const { row, shimPid } = need(context.found.before, 'the proxy');
  const names = moveNames(context);
  const failure = fromTarget(cause, context.target.node);
  await targetAgent(context)
    .then((agent) => agent.call('park', names, { timeoutMs: shimMsMax }))
    .catch(() => undefined);
  const now = await context.proxy.workload(row).catch(() => undefined);
  if (now === undefined || now.epoch <= row.epoch) throw failure;
  try {
    const agent = await targetAgent(context);
    return await agent.call('bind', { ...names, shimPid }, { timeoutMs: bindMsMax + shimMsMax });
  } catch (second) {
    const message = `the target has bound and cannot be reached: ${failure.message}`;
    throw new MoveError('bind-unfinished', message, { cause: second });
  }
}
