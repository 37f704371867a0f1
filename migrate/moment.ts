import type { SessionRow } from '../proxy/control/contract.js';
import type { Moment } from './record.js';

type Seen = Pick<SessionRow, 'phase' | 'callsInFlight' | 'breakPhase' | 'transaction' | 'request'>;

/**
 * What a session still does that a move should wait for, as the proxy sees it; undefined when its moment is there. A transaction that
 * nobody can tell never ends here. Open cursors cannot be seen: a pool that takes a connection back while rows are left to fetch
 * has it back.
 */
export function unfinished(session: Seen, moment: Moment): string | undefined {
  if (moment === 'now' || session.phase === 'logged-off' || session.phase === 'refused') return undefined;
  if (session.phase === 'connecting' || session.phase === 'login') return 'in login';
  if (session.callsInFlight > 0 || session.breakPhase !== 'none') return 'in a call';
  if (moment === 'call-end') return undefined;
  if (session.transaction !== 'none') {
    return session.transaction === 'open' ? 'in a transaction' : 'in a transaction, or not: nobody can tell';
  }
  return moment === 'pool-return' && session.request === 'open' ? 'out of its pool' : undefined;
}
