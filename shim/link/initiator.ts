import type { LinkError, LinkErrorCode } from './errors.js';
import type { LinkLimits } from './limits.js';
import type { Rejected, ResumeOk, Verdict } from './resume.js';

/**
 * The shim's end of getting and keeping a link. Pure: events and the time in, the next state and actions out.
 *
 *   detached ──attach──> connecting ──connected──> resuming ──RESUME_OK──> bound
 *       ^                    ^  |                      |                     |
 *       |                    |  cut, timeout           | cut, try-later      | cut
 *    detach (any state)      |  v                      v                     v
 *                          waiting <──────────────────────────────────────────
 *                                                      | any other verdict
 *                                                      v
 *                                                   refused (until attach)
 *
 * The one retry loop of the link: attempts without end, `retryMs` doubling to `retryMsMax`, each shortened by up to
 * half at random so that a thousand shims behind one switch do not come back in step.
 */
export type InitiatorState =
  | { readonly kind: 'detached' }
  | { readonly kind: 'waiting'; readonly attempt: number; readonly untilMs: number }
  | { readonly kind: 'connecting'; readonly attempt: number; readonly untilMs: number }
  | { readonly kind: 'resuming'; readonly attempt: number; readonly untilMs: number }
  | { readonly kind: 'bound' }
  | { readonly kind: 'refused'; readonly verdict: Verdict; readonly reason: string };

export type InitiatorEvent =
  | { readonly kind: 'attach' }
  | { readonly kind: 'detach' }
  | { readonly kind: 'connected' }
  | { readonly kind: 'resume-ok'; readonly answer: ResumeOk }
  | { readonly kind: 'rejected'; readonly answer: Rejected }
  /** The connection is gone, for whatever reason. `jitter` is random, 0 to 1. */
  | { readonly kind: 'cut'; readonly error: LinkError; readonly jitter: number }
  | { readonly kind: 'tick'; readonly jitter: number };

export type InitiatorAction =
  | { readonly kind: 'dial' }
  /** Close the connection; after a DETACH where the proxy serves this shim on it. */
  | { readonly kind: 'hang-up'; readonly sayDetach: boolean }
  | { readonly kind: 'send-resume' }
  /** Take the token, confirm it, take the streams up. */
  | { readonly kind: 'bind'; readonly answer: ResumeOk }
  | { readonly kind: 'refuse'; readonly verdict: Verdict; readonly reason: string }
  /** Worth a line in the log. */
  | { readonly kind: 'failed'; readonly failure: Failure; readonly attempt: number };

/** Why there is no link at the moment. */
export interface Failure {
  readonly code: LinkErrorCode | 'refused-try-later';
  readonly why: string;
}

export interface InitiatorStep {
  readonly state: InitiatorState;
  readonly actions: readonly InitiatorAction[];
}

type RetryLimits = Pick<LinkLimits, 'retryMs' | 'retryMsMax' | 'handshakeMs'>;

export const detached: InitiatorState = { kind: 'detached' };

const hangUp: InitiatorAction = { kind: 'hang-up', sayDetach: false };

/** When `step` wants to be called with `tick` if nothing happens before; undefined for never. */
export function deadlineMs(state: InitiatorState): number | undefined {
  return 'untilMs' in state ? state.untilMs : undefined;
}

export function step(state: InitiatorState, event: InitiatorEvent, nowMs: number, limits: RetryLimits): InitiatorStep {
  switch (event.kind) {
    case 'attach':
      return state.kind === 'detached' || state.kind === 'refused' ? dial(0, nowMs, limits) : stay(state);
    case 'detach':
      if (!isConnected(state)) return { state: detached, actions: [] };
      return { state: detached, actions: [{ kind: 'hang-up', sayDetach: state.kind === 'bound' }] };
    case 'connected':
      if (state.kind !== 'connecting') return stay(state);
      return { state: { ...state, kind: 'resuming' }, actions: [{ kind: 'send-resume' }] };
    case 'resume-ok':
      if (state.kind !== 'resuming') return stay(state);
      return { state: { kind: 'bound' }, actions: [{ kind: 'bind', answer: event.answer }] };
    case 'rejected':
      return state.kind === 'resuming' ? rejected(state.attempt, event.answer, nowMs) : stay(state);
    case 'cut':
      if (state.kind === 'bound')
        return dial(0, nowMs, limits, { kind: 'failed', failure: failureOf(event.error), attempt: 0 });
      if (!isConnected(state)) return stay(state);
      return wait(state.attempt, failureOf(event.error), event.jitter, nowMs, limits);
    case 'tick':
      return tick(state, event.jitter, nowMs, limits);
    default:
      return assertNever(event);
  }
}

function tick(state: InitiatorState, jitter: number, nowMs: number, limits: RetryLimits): InitiatorStep {
  const due = deadlineMs(state);
  if (due === undefined || nowMs < due) return stay(state);
  if (state.kind === 'waiting') return dial(state.attempt, nowMs, limits);
  if (!isConnected(state) || state.kind === 'bound') return stay(state);
  const why = state.kind === 'connecting' ? 'the proxy does not answer' : 'the proxy does not finish the handshake';
  const next = wait(state.attempt, { code: 'link-handshake-timeout', why }, jitter, nowMs, limits);
  return { state: next.state, actions: [hangUp, ...next.actions] };
}

function dial(attempt: number, nowMs: number, limits: RetryLimits, first?: InitiatorAction): InitiatorStep {
  const actions: InitiatorAction[] = first === undefined ? [] : [first];
  return {
    state: { kind: 'connecting', attempt, untilMs: nowMs + limits.handshakeMs },
    actions: [...actions, { kind: 'dial' }],
  };
}

function wait(attempt: number, failure: Failure, jitter: number, nowMs: number, limits: RetryLimits): InitiatorStep {
  const pauseMs = Math.min(limits.retryMsMax, limits.retryMs * 2 ** Math.min(attempt, 30)) * (1 - jitter / 2);
  return {
    state: { kind: 'waiting', attempt: attempt + 1, untilMs: nowMs + pauseMs },
    actions: [{ kind: 'failed', failure, attempt: attempt + 1 }],
  };
}

function rejected(attempt: number, answer: Rejected, nowMs: number): InitiatorStep {
  if (answer.verdict !== 'try-later') {
    const { verdict, reason } = answer;
    return {
      state: { kind: 'refused', verdict, reason },
      actions: [hangUp, { kind: 'refuse', verdict, reason }],
    };
  }
  return {
    state: { kind: 'waiting', attempt: attempt + 1, untilMs: nowMs + answer.retryAfterMs },
    actions: [
      hangUp,
      { kind: 'failed', failure: { code: 'refused-try-later', why: answer.reason }, attempt: attempt + 1 },
    ],
  };
}

function failureOf({ code, message }: LinkError): Failure {
  return { code, why: message };
}

function isConnected(
  state: InitiatorState,
): state is Extract<InitiatorState, { kind: 'connecting' | 'resuming' | 'bound' }> {
  return state.kind === 'connecting' || state.kind === 'resuming' || state.kind === 'bound';
}

function stay(state: InitiatorState): InitiatorStep {
  return { state, actions: [] };
}

function assertNever(value: never): never {
  throw new TypeError(`unhandled ${JSON.stringify(value)}`);
}
