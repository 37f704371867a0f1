import type { SessionRow } from '../../proxy/control/contract.js';
import { type MoveContext, need } from '../context.js';
import { MoveError } from '../errors.js';
import type { KnownSession, SessionRecord } from '../record.js';

/** Asks the proxy whether every session is the one it was. What differs is reported: the target owns them already. */
export async function verify(context: MoveContext): Promise<void> {
  const { proxy, found } = context;
  const bound = need(found.bound, 'the bind');
  const life = need(found.before, 'the proxy').row;
  const row = await proxy.workload(life);
  found.after = { row, sessions: await proxy.sessions(life) };
  if (row?.epoch !== bound.epoch) {
    throw new MoveError('sessions-differ', `the proxy knows epoch ${row?.epoch ?? 'none'}, the shim ${bound.epoch}`);
  }
  const lost = compareSessions(found.before?.sessions ?? [], found.after.sessions).filter(({ same }) => !same);
  if (lost.length === 0) return;
  const names = lost.map(({ stream, sid, serial }) => `stream ${stream} (SID ${sid ?? '?'}, serial# ${serial ?? '?'})`);
  throw new MoveError('sessions-differ', `no longer there or another session: ${names.join(', ')}`);
}

/** Sessions by stream, as they were before; those opened since are no part of the move. */
export function compareSessions(before: readonly KnownSession[], after: readonly SessionRow[]): SessionRecord[] {
  return before.map((was) => {
    const is = after.find(({ stream }) => stream === was.stream);
    return {
      stream: was.stream,
      ...(was.user === undefined ? {} : { user: was.user }),
      ...(was.service === undefined ? {} : { service: was.service }),
      ...(was.sid === undefined ? {} : { sid: was.sid }),
      ...(was.serial === undefined ? {} : { serial: was.serial }),
      transaction: { before: was.transaction, after: is?.transaction ?? 'gone' },
      callsInFlight: { before: was.callsInFlight, after: is?.callsInFlight ?? 0 },
      same: is !== undefined && (was.sid === undefined || (is.sid === was.sid && is.serial === was.serial)),
    };
  });
}
