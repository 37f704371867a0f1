import type { MoveContext } from './context.js';
import { moveNames } from './context.js';
import { MoveError } from './errors.js';
import type { Past } from './journal.js';
import { shimMsMax } from './limits.js';
import { targetAgent } from './steps/target-agent.js';
import type { ProcessIdentity } from './workload/store.js';

/** What the parties say of a move that was cut off. */
export interface Testimony {
  /** The target may have been asked to bind; the source may have been asked to bind again. */
  readonly bindBegun: boolean;
  readonly attachBegun: boolean;
  /** Of the sessions that are moved; newer: a later bind than the one that the move began with. */
  readonly proxy: 'newer' | 'same' | 'knows-nothing' | 'silent';
  /** The copy; running: it has bound and was let go. */
  readonly target: 'none' | 'stopped' | 'running' | 'silent';
}

/**
 * Whose the sessions are. For the source the answer need not be right: its application goes on only when the proxy has bound
 * it, and the proxy says no when it has bound the target. For the target it must be: the source is then ended.
 */
export function ownerOf({ bindBegun, attachBegun, proxy, target }: Testimony): 'source' | 'target' | 'unknown' {
  if (!bindBegun || attachBegun) return 'source';
  if (proxy === 'newer') return 'target';
  if (proxy === 'same') return 'source';
  // The sessions are over, or the proxy cannot say: an application that runs must not get a second one beside it.
  if (target === 'running') return 'target';
  return proxy === 'knows-nothing' && target !== 'silent' ? 'source' : 'unknown';
}

/** @throws {MoveError} owner-unknown */
export async function ownerNow(
  context: MoveContext,
  past: Past,
): Promise<{ readonly owner: 'source' | 'target'; readonly copy?: ProcessIdentity }> {
  const { bindBegun, attachBegun } = past;
  if (!bindBegun || attachBegun) return { owner: 'source' };
  const [proxy, { state: target, process }] = await Promise.all([askProxy(context, past), askTarget(context)]);
  const owner = ownerOf({ bindBegun, attachBegun, proxy, target });
  if (owner === 'unknown') {
    const message = `whether ${context.target.node} has bound is not known: the proxy ${proxy}, the copy ${target}`;
    throw new MoveError('owner-unknown', message);
  }
  return { owner, ...(process === undefined ? {} : { copy: process }) };
}

async function askProxy({ proxy }: MoveContext, { before }: Past): Promise<Testimony['proxy']> {
  if (before === undefined) return 'knows-nothing';
  try {
    const now = await proxy.workload(before.row);
    if (now === undefined) return 'knows-nothing';
    return now.epoch > before.row.epoch ? 'newer' : 'same';
  } catch {
    return 'silent';
  }
}

async function askTarget(
  context: MoveContext,
): Promise<{ readonly state: Testimony['target']; readonly process?: ProcessIdentity | undefined }> {
  try {
    const agent = await targetAgent(context);
    return await agent.call('copy', moveNames(context), { timeoutMs: shimMsMax });
  } catch {
    return { state: 'silent' };
  }
}
