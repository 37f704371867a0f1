import { CodedError, errorText } from '../shim/program/errors.js';
import { type MoveContext, need } from './context.js';
import { hookAfterPhase, hookOnAbort } from './hooks.js';
import { type Begin, before, type JournalEntry, readJournal } from './journal.js';
import type { Mover } from './movers/mover.js';
import {
  type Failure,
  type Outcome,
  type Phase,
  type PlanAction,
  type PlanEvent,
  type Step,
  stepPlan,
  type Undo,
} from './plan.js';
import { blackoutOf, type Moment, type MoveEvent, type MoveRecord, roundMs } from './record.js';
import { bind, blackoutExceeded } from './steps/bind.js';
import { attach, detach } from './steps/detach.js';
import { freeze, thaw } from './steps/freeze.js';
import { preflight } from './steps/preflight.js';
import { quiesce } from './steps/quiesce.js';
import { abandon, restore, transfer } from './steps/restore.js';
import { release, retire } from './steps/retire.js';
import { compareSessions, verify } from './steps/verify.js';

type Perform = (context: MoveContext) => Promise<void>;

const perform: Readonly<Record<Phase, Perform>> = {
  preflight,
  quiesce,
  detach,
  freeze,
  transfer,
  restore,
  bind,
  verify,
  retire,
};
const undo: Readonly<Record<Undo, Perform>> = { release, attach, thaw, abandon };

/** What a mover has to do. Only a move that waits for a moment has a phase for that. */
export function phasesOf({ phases }: Mover, when: Moment): readonly Phase[] {
  const [first = 'preflight', ...rest] = phases;
  return when === 'now' ? phases : [first, 'quiesce', ...rest];
}

/**
 * Runs a move from `first` to its end, one way or the other; throws only when its journal can no longer be read.
 * @param first of a plan that begins, or that goes on
 */
export async function runMove(
  context: MoveContext,
  first: Step,
  emit: (event: MoveEvent) => void,
  directory: string,
): Promise<MoveRecord> {
  const phases = phasesOf(context.mover, context.when);
  const stopTimer = new BlackoutTimer(context);
  let step = first;
  while (step.state.kind !== 'finished') {
    let event: PlanEvent = { kind: 'done' };
    for (const action of step.actions) {
      report(action, context, emit);
      if (action.kind === 'perform') stopTimer.entered(action.phase);
      event = await carryOut(action, context);
    }
    step = stepPlan(phases, step.state, event, performance.now());
  }
  stopTimer.clear();
  for (const action of step.actions) report(action, context, emit);
  await context.journal.flush().catch((err: unknown) => context.log.error({ err, move: context.move }, 'journal'));
  await context.found.agent?.close();
  const record = recordOf(context, readJournal(directory), step.state.outcome);
  await hookOnAbort(context, record);
  return record;
}

/** Asks for an abort when the application has waited for too long; from the bind on that step sees to it. */
class BlackoutTimer {
  readonly #context: MoveContext;
  #timer: NodeJS.Timeout | undefined;

  constructor(context: MoveContext) {
    this.#context = context;
  }

  entered(phase: Phase): void {
    const { maxBlackoutMs, abort } = this.#context;
    if (phase === 'detach' && maxBlackoutMs !== undefined) {
      const { code, message } = blackoutExceeded(this.#context);
      this.#timer = setTimeout(() => abort.request({ code, message }), maxBlackoutMs);
    }
    if (phase !== 'bind') return;
    this.clear();
    abort.close();
  }

  clear(): void {
    clearTimeout(this.#timer);
  }
}

async function carryOut(action: PlanAction, context: MoveContext): Promise<PlanEvent> {
  const { journal, abort, found, log } = context;
  try {
    if (action.kind === 'perform') {
      await announce(action.phase, context);
      await perform[action.phase](context);
      await hookAfterPhase(action.phase, context);
      return abort.reason === undefined ? { kind: 'done' } : { kind: 'done', abort: abort.reason };
    }
    if (action.kind === 'undo') {
      await undo[action.undo](context);
      journal.write({ kind: 'undone', undo: action.undo });
    }
    return { kind: 'done' };
  } catch (thrown) {
    log.warn({ err: thrown, move: context.move, workload: context.workload.name }, 'a step of a move failed');
    const error = failureOf(thrown);
    if (action.kind === 'undo') tryToWrite(context, { kind: 'undone', undo: action.undo, error });
    if (error.code === 'bind-unfinished') found.warnings.length = 0;
    return { kind: error.code === 'bind-unfinished' ? 'fenced' : 'failed', error };
  }
}

/** What follows must not happen unless the journal says so first; before the application begins to wait, durably. */
async function announce(phase: Phase, { journal, found }: MoveContext): Promise<void> {
  const isDark = found.darkSinceMs !== undefined;
  if (phase === 'quiesce' || phase === 'detach') {
    journal.write({ kind: 'found', before: before.parse(need(found.before, 'the sessions')) });
    journal.write({ kind: 'phase', phase });
    if (!isDark) await journal.flush();
  } else journal.write({ kind: 'phase', phase });
}

/** On the way back nothing stops: a journal that cannot be written is only told of. */
function tryToWrite({ journal, log, move }: MoveContext, entry: Parameters<typeof journal.write>[0]): void {
  try {
    journal.write(entry);
  } catch (err) {
    log.error({ err, move }, 'the journal of a move cannot be written');
  }
}

function failureOf(thrown: unknown): Failure {
  return { code: thrown instanceof CodedError ? thrown.code : 'internal', message: errorText(thrown) };
}

function report(action: PlanAction, context: MoveContext, emit: (event: MoveEvent) => void): void {
  const { log, move, workload } = context;
  const facts = { move, workload: workload.name };
  switch (action.kind) {
    case 'perform':
      emit({ kind: 'phase', phase: action.phase });
      return;
    case 'undo':
      tryToWrite(context, { kind: 'undo', undo: action.undo });
      log.info({ ...facts, undo: action.undo }, 'move: taken back');
      emit({ kind: 'undo', undo: action.undo });
      return;
    case 'note': {
      const { phase } = action.time;
      const ms = roundMs(action.time.ms);
      const { error } = action;
      tryToWrite(context, error === undefined ? { kind: 'done', phase, ms } : { kind: 'failed', phase, ms, error });
      log.info({ ...facts, phase, ms, ...(error === undefined ? {} : { code: error.code }) }, 'move: phase ended');
      emit(error === undefined ? { kind: 'done', phase, ms } : { kind: 'failed', phase, ms, error });
      return;
    }
    case 'finish':
      tryToWrite(context, { kind: 'end', outcome: action.outcome.kind });
  }
}

function recordOf(context: MoveContext, entries: readonly JournalEntry[], outcome: Outcome): MoveRecord {
  const { found } = context;
  const begin = need(
    entries.find((each): each is Begin => each.kind === 'begin'),
    'the beginning',
  );
  const epoch = found.before?.row.epoch ?? 0;
  const warnings = outcome.kind === 'moved' ? outcome.warnings : outcome.kind === 'stranded' ? outcome.undoErrors : [];
  return {
    ...{ move: begin.move, workload: begin.workload, mover: begin.mover, outcome: outcome.kind },
    startedAt: new Date(begin.atMs).toISOString(),
    endedAt: new Date().toISOString(),
    by: begin.by,
    from: { node: begin.from, address: found.before?.row.address ?? '' },
    to: { node: begin.to, address: found.after?.row?.address ?? '' },
    phases: entries.flatMap((each) =>
      each.kind === 'done' || each.kind === 'failed' ? [{ phase: each.phase, ms: each.ms }] : [],
    ),
    running: outcome.kind === 'moved' ? 'target' : found.sourceStopped ? 'none' : 'source',
    blackoutMs: blackoutIn(entries),
    ...(found.blackout === undefined ? {} : { memoryBytes: found.blackout.memoryBytes }),
    epoch: { before: epoch, after: found.after?.row?.epoch ?? found.bound?.epoch ?? epoch },
    replayedBytes: found.bound?.replayedBytes ?? { up: 0, down: 0 },
    sessions: compareSessions(found.before?.sessions ?? [], found.after?.sessions ?? [], found.seen),
    warnings: [...warnings, ...found.warnings],
    resumes: entries.filter(({ kind }) => kind === 'resume').length,
    ...(outcome.kind === 'moved'
      ? {}
      : { error: { ...outcome.error, phase: outcome.phase, source: sourceText(context, outcome) } }),
  };
}

/** From the detach until somebody has bound again; what has no end yet counts until now. */
function blackoutIn(entries: readonly JournalEntry[]): MoveRecord['blackoutMs'] {
  const phases = entries.flatMap((each) => (each.kind === 'done' || each.kind === 'failed' ? [each] : []));
  const begun =
    entries.findLast(({ kind }) => kind === 'dark') ??
    entries.find((each) => each.kind === 'phase' && each.phase === 'detach');
  if (begun === undefined) return blackoutOf(phases, 0);
  const isBound = (each: JournalEntry) =>
    (each.kind === 'done' && each.phase === 'bind') ||
    (each.kind === 'undone' && each.undo === 'attach' && each.error === undefined);
  const ended = entries.find(isBound) ?? entries.at(-1) ?? begun;
  const detached = entries.find((each) => each.kind === 'done' && each.phase === 'detach') ?? begun;
  // The phase is longer: it begins with what must be on the disk before the application waits.
  const detach = roundMs(Math.max(0, detached.atMs - begun.atMs));
  return { ...blackoutOf(phases, ended.atMs - begun.atMs), detach };
}

function sourceText({ found }: MoveContext, outcome: Outcome): string {
  if (outcome.kind === 'put-back') return 'runs on as before';
  if (found.sourceStopped) return 'is stopped, and its agent goes on trying';
  return 'runs, has no link yet, and its agent goes on trying';
}
