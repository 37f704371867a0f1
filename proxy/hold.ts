import { assertNever } from '../shim/program/errors.js';
import { type Activity, activities, type Ending, type HoldPolicy, type HoldRule, ruleFor } from './policy/rules.js';

/**
 * One hold: how long the sessions of a workload are kept while its application is away. Pure; holds.ts performs the actions.
 *
 *                    ┌── warn ──┐      extend, a state with a longer budget
 *     begin ──► running ◄───────┘ ◄──────────────────────────────────────────┐
 *                 │  ▲                                                       │
 *             pin │  │ unpin        budget over ┬─ alert-and-keep ──► overdue┘
 *                 ▼  │                          └─ close ──► ended
 *               pinned (no end at all)
 *
 * Each session has the budget that its rule gives for what it is doing. It counts from when the session began to do that,
 * at the earliest from the beginning of the hold: the answer to a call that ended a minute ago is worth as much as a session
 * that was idle all along. A workload is held as a whole, for as long as any of its sessions; and it is kept at the end if
 * the rule of any of them says so, because ending a session too early is the greater harm.
 */
export interface HeldSession {
  readonly stream: number;
  readonly user: string | undefined;
  readonly service: string | undefined;
  readonly activity: Activity;
}

/** The budget of one session. */
interface Term {
  readonly rule: HoldRule;
  readonly activity: Activity;
  readonly sinceMs: number;
}

export interface HoldState {
  readonly kind: 'running' | 'pinned' | 'overdue' | 'ended';
  readonly beganMs: number;
  /** By stream. */
  readonly terms: ReadonlyMap<number, Term>;
  /** The session that is held longest, and what it is doing. */
  readonly rule: HoldRule;
  readonly activity: Activity;
  readonly atEnd: Ending;
  /** When the hold ends or ended; for a pinned one, when it would. */
  readonly untilMs: number;
  /** The hold does not end before this: what extending it has asked for. */
  readonly notBeforeMs: number;
  /** Whoever is to be told this much before the end has been told. */
  readonly toldMs: number;
}

export type HoldEvent =
  /** Sessions that may do something else by now, or have ended. */
  | { readonly kind: 'changed'; readonly sessions: readonly HeldSession[] }
  | { readonly kind: 'tick' }
  | { readonly kind: 'extend'; readonly byMs: number }
  | { readonly kind: 'pin' }
  | { readonly kind: 'unpin' };

export type HoldAction =
  | { readonly kind: 'warn'; readonly leftMs: number }
  /** The budget is over, and the hold goes on. */
  | { readonly kind: 'alert' }
  | { readonly kind: 'end' };

export interface HoldStep {
  readonly state: HoldState;
  readonly actions: readonly HoldAction[];
}

/** What another process must know to go on with a hold. Rules are not in it: they are looked up again. */
export interface SavedHold {
  readonly beganMs: number;
  readonly notBeforeMs: number;
  readonly toldMs: number;
  readonly terms: readonly { readonly stream: number; readonly activity: Activity; readonly sinceMs: number }[];
}

const nobodyTold = Number.POSITIVE_INFINITY;

export function beginHold(
  policy: HoldPolicy,
  sessions: readonly HeldSession[],
  isPinned: boolean,
  nowMs: number,
): HoldState {
  const empty: HoldState = {
    kind: isPinned ? 'pinned' : 'running',
    beganMs: nowMs,
    terms: new Map(),
    rule: policy.otherwise,
    activity: 'idle',
    atEnd: policy.otherwise.atEnd,
    untilMs: 0,
    notBeforeMs: 0,
    toldMs: nobodyTold,
  };
  return measured(policy, { ...empty, terms: termsOf(policy, empty, sessions, nowMs) }, nowMs);
}

export function saveHold({ beganMs, notBeforeMs, toldMs, terms }: HoldState): SavedHold {
  const saved = [...terms].map(([stream, { activity, sinceMs }]) => ({ stream, activity, sinceMs }));
  return { beganMs, notBeforeMs, toldMs, terms: saved };
}

/** Goes on with a hold that another process has begun: no budget starts anew by that. */
export function resumeHold(
  policy: HoldPolicy,
  saved: SavedHold,
  sessions: readonly HeldSession[],
  isPinned: boolean,
  nowMs: number,
): HoldState {
  const { beganMs, notBeforeMs, toldMs } = saved;
  const begun = beginHold(policy, [], isPinned, beganMs);
  const known = new Map(sessions.map((session) => [session.stream, session]));
  const terms = saved.terms.flatMap(({ stream, activity, sinceMs }): [number, Term][] => {
    const session = known.get(stream);
    return session === undefined ? [] : [[stream, { rule: ruleFor(policy, session), activity, sinceMs }]];
  });
  const before = { ...begun, notBeforeMs, terms: new Map(terms) };
  return { ...measured(policy, { ...before, terms: termsOf(policy, before, sessions, nowMs) }, nowMs), toldMs };
}

export function stepHold(policy: HoldPolicy, state: HoldState, event: HoldEvent, nowMs: number): HoldStep {
  if (state.kind === 'ended') return { state, actions: [] };
  switch (event.kind) {
    case 'changed':
      return quiet(measured(policy, { ...state, terms: termsOf(policy, state, event.sessions, nowMs) }, nowMs));
    case 'tick':
      return tick(state, nowMs);
    case 'extend': {
      const notBeforeMs = Math.max(state.untilMs, nowMs) + event.byMs;
      return quiet(measured(policy, { ...state, notBeforeMs }, nowMs));
    }
    case 'pin':
      return quiet({ ...state, kind: 'pinned' });
    case 'unpin':
      return state.kind === 'pinned' ? quiet(unpinned(policy, state, nowMs)) : quiet(state);
    default:
      return assertNever(event);
  }
}

/** When the next tick is due; undefined when nothing happens by itself any more. */
export function holdDueMs(state: HoldState): number | undefined {
  if (state.kind !== 'running') return undefined;
  const nextMs = Math.max(0, ...state.rule.warnMs.filter((warnMs) => warnMs < state.toldMs));
  return state.untilMs - nextMs;
}

function quiet(state: HoldState): HoldStep {
  return { state, actions: [] };
}

function tick(state: HoldState, nowMs: number): HoldStep {
  if (state.kind !== 'running') return quiet(state);
  const leftMs = state.untilMs - nowMs;
  if (leftMs > 0) {
    const toldMs = toldAt(state.rule, leftMs);
    return toldMs < state.toldMs ? { state: { ...state, toldMs }, actions: [{ kind: 'warn', leftMs }] } : quiet(state);
  }
  return state.atEnd === 'close'
    ? { state: { ...state, kind: 'ended' }, actions: [{ kind: 'end' }] }
    : { state: { ...state, kind: 'overdue' }, actions: [{ kind: 'alert' }] };
}

/** The budgets start anew: unpinning after a weekend is no other word for ending the hold. */
function unpinned(policy: HoldPolicy, state: HoldState, nowMs: number): HoldState {
  const terms = new Map([...state.terms].map(([stream, term]) => [stream, { ...term, sinceMs: nowMs }]));
  return measured(policy, { ...state, kind: 'running', beganMs: nowMs, terms }, nowMs);
}

function termsOf(
  policy: HoldPolicy,
  { terms, beganMs }: HoldState,
  sessions: readonly HeldSession[],
  nowMs: number,
): ReadonlyMap<number, Term> {
  const next = new Map(terms);
  for (const session of sessions) {
    const { stream, activity } = session;
    const former = next.get(stream);
    const sinceMs = former === undefined ? beganMs : former.activity === activity ? former.sinceMs : nowMs;
    next.set(stream, { rule: ruleFor(policy, session), activity, sinceMs });
  }
  return next;
}

/** Finds the session that is held longest, and what that means for the hold. */
function measured(policy: HoldPolicy, state: HoldState, nowMs: number): HoldState {
  const nothing: Term = { rule: policy.otherwise, activity: 'idle', sinceMs: state.beganMs };
  let longest = nothing;
  let endMs = Number.NEGATIVE_INFINITY;
  let atEnd: Ending = 'close';
  for (const term of state.terms.size === 0 ? [nothing] : state.terms.values()) {
    if (term.rule.atEnd === 'alert-and-keep') atEnd = 'alert-and-keep';
    const termEndMs = endOf(term);
    if (termEndMs < endMs || (termEndMs === endMs && rank(term) >= rank(longest))) continue;
    longest = term;
    endMs = termEndMs;
  }
  const untilMs = Math.max(endMs, state.notBeforeMs);
  const { rule, activity } = longest;
  const toldMs = untilMs === state.untilMs ? state.toldMs : toldAt(rule, untilMs - nowMs);
  const kind = state.kind === 'overdue' && untilMs > nowMs ? 'running' : state.kind;
  return { ...state, kind, rule, activity, atEnd, untilMs, toldMs };
}

function endOf({ rule, activity, sinceMs }: Term): number {
  return sinceMs + rule.budgetMs[activity];
}

function rank({ activity }: Term): number {
  return activities.indexOf(activity);
}

/** The last warning that is no longer to come with so much left. */
function toldAt(rule: HoldRule, leftMs: number): number {
  return Math.min(nobodyTold, ...rule.warnMs.filter((warnMs) => warnMs >= leftMs));
}
