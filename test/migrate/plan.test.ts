import t from 'tap';
import {
  type Phase,
  type PlanEvent,
  phaseNames,
  resumePlan,
  type Step,
  startPlan,
  stepPlan,
} from '../../migrate/plan.js';

const error = { code: 'broken', message: 'it broke' };

const abort = { code: 'aborted', message: 'somebody' };
const fence = { code: 'bind-unfinished', message: 'the target has bound' };

interface Faults {
  readonly failing?: readonly string[];
  /** Phases that an abort comes with. */
  readonly aborted?: readonly string[];
  /** What finds out, the first time, that the target has bound. */
  readonly fenced?: readonly string[];
  readonly first?: Step;
}

/** Runs a plan in which the named phases and undos go wrong; gives what was done, in order. */
function play(phases: readonly Phase[], { failing = [], aborted = [], fenced = [], first }: Faults) {
  const done: string[] = [];
  let nowMs = 0;
  let step: Step = first ?? startPlan(phases, nowMs);
  const notes: string[] = [];
  while (step.state.kind !== 'finished') {
    let event: PlanEvent = { kind: 'done' };
    for (const action of step.actions) {
      if (action.kind === 'note') notes.push(`${action.time.phase} ${action.time.ms}${action.error ? ' failed' : ''}`);
      if (action.kind !== 'perform' && action.kind !== 'undo') continue;
      const name = action.kind === 'perform' ? action.phase : action.undo;
      const isFirst = !done.includes(name);
      done.push(name);
      if (failing.includes(name)) event = { kind: 'failed', error };
      if (aborted.includes(name)) event = { kind: 'done', abort };
      if (isFirst && fenced.includes(name)) event = { kind: 'fenced', error: fence };
    }
    nowMs += 10;
    step = stepPlan(phases, step.state, event, nowMs);
  }
  for (const action of step.actions)
    if (action.kind === 'note') notes.push(`${action.time.phase} ${action.time.ms}${action.error ? ' failed' : ''}`);
  return { done, notes, outcome: step.state.outcome, last: step.actions.at(-1) };
}

t.test('a move goes through its phases in order, and each is timed', async (t) => {
  const { done, notes, outcome, last } = play(phaseNames, {});
  t.same(done, phaseNames);
  t.same(
    notes,
    phaseNames.map((phase) => `${phase} 10`),
  );
  t.same(outcome, { kind: 'moved', warnings: [] });
  t.same(last, { kind: 'finish', outcome });
});

t.test('a failure up to the bind undoes what was begun, the last first, and puts the source back', async (t) => {
  const undos: Readonly<Partial<Record<Phase, readonly string[]>>> = {
    preflight: ['release'],
    quiesce: ['attach', 'release'],
    detach: ['attach', 'release'],
    freeze: ['thaw', 'attach', 'release'],
    transfer: ['thaw', 'attach', 'release'],
    restore: ['abandon', 'thaw', 'attach', 'release'],
    bind: ['thaw', 'attach', 'abandon', 'release'],
  };
  for (const [phase, expected] of Object.entries(undos)) {
    const { done, outcome } = play(phaseNames, { failing: [phase] });
    const begun = phaseNames.slice(0, phaseNames.indexOf(phase as Phase) + 1);
    t.same(done, [...begun, ...expected], phase);
    t.same(outcome, { kind: 'put-back', phase, error });
  }
});

t.test('after the bind nothing is undone: what fails is a warning', async (t) => {
  const { done, outcome, notes } = play(phaseNames, { failing: ['verify', 'retire'] });
  t.same(done, phaseNames);
  t.same(notes.slice(-2), ['verify 10 failed', 'retire 10 failed']);
  t.same(outcome, { kind: 'moved', warnings: [error, error] });
});

t.test('an abort is heard after every phase before the bind, and not from then on', async (t) => {
  for (const phase of ['preflight', 'detach', 'freeze', 'transfer', 'restore'] as const) {
    const { done, outcome } = play(phaseNames, { aborted: [phase] });
    t.same(outcome, { kind: 'put-back', phase, error: abort }, phase);
    t.equal(done.at(-1), 'release');
    t.notOk(done.includes('bind'));
  }
  for (const phase of ['bind', 'verify', 'retire'] as const) {
    t.same(play(phaseNames, { aborted: [phase] }).outcome, { kind: 'moved', warnings: [] }, phase);
  }
});

t.test('a way back that the proxy bars, for it has bound the target, becomes the way forward', async (t) => {
  const { done, outcome } = play(phaseNames, {
    fenced: ['attach'],
    first: resumePlan(phaseNames, 'bind', 'source', error, 0),
  });
  t.same(done, ['thaw', 'attach', 'bind', 'verify', 'retire']);
  t.same(outcome, { kind: 'moved', warnings: [error, fence] });
  t.notOk(done.includes('abandon'), 'the copy lives on');
});

t.test('a target that has bound and gives no answer leaves the move stranded, and nothing is undone', async (t) => {
  const { done, outcome } = play(phaseNames, { fenced: ['bind'] });
  t.same(done.at(-1), 'bind');
  t.same(outcome, { kind: 'stranded', phase: 'bind', error: fence, undoErrors: [] });
});

t.test('a plan that was cut off undoes what was begun, when the source owns the sessions', async (t) => {
  for (const [phase, expected] of [
    ['preflight', ['release']],
    ['freeze', ['thaw', 'attach', 'release']],
    ['restore', ['abandon', 'thaw', 'attach', 'release']],
    ['bind', ['thaw', 'attach', 'abandon', 'release']],
  ] as const) {
    const { done, outcome } = play(phaseNames, { first: resumePlan(phaseNames, phase, 'source', error, 0) });
    t.same(done, expected, phase);
    t.same(outcome, { kind: 'put-back', phase, error });
  }
});

t.test('a plan that was cut off goes on from the bind, when the target owns the sessions', async (t) => {
  const first = resumePlan(phaseNames, 'retire', 'target', error, 0);
  t.same(play(phaseNames, { first }).done, ['bind', 'verify', 'retire']);
  const again = play(phaseNames, { first, failing: ['bind'] });
  t.match(again.outcome, { kind: 'stranded', phase: 'bind' }, 'and never back');
  t.same(again.done, ['bind']);
});

t.test('when an undo fails the others are done all the same, and the workload is not released', async (t) => {
  const { done, outcome } = play(phaseNames, { failing: ['restore', 'thaw'] });
  t.same(done.slice(-3), ['abandon', 'thaw', 'attach']);
  t.same(outcome, { kind: 'stranded', phase: 'restore', error, undoErrors: [error] });
});

t.test('a mover without freezing undoes only what it has', async (t) => {
  const { done } = play(['preflight', 'detach', 'bind', 'verify', 'retire'], { failing: ['bind'] });
  t.same(done, ['preflight', 'detach', 'bind', 'attach', 'release']);
});

t.test('a finished plan takes no more events', async (t) => {
  const finished = { kind: 'finished', outcome: { kind: 'moved', warnings: [] } } as const;
  for (const event of [{ kind: 'done' } as const, { kind: 'failed', error } as const]) {
    t.same(stepPlan(phaseNames, finished, event, 0), { state: finished, actions: [] });
  }
});
