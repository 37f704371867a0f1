/**
 * Which budget a held session has. Rules are looked at in order and the first that fits counts; a session that none fits, or
 * that has not logged in yet, falls to the last one, made from the options `--hold-*`.
 */

/** What would be lost if the session ended now; the first that is true counts. */
export const activities = ['call', 'transaction', 'idle'] as const;
export type Activity = (typeof activities)[number];

/** `close`: the back ends are closed, and Oracle rolls back. `alert-and-keep`: somebody is told, and nothing is lost. */
export const endings = ['close', 'alert-and-keep'] as const;
export type Ending = (typeof endings)[number];

export interface HoldRule {
  readonly name: string;
  /** Services and users it is for, compared without regard to case; none: it is for all. */
  readonly services: readonly string[];
  readonly users: readonly string[];
  readonly budgetMs: Readonly<Record<Activity, number>>;
  readonly atEnd: Ending;
  /** Somebody is warned when no more than this is left. */
  readonly warnMs: readonly number[];
  /** Who decides about such holds, for those who read lists and the audit log. */
  readonly owner: string | undefined;
}

export interface HoldPolicy {
  readonly rules: readonly HoldRule[];
  readonly otherwise: HoldRule;
}

export interface SessionName {
  readonly user: string | undefined;
  readonly service: string | undefined;
}

/** A policy without rules, the same budget for everything; for tests and for what has no configuration. */
export function plainPolicy(changes: Partial<HoldRule> = {}): HoldPolicy {
  const minute = 60_000;
  const budgetMs = { call: 15 * minute, transaction: 15 * minute, idle: 5 * minute };
  const otherwise: HoldRule = {
    name: 'default',
    services: [],
    users: [],
    budgetMs,
    atEnd: 'close',
    warnMs: [],
    owner: undefined,
    ...changes,
  };
  return { rules: [], otherwise };
}

export function ruleFor(policy: HoldPolicy, name: SessionName): HoldRule {
  const fits = ({ services, users }: HoldRule) => includes(services, name.service) && includes(users, name.user);
  return policy.rules.find(fits) ?? policy.otherwise;
}

function includes(wanted: readonly string[], found: string | undefined): boolean {
  if (wanted.length === 0) return true;
  return found !== undefined && wanted.some((each) => each.toUpperCase() === found.toUpperCase());
}

/** What the policy looks at in a session. */
export interface Doing {
  readonly isOver: boolean;
  readonly callsInFlight: number;
  readonly transaction: 'none' | 'open' | 'unknown';
}

/** A transaction that cannot be seen counts as one: ending it too early is the greater harm. */
export function activityOf({ isOver, callsInFlight, transaction }: Doing): Activity {
  if (isOver) return 'idle';
  if (callsInFlight > 0) return 'call';
  return transaction === 'none' ? 'idle' : 'transaction';
}
