import type { SessionRow } from '../../proxy/control/contract.js';

/** What would be lost with a workload, and whom its move keeps waiting. */
export interface Stakes {
  readonly sessions: number;
  /** Open ones; one of which nobody knows counts too. */
  readonly transactions: number;
  readonly callsInFlight: number;
  /** Calls of other workloads that may wait for its locks. */
  readonly waiters: number;
}

/** A call takes this long before it counts as one that may wait for a lock. */
export const waitingCallMs = 500;

type Row = Pick<
  SessionRow,
  'workload' | 'service' | 'transaction' | 'transactionMs' | 'callsInFlight' | 'callMs' | 'databaseName'
>;

/**
 * Which session waits for which lock only the database knows. What the proxy can see: a call of another workload, to the same
 * database, that has been under way for a while and is younger than an open transaction of this one. That can be a long query
 * as well, so it decides about the order of moves and about nothing else.
 */
export function stakesOf(workload: string, rows: readonly Row[]): Stakes {
  const own = rows.filter((row) => row.workload === workload);
  const holders = own.filter(({ transaction }) => transaction !== 'none');
  const waits = (row: Row) =>
    row.workload !== workload &&
    (row.callMs ?? 0) >= waitingCallMs &&
    holders.some((holder) => sameDatabase(holder, row) && (holder.transactionMs ?? 0) >= (row.callMs ?? 0));
  return {
    sessions: own.length,
    transactions: holders.length,
    callsInFlight: own.reduce((sum, row) => sum + row.callsInFlight, 0),
    waiters: rows.filter(waits).length,
  };
}

function sameDatabase(one: Row, other: Row): boolean {
  if (one.databaseName !== undefined && other.databaseName !== undefined)
    return one.databaseName === other.databaseName;
  return one.service === other.service;
}

/**
 * Least at stake first: whom nobody waits for, then those without transactions, without calls, with few sessions. A way to
 * the target that is bad is so found by those that lose least by it, and the evacuation stops there.
 */
export function compareStakes(one: Stakes, other: Stakes): number {
  return (
    one.waiters - other.waiters ||
    one.transactions - other.transactions ||
    one.callsInFlight - other.callsInFlight ||
    one.sessions - other.sessions
  );
}
