import type { MoveContext } from '../context.js';
import { MoveError } from '../errors.js';
import { examine } from '../preflight/examine.js';
import { isFindingCode } from '../preflight/finding.js';

/** Finds every reason against the move that can be found while the application still runs. */
export async function preflight(context: MoveContext): Promise<void> {
  const { workload, target, move, log, found } = context;
  const { findings, blackout, sessions, row, shimPid, agent } = await examine(context);
  found.blackout = blackout;
  if (agent !== undefined) found.agent = agent;
  if (row !== undefined && shimPid !== undefined) found.before = { row, sessions, shimPid };
  const [first, ...others] = findings.filter(({ severity }) => severity === 'blocks');
  if (first !== undefined && isFindingCode(first.code)) {
    const more = others.length === 0 ? '' : `, and ${others.length} more: holdfast preflight lists them`;
    throw new MoveError(first.code, `${first.found}${more}`);
  }
  if (row === undefined || agent === undefined)
    throw new Error('nothing blocks, and not all that a move needs is known');
  for (const { code, found: text } of findings) log.warn({ code, move, workload: workload.name }, text);
  log.info({ workload: workload.name, to: target.node, sessions: sessions.length }, 'ready to move');
}
