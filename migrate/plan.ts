import { assertNever } from '../shim/program/errors.js';

/**
 * One move, as a pure machine: which phase comes next, and what has to be undone when one fails.
 *
 *     running(preflight) → running(detach) → ... → running(bind) ═╪═ running(verify) → running(retire) → finished(moved)
 *            │ failed            │ failed             │ failed    │        │ failed          │ failed
 *            ▼                   ▼                    ▼           │        └─ a warning, goes on ─┘
 *        undoing(last one first) ──────────────→ finished(put-back | stranded)
 *                                                                 └ the point of no return: the proxy has fenced the source
 *
 * Before the bind is accepted every failure puts the source back. After it the target owns the sessions, so what is found
 * later is reported and the move goes forward.
 */
export const phaseNames = ['preflight', 'detach', 'freeze', 'transfer', 'restore', 'bind', 'verify', 'retire'] as const;
export type Phase = (typeof phaseNames)[number];

/** What takes a phase back, done also when the phase failed half-way: each is harmless when there is nothing to undo. */
export const undoOf = {
  preflight: 'release',
  detach: 'attach',
  freeze: 'thaw',
  restore: 'abandon',
} as const satisfies Partial<Record<Phase, string>>;
export type Undo = (typeof undoOf)[keyof typeof undoOf];

export interface Failure {
  readonly code: string;
  readonly message: string;
}

export interface PhaseTime {
  readonly phase: Phase;
  readonly ms: number;
}

export type PlanState =
  | { readonly kind: 'running'; readonly phase: Phase; readonly sinceMs: number; readonly warnings: readonly Failure[] }
  | {
      readonly kind: 'undoing';
      readonly undo: Undo;
      readonly rest: readonly Undo[];
      readonly stranded: readonly Failure[];
      readonly error: Failure;
      readonly phase: Phase;
    }
  | { readonly kind: 'finished'; readonly outcome: Outcome };

export type Outcome =
  | { readonly kind: 'moved'; readonly warnings: readonly Failure[] }
  /** The source runs on as before. */
  | { readonly kind: 'put-back'; readonly phase: Phase; readonly error: Failure }
  /** Undoing failed too: an operator has to look. */
  | {
      readonly kind: 'stranded';
      readonly phase: Phase;
      readonly error: Failure;
      readonly undoErrors: readonly Failure[];
    };

export type PlanEvent = { readonly kind: 'done' } | { readonly kind: 'failed'; readonly error: Failure };

export type PlanAction =
  | { readonly kind: 'perform'; readonly phase: Phase }
  | { readonly kind: 'undo'; readonly undo: Undo }
  | { readonly kind: 'note'; readonly time: PhaseTime; readonly error?: Failure }
  | { readonly kind: 'finish'; readonly outcome: Outcome };

export interface Step {
  readonly state: PlanState;
  readonly actions: readonly PlanAction[];
}

/** @param phases those the mover has, in the order of `phaseNames` */
export function startPlan(phases: readonly Phase[], nowMs: number): Step {
  return enter(phases[0] ?? 'retire', nowMs, []);
}

/** Takes the result of what the last action asked for. */
export function stepPlan(phases: readonly Phase[], state: PlanState, event: PlanEvent, nowMs: number): Step {
  switch (state.kind) {
    case 'running':
      return event.kind === 'done' ? advance(phases, state, nowMs) : fail(phases, state, event.error, nowMs);
    case 'undoing': {
      const stranded = event.kind === 'done' ? state.stranded : [...state.stranded, event.error];
      return undoNext(state.rest, stranded, state.error, state.phase, []);
    }
    case 'finished':
      return { state, actions: [] };
    default:
      return assertNever(state);
  }
}

type Running = PlanState & { readonly kind: 'running' };

function enter(phase: Phase, nowMs: number, warnings: readonly Failure[]): Step {
  return { state: { kind: 'running', phase, sinceMs: nowMs, warnings }, actions: [{ kind: 'perform', phase }] };
}

function advance(phases: readonly Phase[], state: Running, nowMs: number, error?: Failure): Step {
  const time = { phase: state.phase, ms: nowMs - state.sinceMs };
  const note: PlanAction = { kind: 'note', time, ...(error === undefined ? {} : { error }) };
  const warnings = error === undefined ? state.warnings : [...state.warnings, error];
  const next = phases[phases.indexOf(state.phase) + 1];
  if (next === undefined) return finish({ kind: 'moved', warnings }, [note]);
  const step = enter(next, nowMs, warnings);
  return { state: step.state, actions: [note, ...step.actions] };
}

function fail(phases: readonly Phase[], state: Running, error: Failure, nowMs: number): Step {
  if (phaseNames.indexOf(state.phase) > phaseNames.indexOf('bind')) return advance(phases, state, nowMs, error);
  const attempted = phases.slice(0, phases.indexOf(state.phase) + 1);
  const undos = attempted
    .toReversed()
    .flatMap((phase) => (phase in undoOf ? [undoOf[phase as keyof typeof undoOf]] : []));
  const note: PlanAction = { kind: 'note', time: { phase: state.phase, ms: nowMs - state.sinceMs }, error };
  return undoNext(undos, [], error, state.phase, [note]);
}

function undoNext(
  undos: readonly Undo[],
  stranded: readonly Failure[],
  error: Failure,
  phase: Phase,
  before: readonly PlanAction[],
): Step {
  const [undo, ...rest] = undos;
  if (undo !== undefined) {
    const state: PlanState = { kind: 'undoing', undo, rest, stranded, error, phase };
    return { state, actions: [...before, { kind: 'undo', undo }] };
  }
  const outcome: Outcome =
    stranded.length === 0
      ? { kind: 'put-back', phase, error }
      : { kind: 'stranded', phase, error, undoErrors: stranded };
  return finish(outcome, before);
}

function finish(outcome: Outcome, before: readonly PlanAction[]): Step {
  return { state: { kind: 'finished', outcome }, actions: [...before, { kind: 'finish', outcome }] };
}
