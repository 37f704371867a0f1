import t from 'tap';
import {
  noTransaction,
  type Transaction,
  transactionAfterCall,
  unknownTransaction,
} from '../../../proxy/track/transaction.js';

const open: Transaction = { kind: 'open', sinceMs: 5 };
const unknown = unknownTransaction('no-call-yet');
const bit = 0x2;
const others = 0xffff_fffd;

t.test('states by statuses', async (t) => {
  const now = 9;
  const opened: Transaction = { kind: 'open', sinceMs: now };
  const noStatus = unknownTransaction('no-status');
  const table: readonly [Transaction, number | undefined, Transaction][] = [
    [noTransaction, bit, opened],
    [noTransaction, others, noTransaction],
    [noTransaction, undefined, noStatus],
    [open, bit, open],
    [open, others, noTransaction],
    [open, undefined, noStatus],
    [unknown, bit, opened],
    [unknown, others, noTransaction],
    [unknown, undefined, unknown],
  ];
  for (const [before, status, after] of table) {
    t.strictSame(transactionAfterCall(before, status, now), after, `${before.kind} by ${status}`);
  }
});

t.test('a transaction that stays open keeps the time it was first seen, in the same object', async (t) => {
  t.equal(transactionAfterCall(open, bit | others, 100), open);
});
