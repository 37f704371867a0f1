import { type Anomaly, checkPresence, countBy, type Findings } from './anomaly.js';
import { type Operation, ofKind } from './history.js';

export interface Transfer {
  readonly op: number;
  readonly from: number;
  readonly to: number;
  readonly amount: number;
}

export interface BankContent {
  readonly balances: ReadonlyMap<number, number>;
  readonly transfers: readonly Transfer[];
  /** What every account had at the beginning. */
  readonly opening: number;
}

/** Money moves between accounts, and is never made or lost: not in the end, and in no query between. */
export function checkBank(operations: readonly Operation[], { balances, transfers, opening }: BankContent): Findings {
  const { anomalies, settled } = checkPresence(
    'transfer',
    ofKind(operations, 'transfer'),
    countBy(transfers, ({ op }) => op),
  );
  const total = balances.size * opening;
  for (const { op, outcome, result } of ofKind(operations, 'sum')) {
    if (outcome === 'ok' && result.sum !== total)
      anomalies.push({ name: 'sum-changed', operations: [op], detail: `${result.sum} was read, ${total} there is` });
  }
  const invoked = new Map(ofKind(operations, 'transfer').map(({ op, action }) => [op, action]));
  for (const { op, from, to, amount } of transfers) {
    const action = invoked.get(op);
    if (action === undefined || (action.from === from && action.to === to && action.amount === amount)) continue;
    const detail = `${amount} from ${from} to ${to}, not ${action.amount} from ${action.from} to ${action.to}`;
    anomalies.push({ name: 'wrong-content', operations: [op], detail });
  }
  return { anomalies: [...anomalies, ...checkBalances(balances, transfers, opening)], settled };
}

function checkBalances(
  balances: ReadonlyMap<number, number>,
  transfers: readonly Transfer[],
  opening: number,
): readonly Anomaly[] {
  const wanted = new Map([...balances.keys()].map((account) => [account, opening]));
  const add = (account: number, amount: number) => wanted.set(account, (wanted.get(account) ?? 0) + amount);
  for (const { from, to, amount } of transfers) {
    add(from, -amount);
    add(to, amount);
  }
  return [...wanted].flatMap(([account, want]): readonly Anomaly[] => {
    const found = balances.get(account) ?? 0;
    if (found === want) return [];
    // Half of one transfer is the simplest cause.
    const suspects = transfers.filter(
      ({ from, to, amount }) => (from === account || to === account) && amount === Math.abs(found - want),
    );
    const detail = `account ${account} has ${found}, its transfers make ${want}`;
    return [{ name: 'balance-off', operations: suspects.map(({ op }) => op), detail }];
  });
}
