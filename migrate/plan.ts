import { assertNever } from '../shim/program/errors.js';

/**
 * One move, as a pure machine: which phase comes next, what has to be undone when one fails, and who owns the sessions.
 *
 *     running(preflight) → running(quiesce) → running(detach) → ... → running(bind) ═╪═ running(verify) → running(retire) → finished(moved)
 *          │ failed, aborted    │                     │           │        │ failed          │ failed
 *          ▼                    ▼                     ▼           │        └─ a warning, goes on ─┘
 *        undoing(last one first) ──────────────→ finished(put-back)
 *             │        │ an undo fails ────────→ finished(stranded) ← running(bind) once committed and no answer
 *             │ fenced                                            │
 *             └────────────────→ running(bind), committed ════════╪═ ...
 *                                                                 └ the point of no return: the proxy has fenced the source
 *
 * Before the bind is accepted every failure puts the source back. Whoever the proxy has bound owns the sessions: when it turns
 * out that this is the target after all (`fenced`), the move goes forward from there, and what is found later is reported.
 * A plan that was cut off, or is stranded, goes on by `resumePlan`: every phase from the bind on and every undo can be
 * repeated without harm.
 */
export const phaseNames = [
  'preflight',
  'quiesce',
  'detach',
  'freeze',
  'transfer',
  'restore',
  'bind',
  'verify',
  'retire',
] as const;
export type Phase = (typeof phaseNames)[number];

/** What takes a phase back, done also when the phase failed half-way: each is harmless when there is nothing to undo. */
export const undoOf = {
  preflight: 'release',
  /** The last look is taken with the link down. */
  quiesce: 'attach',
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
  | {
      readonly kind: 'running';
      readonly phase: Phase;
      readonly sinceMs: number;
      /** The sessions are the target's: there is no way back. */
      readonly committed: boolean;
      readonly warnings: readonly Failure[];
    }
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
  /** Neither finished nor taken back yet: it goes on by `resumePlan`. */
  | {
      readonly kind: 'stranded';
      readonly phase: Phase;
      readonly error: Failure;
      readonly undoErrors: readonly Failure[];
    };

export type PlanEvent =
  /** With `abort`: somebody wants it taken back, if that is still possible. */
  | { readonly kind: 'done'; readonly abort?: Failure }
  | { readonly kind: 'failed'; readonly error: Failure }
  /** The proxy has bound the target, whatever came of the step itself. */
  | { readonly kind: 'fenced'; readonly error: Failure };

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
  return enter({ phase: phases[0] ?? 'retire', committed: false, warnings: [] }, nowMs);
}

/**
 * Goes on with a plan that was cut off in `phase`, or whose undoing was.
 * @param owner whose the sessions are; for the source everything is undone, for the target everything from the bind on done
 * @param error why it did not get further the first time
 */
export function resumePlan(
  phases: readonly Phase[],
  phase: Phase,
  owner: 'source' | 'target',
  error: Failure,
  nowMs: number,
): Step {
  if (owner === 'source') return undoNext(undosFrom(phases, phase), [], error, phase, []);
  return enter({ phase: 'bind', committed: true, warnings: [error] }, nowMs);
}

/** Takes the result of what the last action asked for. */
export function stepPlan(phases: readonly Phase[], state: PlanState, event: PlanEvent, nowMs: number): Step {
  switch (state.kind) {
    case 'running':
      return afterPhase(phases, state, event, nowMs);
    case 'undoing': {
      if (event.kind === 'fenced')
        return enter({ phase: 'bind', committed: true, warnings: [state.error, event.error] }, nowMs);
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

function enter(at: Pick<Running, 'phase' | 'committed' | 'warnings'>, nowMs: number): Step {
  return { state: { kind: 'running', ...at, sinceMs: nowMs }, actions: [{ kind: 'perform', phase: at.phase }] };
}

function afterPhase(phases: readonly Phase[], state: Running, event: PlanEvent, nowMs: number): Step {
  switch (event.kind) {
    case 'done':
      // A bind that is done is the point of no return: an abort that comes with it is too late.
      if (event.abort === undefined || state.committed || state.phase === 'bind') return advance(phases, state, nowMs);
      return fail(phases, state, event.abort, nowMs);
    case 'failed':
      if (!state.committed) return fail(phases, state, event.error, nowMs);
      return state.phase === 'bind' ? strand(state, event.error, nowMs) : advance(phases, state, nowMs, event.error);
    case 'fenced':
      return strand(state, event.error, nowMs);
    default:
      return assertNever(event);
  }
}

function advance(phases: readonly Phase[], state: Running, nowMs: number, error?: Failure): Step {
  const note = noteOf(state, nowMs, error);
  const warnings = error === undefined ? state.warnings : [...state.warnings, error];
  const next = phases[phases.indexOf(state.phase) + 1];
  if (next === undefined) return finish({ kind: 'moved', warnings }, [note]);
  const committed = state.committed || state.phase === 'bind';
  const step = enter({ phase: next, committed, warnings }, nowMs);
  return { state: step.state, actions: [note, ...step.actions] };
}

function fail(phases: readonly Phase[], state: Running, error: Failure, nowMs: number): Step {
  return undoNext(undosFrom(phases, state.phase), [], error, state.phase, [noteOf(state, nowMs, error)]);
}

function strand(state: Running, error: Failure, nowMs: number): Step {
  const outcome: Outcome = { kind: 'stranded', phase: state.phase, error, undoErrors: state.warnings };
  return finish(outcome, [noteOf(state, nowMs, error)]);
}

function noteOf(state: Running, nowMs: number, error?: Failure): PlanAction {
  const time = { phase: state.phase, ms: nowMs - state.sinceMs };
  return { kind: 'note', time, ...(error === undefined ? {} : { error }) };
}

/** Once the target may have bound, its copy is ended only after the source has: before that it may be the one that lives on. */
function undosFrom(phases: readonly Phase[], phase: Phase): readonly Undo[] {
  const attempted = phases.slice(0, phases.indexOf(phase) + 1);
  const all = attempted.toReversed().flatMap((each) => (each in undoOf ? [undoOf[each as keyof typeof undoOf]] : []));
  const undos = [...new Set(all)];
  if (!attempted.includes('bind') || !undos.includes('abandon')) return undos;
  return [...undos.filter((undo) => undo !== 'abandon' && undo !== 'release'), 'abandon', 'release'];
}

function undoNext(
  undos: readonly Undo[],
  stranded: readonly Failure[],
  error: Failure,
  phase: Phase,
  before: readonly PlanAction[],
): Step {
  const [undo, ...rest] = undos;
  // A workload that could not be put back is not free for another move.
  if (undo !== undefined && !(undo === 'release' && stranded.length > 0)) {
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
