import { errorCode } from '../../shim/program/errors.js';
import type { MoveContext } from '../context.js';
import { MoveError } from '../errors.js';
import { processTree, signal } from '../workload/process.js';
import { shimProcess } from './freeze.js';

/** The shim closes its link and keeps its drivers: from here on the application waits. */
export function detach(context: MoveContext): Promise<void> {
  return context.shim.detach(() => noteDark(context));
}

/** The application begins to wait now, unless it does already because its move has waited for a moment. */
export function noteDark({ journal, found }: MoveContext): void {
  if (found.darkSinceMs !== undefined) return;
  journal.write({ kind: 'dark' });
  found.darkSinceMs = performance.now();
}

/** The proxy has bound a newer copy than this one. */
const newerVerdicts: ReadonlySet<string> = new Set(['refused-stale-epoch', 'refused-peer-rewound']);
/** The sessions are over, and nobody else has them: the shim begins again by itself. */
const overVerdicts: ReadonlySet<string> = new Set(['refused-unknown-workload', 'refused-hold-expired']);

/**
 * Undo. First the shim alone, then the application: if the target has bound after all, the proxy refuses the source here, and
 * its application must not run on.
 * @throws {MoveError} put-back-failed; bind-unfinished when the sessions are the target's
 */
export async function attach(context: MoveContext): Promise<void> {
  const { shim, found, mover, workload } = context;
  if (mover.carrier !== undefined && shimProcess(context) === undefined) await withoutShim(context);
  else {
    try {
      await shim.attach(sourceAddress(context));
    } catch (thrown) {
      const verdict = errorCode(thrown instanceof Error ? thrown.cause : undefined) ?? '';
      if (found.targetMayOwn && newerVerdicts.has(verdict)) throw ownedByTarget(thrown);
      if (!overVerdicts.has(verdict))
        throw MoveError.from('put-back-failed', 'the source could not bind again', thrown);
      sessionsLost(context, `the proxy has ended the sessions: ${verdict}`);
    }
  }
  signal(processTree(workload.pid, workload.isolated), 'SIGCONT');
  found.sourceStopped = false;
}

/** Where the shim binds from at the source. A move of the link alone may have changed that. */
export function sourceAddress({ mover, found }: MoveContext): { readonly localAddress?: string } {
  const address = mover.carrier === undefined ? found.before?.row.address : undefined;
  return address === undefined ? {} : { localAddress: address };
}

/** Somebody has killed it: its application goes on without its sessions, unless the target has them. */
async function withoutShim(context: MoveContext): Promise<void> {
  const { found, proxy } = context;
  if (found.before !== undefined && found.targetMayOwn) {
    const now = await proxy.workload(found.before.row);
    if (now !== undefined && now.epoch > found.before.row.epoch) throw ownedByTarget();
  }
  sessionsLost(context, 'the shim of the source is gone');
}

function sessionsLost({ found, log, workload, move }: MoveContext, message: string): void {
  found.warnings.push({ code: 'sessions-lost', message });
  log.error({ code: 'sessions-lost', workload: workload.name, move }, message);
}

function ownedByTarget(cause?: unknown): MoveError {
  return new MoveError('bind-unfinished', 'the proxy has bound the target, not the source', { cause });
}
