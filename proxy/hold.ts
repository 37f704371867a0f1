/**
 * How long sessions are kept while their application is away. The budget follows what would be lost: a workload with a
 * transaction open is kept longest.
 */
export interface HoldBudgets {
  readonly inTransactionMs: number;
  readonly inCallMs: number;
  readonly idleMs: number;
}

export const defaultHoldBudgets: HoldBudgets = {
  inTransactionMs: 15 * 60_000,
  inCallMs: 15 * 60_000,
  idleMs: 5 * 60_000,
};

/** What a hold looks at in a session. `unknown` counts as a transaction: ending it too early is the greater harm. */
export interface HeldSession {
  readonly calls: { readonly inFlight: number };
  readonly transaction: { readonly kind: 'none' | 'open' | 'unknown' };
}

/** The longest budget any of the sessions asks for. */
export function holdBudgetMs(sessions: readonly HeldSession[], budgets: HoldBudgets): number {
  let budgetMs = budgets.idleMs;
  for (const session of sessions) {
    if (session.transaction.kind !== 'none') budgetMs = Math.max(budgetMs, budgets.inTransactionMs);
    if (session.calls.inFlight > 0) budgetMs = Math.max(budgetMs, budgets.inCallMs);
  }
  return budgetMs;
}
