import type { MoveContext } from '../context.js';
import { MoveError } from '../errors.js';
import { examine } from '../preflight/examine.js';
import { isFindingCode } from '../preflight/finding.js';

/** Finds every reason against the move that can be found while the application still runs. */
export async function preflight(context: MoveContext): Promise<void> {
  const { workload, mover, target, move, store, log, found } = context;
  const { findings, ground, blackout, sessions } = await examine(context);
  if (ground !== undefined) found.agent = ground.agent;
  found.blackout = blackout;
  const [first, ...others] = findings.filter(({ severity }) => severity === 'blocks');
  if (ground !== undefined) found.before = { row: ground.row, sessions, shimPid: ground.shimPid };
  if (first !== undefined && isFindingCode(first.code)) {
    const more = others.length === 0 ? '' : `, and ${others.length} more: holdfast preflight lists them`;
    throw new MoveError(first.code, `${first.found}${more}`);
  }
  if (ground === undefined) throw new Error('preflight found nothing that blocks, and not all that a move needs');
  for (const { code, found: text } of findings) log.warn({ code, move, workload: workload.name }, text);
  store.openMove(workload.name, move);
  const { instance, epoch } = ground.row;
  store.write({ ...workload, moving: { move, to: target.node, mover, instance, epoch } });
  log.info({ workload: workload.name, to: target.node, sessions: sessions.length }, 'ready to move');
}
