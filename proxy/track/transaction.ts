/**
 * Whether the session has a transaction open, as the database last said.
 *
 *            status without the bit              status with the bit
 *     ┌────────┐◄──────────────── ┌────────┐◄─────────────── ┌─────────┐
 *     │  none  │                  │  open  │                 │ unknown │
 *     └────────┘ ───────────────► └────────┘                 └─────────┘
 *          └───────── a call that ended with no status we could read ──►
 *                     (from either; the next status that is read leads back)
 *
 * The truth is the bit TXN_IN_PROGRESS of the end-of-call status (first field of the ERROR and STATUS messages). Guessing
 * from the SQL text (is it DML?) was rejected: triggers, PL/SQL, DDL and autonomous transactions make it wrong.
 *
 * While a call runs the answer is as old as the end of the call before it.
 */

/** End-of-call status, bit "a transaction is in progress". Source: thin drivers, TNS_EOCS_FLAGS_TXN_IN_PROGRESS. */
const transactionInProgress = 0x00000002;

export type TransactionUnknownReason =
  /** No call has ended yet, so the database has not said. */
  | 'no-call-yet'
  /** A response ended and no end-of-call status was found in it. */
  | 'no-status'
  /** The traffic is encrypted end to end. */
  | 'opaque';

export type Transaction =
  | { readonly kind: 'none' }
  | { readonly kind: 'open'; readonly sinceMs: number }
  | { readonly kind: 'unknown'; readonly reason: TransactionUnknownReason };

export const noTransaction: Transaction = { kind: 'none' };

export function unknownTransaction(reason: TransactionUnknownReason): Transaction {
  return { kind: 'unknown', reason };
}

/**
 * The transaction after a call that ended with `callStatus` (undefined when none could be read).
 * Returns the same object when nothing changed, so that a busy session allocates nothing here.
 */
export function transactionAfterCall(before: Transaction, callStatus: number | undefined, nowMs: number): Transaction {
  if (callStatus === undefined) {
    return before.kind === 'unknown' ? before : unknownTransaction('no-status');
  }
  if ((callStatus & transactionInProgress) === 0) return before.kind === 'none' ? before : noTransaction;
  return before.kind === 'open' ? before : { kind: 'open', sinceMs: nowMs };
}
