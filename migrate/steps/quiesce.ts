import { setTimeout } from 'node:timers/promises';
import type { SessionRow } from '../../proxy/control/contract.js';
import { type MoveContext, need } from '../context.js';
import { MoveError } from '../errors.js';
import { lookMs } from '../limits.js';
import { unfinished } from '../moment.js';
import { noteDark, sourceAddress } from './detach.js';

/**
 * Waits until the moment is there for every session at once. The last look is taken with the link down, when nothing that a
 * driver begins can reach the database any more: what is quiet then stays quiet. If something had begun in between, the shim
 * binds again and the waiting goes on. What a driver sends from then on waits in the shim, and begins at the target.
 * @throws {MoveError} deadline-passed, aborted
 */
export async function quiesce(context: MoveContext): Promise<void> {
  const { abort, deadlineMs, after, when } = context;
  const deadline = performance.now() + deadlineMs;
  for (;;) {
    if (abort.reason !== undefined) throw MoveError.ofFailure(abort.reason);
    const busy = await look(context);
    if (busy.length === 0 && (await detachedQuietly(context))) return;
    if (performance.now() >= deadline) {
      if (after === 'move') return;
      const doing = busy[0] ?? 'always something new';
      throw new MoveError('deadline-passed', `${when} has not come within ${deadlineMs} ms: ${doing}`);
    }
    if (busy.length > 0) context.waiting(busy.length, busy[0] ?? '');
    await setTimeout(Math.max(0, Math.min(lookMs, deadline - performance.now())));
  }
}

async function detachedQuietly(context: MoveContext): Promise<boolean> {
  await context.shim.detach(() => noteDark(context));
  if ((await look(context)).length === 0) return true;
  await context.shim.attach(sourceAddress(context));
  context.found.darkSinceMs = undefined;
  return false;
}

/** What is still under way; and what the move is to find again are the sessions there are now, not those of the preflight. */
async function look({ proxy, found, when }: MoveContext): Promise<readonly string[]> {
  const before = need(found.before, 'the proxy');
  const [row, sessions] = await Promise.all([proxy.workload(before.row), proxy.sessions(before.row)]);
  if (row === undefined) throw new MoveError('not-bound', `the proxy no longer knows ${before.row.name}`);
  found.before = { ...before, row, sessions };
  return sessions.flatMap((session) => doing(session, unfinished(session, when)));
}

function doing({ sid, serial, stream }: SessionRow, what: string | undefined): readonly string[] {
  if (what === undefined) return [];
  return [`${sid === undefined ? `stream ${stream}` : `session ${sid},${serial ?? 0}`} is ${what}`];
}
