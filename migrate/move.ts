import { CodedError, errorText } from '../shim/program/errors.js';
import type { MoveContext } from './context.js';
import {
  type Failure,
  type Outcome,
  type Phase,
  type PhaseTime,
  type PlanAction,
  type Step,
  startPlan,
  stepPlan,
  type Undo,
} from './plan.js';
import { blackoutOf, type MoveEvent, type MoveRecord, type MoverName, roundMs } from './record.js';
import { bind } from './steps/bind.js';
import { attach, detach } from './steps/detach.js';
import { freeze, thaw } from './steps/freeze.js';
import { preflight } from './steps/preflight.js';
import { abandon, restore, transfer } from './steps/restore.js';
import { release, retire } from './steps/retire.js';
import { compareSessions, verify } from './steps/verify.js';

type Perform = (context: MoveContext) => Promise<void>;

const perform: Readonly<Record<Phase, Perform>> = {
  preflight,
  detach,
  freeze,
  transfer,
  restore,
  bind,
  verify,
  retire,
};
const undo: Readonly<Record<Undo, Perform>> = { release, attach, thaw, abandon };

/** What a mover has to do: relink leaves the processes where they are. */
const phasesOf: Readonly<Record<MoverName, readonly Phase[]>> = {
  criu: ['preflight', 'detach', 'freeze', 'transfer', 'restore', 'bind', 'verify', 'retire'],
  relink: ['preflight', 'detach', 'bind', 'verify', 'retire'],
};

/** Runs a move to its end, one way or the other; never throws. */
export async function runMove(
  context: MoveContext,
  from: string,
  emit: (event: MoveEvent) => void,
): Promise<MoveRecord> {
  const startedAt = new Date().toISOString();
  const times: PhaseTime[] = [];
  const phases = phasesOf[context.mover];
  let step: Step = startPlan(phases, performance.now());
  while (step.state.kind !== 'finished') {
    let event: { kind: 'done' } | { kind: 'failed'; error: Failure } = { kind: 'done' };
    for (const action of step.actions) {
      report(action, emit, times);
      event = await carryOut(action, context);
    }
    step = stepPlan(phases, step.state, event, performance.now());
  }
  for (const action of step.actions) report(action, emit, times);
  await context.found.agent?.close();
  return recordOf(context, from, startedAt, times, step.state.outcome);
}

async function carryOut(
  action: PlanAction,
  context: MoveContext,
): Promise<{ kind: 'done' } | { kind: 'failed'; error: Failure }> {
  try {
    if (action.kind === 'perform') await perform[action.phase](context);
    if (action.kind === 'undo') await undo[action.undo](context);
    return { kind: 'done' };
  } catch (thrown) {
    context.log.warn({ err: thrown, move: context.move, workload: context.workload.name }, 'a step of a move failed');
    const code = thrown instanceof CodedError ? thrown.code : 'internal';
    return { kind: 'failed', error: { code, message: errorText(thrown) } };
  }
}

function report(action: PlanAction, emit: (event: MoveEvent) => void, times: PhaseTime[]): void {
  switch (action.kind) {
    case 'perform':
      emit({ kind: 'phase', phase: action.phase });
      return;
    case 'undo':
      emit({ kind: 'undo', undo: action.undo });
      return;
    case 'note': {
      const { phase } = action.time;
      const ms = roundMs(action.time.ms);
      times.push({ phase, ms });
      emit(
        action.error === undefined ? { kind: 'done', phase, ms } : { kind: 'failed', phase, ms, error: action.error },
      );
      return;
    }
    case 'finish':
      return;
  }
}

function recordOf(
  context: MoveContext,
  from: string,
  startedAt: string,
  times: PhaseTime[],
  outcome: Outcome,
): MoveRecord {
  const { workload, target, found } = context;
  const before = found.before;
  const epoch = before?.row.epoch ?? 0;
  return {
    move: context.move,
    workload: workload.name,
    mover: context.mover,
    outcome: outcome.kind,
    startedAt,
    from: { node: from, address: before?.row.address ?? '' },
    to: { node: target.node, address: found.after?.row?.address ?? '' },
    phases: times,
    blackoutMs: blackoutOf(times),
    ...(found.blackout === undefined ? {} : { memoryBytes: found.blackout.memoryBytes }),
    epoch: { before: epoch, after: found.bound?.epoch ?? epoch },
    replayedBytes: found.bound?.replayedBytes ?? { up: 0, down: 0 },
    sessions: compareSessions(before?.sessions ?? [], found.after?.sessions ?? []),
    warnings:
      outcome.kind === 'moved' ? [...outcome.warnings] : outcome.kind === 'stranded' ? [...outcome.undoErrors] : [],
    ...(outcome.kind === 'moved'
      ? {}
      : { error: { ...outcome.error, phase: outcome.phase, source: sourceOf(outcome) } }),
  };
}

function sourceOf(outcome: Outcome): string {
  return outcome.kind === 'stranded' ? 'could not be put back, look at it' : 'runs on as before';
}
