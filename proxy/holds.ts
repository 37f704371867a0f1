import type { Logger } from 'pino';
import type { Cancel, Clock } from '../shim/link/index.js';
import { assertNever } from '../shim/program/errors.js';
import type { Audit, AuditActor } from './audit/entry.js';
import { auditSessions, subjectOf } from './audit/subject.js';
import {
  beginHold,
  type HeldSession,
  type HoldAction,
  type HoldEvent,
  type HoldState,
  holdDueMs,
  resumeHold,
  type SavedHold,
  saveHold,
  stepHold,
} from './hold.js';
import type { ProxyLimits } from './limits.js';
import { activityOf, type HoldPolicy } from './policy/rules.js';
import { isOver, type Workload, type WorkloadSession } from './workload.js';

export interface HoldsOptions {
  readonly policy: HoldPolicy;
  readonly limits: ProxyLimits;
  readonly log: Logger;
  readonly audit: Audit;
  readonly now: () => number;
  /** For timers only; their time is `now`. */
  readonly clock: Clock;
  /** The budget is over and the rule says close. */
  readonly expired: (workload: Workload) => void;
  /** What `save` gives is another now. */
  readonly changed: (workload: Workload) => void;
}

/** What the next process must know of one workload's holds. */
export interface SavedHolds {
  readonly isPinned: boolean;
  /** While it is held. */
  readonly hold: SavedHold | undefined;
  /** Requests to extend it that have been granted. */
  readonly requests: readonly string[];
}

interface Entry {
  state: HoldState;
  cancel: Cancel | undefined;
  /** Sessions to be looked at again when this turn of the event loop is over. */
  readonly touched: Set<number>;
  /** Requests to extend it that have been granted: asked again, they change nothing. */
  readonly requests: Set<string>;
}

/** Longest time of a timer of Node.js; with more it would go off at once. */
const timerMsMax = 2 ** 31 - 1;

/** The holds of all workloads: timers, what operators ask for, and what is told to whom. */
export class Holds {
  readonly #options: HoldsOptions;
  readonly #entries = new Map<Workload, Entry>();
  /** A pin outlives the hold: an application that comes back for a moment does not undo what its DBA has asked for. */
  readonly #pinned = new Set<Workload>();

  constructor(options: HoldsOptions) {
    this.#options = options;
  }

  of(workload: Workload): HoldState | undefined {
    return this.#entries.get(workload)?.state;
  }

  isPinned(workload: Workload): boolean {
    return this.#pinned.has(workload);
  }

  /** How long a hold of these sessions would last that began now. */
  budgetMs(workload: Workload): number {
    const { policy } = this.#options;
    return beginHold(policy, workload.sessions().map(heldSession), false, 0).untilMs;
  }

  begin(workload: Workload, why: string): void {
    const { policy, now, audit } = this.#options;
    // Looked at once: a view is made when it is asked for, and an application with a thousand sessions waits for this.
    const sessions = workload.sessions().map(({ stream, view }) => ({ stream, view }));
    const state = beginHold(policy, sessions.map(heldSession), this.isPinned(workload), now());
    this.#enter(workload, state);
    audit.record({ event: 'hold', ...subjectOf(workload), why, ...this.#facts(state), ...auditSessions(sessions) });
  }

  save(workload: Workload): SavedHolds {
    const entry = this.#entries.get(workload);
    const hold = entry && saveHold(entry.state);
    return { isPinned: this.isPinned(workload), hold, requests: [...(entry?.requests ?? [])] };
  }

  /**
   * Goes on where another process has stopped.
   * @param why for a workload that was bound then: why it is held from now on
   */
  resume(workload: Workload, { isPinned, hold, requests }: SavedHolds, why: string): void {
    if (isPinned) this.#pinned.add(workload);
    if (hold === undefined) {
      this.begin(workload, why);
      return;
    }
    const { policy, now } = this.#options;
    const sessions = workload.sessions().map(heldSession);
    this.#enter(workload, resumeHold(policy, hold, sessions, isPinned, now()), requests);
  }

  /** The application is back. */
  finish(workload: Workload): void {
    this.#entries.get(workload)?.cancel?.();
    this.#entries.delete(workload);
  }

  /** There is no such workload any more. */
  forget(workload: Workload): void {
    this.finish(workload);
    this.#pinned.delete(workload);
  }

  /** A session may be doing something else. All that is said of one hold in one turn is looked at once. */
  touched(workload: Workload, stream: number): void {
    const entry = this.#entries.get(workload);
    if (entry === undefined) return;
    if (entry.touched.size === 0) this.#options.clock.soon(() => this.#lookAgain(workload, entry));
    entry.touched.add(stream);
  }

  /** @param request name of this wish: granted once, however often it is asked for */
  extend(workload: Workload, byMs: number, request: string, by: AuditActor): void {
    const entry = this.#entries.get(workload);
    if (entry === undefined || entry.requests.has(request)) return;
    entry.requests.add(request);
    for (const oldest of entry.requests) {
      if (entry.requests.size <= this.#options.limits.extendRequestsMax) break;
      entry.requests.delete(oldest);
    }
    this.#step(workload, entry, { kind: 'extend', byMs });
    const { log, audit } = this.#options;
    const facts = this.#facts(entry.state);
    log.info({ workload: workload.name, instance: workload.instance, byMs, by, ...facts }, 'hold extended');
    audit.record({ event: 'extend', ...subjectOf(workload), by, byMs, ...facts });
  }

  /** Also while the application is there: its next hold then has no end. */
  pin(workload: Workload, kind: 'pin' | 'unpin', by: AuditActor): void {
    if (this.isPinned(workload) === (kind === 'pin')) return;
    if (kind === 'pin') this.#pinned.add(workload);
    else this.#pinned.delete(workload);
    const entry = this.#entries.get(workload);
    if (entry === undefined) this.#options.changed(workload);
    else this.#step(workload, entry, { kind });
    const { log, audit } = this.#options;
    const facts = entry === undefined ? {} : this.#facts(entry.state);
    log.info({ workload: workload.name, instance: workload.instance, by, ...facts }, `hold ${kind}ned`);
    audit.record({ event: kind, ...subjectOf(workload), by, ...facts });
  }

  #enter(workload: Workload, state: HoldState, requests: readonly string[] = []): void {
    const entry: Entry = { state, cancel: undefined, touched: new Set(), requests: new Set(requests) };
    this.#entries.set(workload, entry);
    this.#arm(workload, entry);
    this.#options.changed(workload);
  }

  #lookAgain(workload: Workload, entry: Entry): void {
    const streams = [...entry.touched];
    entry.touched.clear();
    if (this.#entries.get(workload) !== entry) return;
    const sessions = streams.flatMap((stream) => workload.session(stream) ?? []);
    this.#step(workload, entry, { kind: 'changed', sessions: sessions.map(heldSession) });
  }

  #step(workload: Workload, entry: Entry, event: HoldEvent): void {
    const { policy, now } = this.#options;
    const before = entry.state;
    const { state, actions } = stepHold(policy, before, event, now());
    entry.state = state;
    this.#arm(workload, entry);
    this.#options.changed(workload);
    if (event.kind === 'changed' && state.kind !== 'pinned' && state.untilMs !== before.untilMs) {
      const { name, instance } = workload;
      this.#options.log.info({ workload: name, instance, ...this.#facts(state) }, 'hold has another end');
    }
    for (const action of actions) this.#perform(workload, state, action);
  }

  #arm(workload: Workload, entry: Entry): void {
    entry.cancel?.();
    entry.cancel = undefined;
    const dueMs = holdDueMs(entry.state);
    if (dueMs === undefined) return;
    const { clock, now } = this.#options;
    const waitMs = Math.min(Math.max(0, Math.ceil(dueMs - now())), timerMsMax);
    entry.cancel = clock.after(waitMs, () => this.#step(workload, entry, { kind: 'tick' }));
  }

  #perform(workload: Workload, state: HoldState, action: HoldAction): void {
    const { log, audit, expired } = this.#options;
    const who = { workload: workload.name, instance: workload.instance };
    const facts = this.#facts(state);
    switch (action.kind) {
      case 'warn': {
        const leftMs = Math.round(action.leftMs);
        log.warn({ code: 'hold-expiring', ...who, leftMs, ...facts }, 'a hold is about to end');
        audit.record({ event: 'warn', ...subjectOf(workload), leftMs, ...facts });
        return;
      }
      case 'alert':
        log.error({ code: 'hold-overdue', ...who, ...facts }, 'a hold is over its budget and kept all the same');
        audit.record({ event: 'alert', ...subjectOf(workload), ...facts, ...auditSessions(workload.sessions()) });
        return;
      case 'end':
        log.warn({ code: 'hold-expired', ...who, ...facts }, 'hold expired');
        audit.record({ event: 'expire', ...subjectOf(workload), ...facts, ...auditSessions(workload.sessions()) });
        expired(workload);
        return;
      default:
        assertNever(action);
    }
  }

  /** What is told of a hold wherever it is told. */
  #facts({ kind, rule, activity, atEnd, untilMs }: HoldState) {
    const leftMs = untilMs - this.#options.now();
    return {
      rule: rule.name,
      ...(rule.owner === undefined ? {} : { owner: rule.owner }),
      doing: activity,
      atEnd,
      ...(kind === 'pinned' ? { isPinned: true } : { until: new Date(Date.now() + leftMs).toISOString() }),
    };
  }
}

function heldSession(session: Pick<WorkloadSession, 'stream' | 'view'>): HeldSession {
  const { stream, view } = session;
  const { calls, transaction, identity } = view.track;
  const activity = activityOf({
    isOver: isOver({ view }),
    callsInFlight: calls.inFlight,
    transaction: transaction.kind,
  });
  return { stream, user: identity.user, service: identity.service, activity };
}
