import { z } from 'zod';
import { assertNever } from '../../shim/program/errors.js';
import { alertsMax } from '../limits.js';
import type { Alert } from './payload.js';
import type { AlertRule, Decision } from './rules.js';

/**
 * Which alerts lead to an evacuation, and when. Of a node:
 *
 *     quiet ── fires ──→ waiting(until dueMs) ── due, and a place is free ──→ running ── ended ──→ cooling down ──→ quiet
 *                            └── all its alerts resolved ──→ quiet
 *
 * An alert that is repeated while it fires counts once. All is plain data, in wall clock time, so that it outlives the agent.
 */
export const alertState = z.object({
  /** Alerts that fire, by fingerprint. */
  firing: z.record(z.string(), z.object({ startsAt: z.string(), seenMs: z.number(), key: z.string().optional() })),
  /** By node; a dry run is apart from the real thing. */
  waiting: z.record(
    z.string(),
    z.object({ node: z.string(), rule: z.string(), dueMs: z.number(), fingerprints: z.array(z.string()) }),
  ),
  running: z.array(z.string()),
  /** When an evacuation began last. */
  startedMs: z.record(z.string(), z.number()),
});
export type AlertState = z.infer<typeof alertState>;

export const noAlerts: AlertState = { firing: {}, waiting: {}, running: [], startedMs: {} };

/** What became of an alert, for the log and the answer to the sender. */
export type AlertResult =
  | Exclude<Decision['kind'], 'ignore'>
  | (Decision & { kind: 'ignore' })['why']
  | 'duplicate'
  | 'joined'
  | 'under-way'
  | 'cooling-down'
  | 'cancelled'
  | 'resolved'
  | 'too-late'
  | 'not-known';

export type AlertEvent =
  | { readonly kind: 'received'; readonly alert: Alert; readonly decision: Decision }
  | { readonly kind: 'tick' }
  | { readonly kind: 'ended'; readonly key: string };

export type AlertAction =
  | { readonly kind: 'evacuate'; readonly key: string; readonly node: string; readonly rule: string }
  | { readonly kind: 'notify'; readonly rule: string; readonly alert: Alert };

export interface AlertStep {
  readonly state: AlertState;
  readonly actions: readonly AlertAction[];
  /** Of what was received. */
  readonly result?: AlertResult;
}

export function stepAlerts(state: AlertState, event: AlertEvent, atOnce: number, nowMs: number): AlertStep {
  switch (event.kind) {
    case 'received':
      return event.alert.status === 'firing'
        ? fire(state, event.alert, event.decision, nowMs)
        : resolve(state, event.alert);
    case 'tick':
      return begin(state, atOnce, nowMs);
    case 'ended':
      return { state: { ...state, running: state.running.filter((key) => key !== event.key) }, actions: [] };
    default:
      return assertNever(event);
  }
}

/** When the next `tick` has something to do; undefined when nothing waits, or all must wait for an end. */
export function nextTickMs({ waiting, running }: AlertState, atOnce: number): number | undefined {
  const due = Object.values(waiting).map(({ dueMs }) => dueMs);
  return due.length === 0 || running.length >= atOnce ? undefined : Math.min(...due);
}

/** After a restart nothing runs; that it ran is still known, and cools down. */
export function afterRestart(state: AlertState): AlertState {
  return { ...state, running: [] };
}

function fire(state: AlertState, alert: Alert, decision: Decision, nowMs: number): AlertStep {
  if (decision.kind === 'ignore') return { state, actions: [], result: decision.why };
  const { fingerprint, startsAt } = alert;
  const known = own(state.firing, fingerprint);
  if (known?.startsAt === startsAt) {
    return { state: remember(state, alert, nowMs, known.key), actions: [], result: 'duplicate' };
  }
  const { rule } = decision;
  if (decision.kind === 'notify') {
    const actions = [{ kind: 'notify', rule: rule.name, alert } as const];
    return { state: remember(state, alert, nowMs), actions, result: 'notify' };
  }
  const key = keyOf(rule, decision.node);
  const remembered = remember(state, alert, nowMs, key);
  if (state.running.includes(key)) return { state: remembered, actions: [], result: 'under-way' };
  const startedMs = own(state.startedMs, key);
  // Not remembered: the sender repeats an alert that goes on, and the one that comes after the cool-down counts.
  if (startedMs !== undefined && nowMs - startedMs < rule['cool-down'])
    return { state, actions: [], result: 'cooling-down' };
  const there = own(state.waiting, key);
  const fingerprints = [...(there?.fingerprints ?? []).filter((each) => each !== fingerprint), fingerprint];
  const dueMs = Math.min(nowMs + rule.delay, there?.dueMs ?? Number.POSITIVE_INFINITY);
  const entry = { node: decision.node, rule: there?.rule ?? rule.name, dueMs, fingerprints };
  const waiting = { ...state.waiting, [key]: entry };
  const result = there === undefined ? 'evacuate' : 'joined';
  return { state: { ...remembered, waiting }, actions: [], result };
}

function resolve(state: AlertState, { fingerprint, startsAt }: Alert): AlertStep {
  const known = own(state.firing, fingerprint);
  // One that is late tells of an earlier time: what fires now fires on.
  if (known === undefined || Date.parse(startsAt) < Date.parse(known.startsAt)) {
    return { state, actions: [], result: 'not-known' };
  }
  const { [fingerprint]: _gone, ...firing } = state.firing;
  const [key, entry] = Object.entries(state.waiting).find(([, each]) => each.fingerprints.includes(fingerprint)) ?? [];
  if (key === undefined || entry === undefined) {
    const isRunning = known.key !== undefined && state.running.includes(known.key);
    return { state: { ...state, firing }, actions: [], result: isRunning ? 'too-late' : 'resolved' };
  }
  const fingerprints = entry.fingerprints.filter((each) => each !== fingerprint);
  const { [key]: _cancelled, ...others } = state.waiting;
  const waiting = fingerprints.length === 0 ? others : { ...state.waiting, [key]: { ...entry, fingerprints } };
  const result = fingerprints.length === 0 ? 'cancelled' : 'resolved';
  return { state: { ...state, firing, waiting }, actions: [], result };
}

function begin(state: AlertState, atOnce: number, nowMs: number): AlertStep {
  const due = Object.entries(state.waiting)
    .filter(([, { dueMs }]) => dueMs <= nowMs)
    .sort(([, one], [, other]) => one.dueMs - other.dueMs)
    .slice(0, Math.max(0, atOnce - state.running.length));
  const keys = new Set(due.map(([key]) => key));
  return {
    state: {
      ...state,
      waiting: Object.fromEntries(Object.entries(state.waiting).filter(([key]) => !keys.has(key))),
      running: [...state.running, ...keys],
      startedMs: { ...state.startedMs, ...Object.fromEntries([...keys].map((key) => [key, nowMs])) },
    },
    actions: due.map(([key, { node, rule }]) => ({ kind: 'evacuate', key, node, rule })),
  };
}

/** With too many, the one that was heard of longest ago is forgotten. */
function remember(state: AlertState, { fingerprint, startsAt }: Alert, nowMs: number, key?: string): AlertState {
  const entry = { startsAt, seenMs: nowMs, ...(key === undefined ? {} : { key }) };
  const firing = { ...state.firing, [fingerprint]: entry };
  const all = Object.entries(firing);
  if (all.length <= alertsMax) return { ...state, firing };
  const [oldest] = all.reduce((one, other) => (other[1].seenMs < one[1].seenMs ? other : one));
  const { [oldest]: _forgotten, ...kept } = firing;
  return { ...state, firing: kept };
}

function keyOf(rule: AlertRule, node: string): string {
  return rule['dry-run'] ? `dry run of ${node}` : node;
}

/** Labels and fingerprints come from outside: `constructor` is no entry. */
function own<T>(record: Readonly<Record<string, T>>, key: string): T | undefined {
  return Object.hasOwn(record, key) ? record[key] : undefined;
}
