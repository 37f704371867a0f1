import t from 'tap';
import { type Phase, type PlanEvent, phaseNames, type Step, startPlan, stepPlan } from '../../migrate/plan.js';

const error = { code: 'broken', message: 'it broke' };

/** Runs a plan in which the named phases and undos fail; gives what was done, in order. */
function play(phases: readonly Phase[], failing: readonly string[]) {
  const done: string[] = [];
  let nowMs = 0;
  let step: Step = startPlan(phases, nowMs);
  const notes: string[] = [];
  while (step.state.kind !== 'finished') {
    let event: PlanEvent = { kind: 'done' };
    for (const action of step.actions) {
      if (action.kind === 'note') notes.push(`${action.time.phase} ${action.time.ms}${action.error ? ' failed' : ''}`);
      if (action.kind !== 'perform' && action.kind !== 'undo') continue;
      const name = action.kind === 'perform' ? action.phase : action.undo;
      done.push(name);
      if (failing.includes(name)) event = { kind: 'failed', error };
    }
    nowMs += 10;
    step = stepPlan(phases, step.state, event, nowMs);
  }
  for (const action of step.actions)
    if (action.kind === 'note') notes.push(`${action.time.phase} ${action.time.ms}${action.error ? ' failed' : ''}`);
  return { done, notes, outcome: step.state.outcome, last: step.actions.at(-1) };
}

t.test('a move goes through its phases in order, and each is timed', async (t) => {
  const { done, notes, outcome, last } = play(phaseNames, []);
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
    detach: ['attach', 'release'],
    freeze: ['thaw', 'attach', 'release'],
    transfer: ['thaw', 'attach', 'release'],
    restore: ['abandon', 'thaw', 'attach', 'release'],
    bind: ['abandon', 'thaw', 'attach', 'release'],
  };
  for (const [phase, expected] of Object.entries(undos)) {
    const { done, outcome } = play(phaseNames, [phase]);
    const begun = phaseNames.slice(0, phaseNames.indexOf(phase as Phase) + 1);
    t.same(done, [...begun, ...expected], phase);
    t.same(outcome, { kind: 'put-back', phase, error });
  }
});

t.test('after the bind nothing is undone: what fails is a warning', async (t) => {
  const { done, outcome, notes } = play(phaseNames, ['verify', 'retire']);
  t.same(done, phaseNames);
  t.same(notes.slice(-2), ['verify 10 failed', 'retire 10 failed']);
  t.same(outcome, { kind: 'moved', warnings: [error, error] });
});

t.test('when an undo fails the others are done all the same, and the source counts as stranded', async (t) => {
  const { done, outcome } = play(phaseNames, ['restore', 'thaw']);
  t.same(done.slice(-4), ['abandon', 'thaw', 'attach', 'release']);
  t.same(outcome, { kind: 'stranded', phase: 'restore', error, undoErrors: [error] });
});

t.test('a mover without freezing undoes only what it has', async (t) => {
  const { done } = play(['preflight', 'detach', 'bind', 'verify', 'retire'], ['bind']);
  t.same(done, ['preflight', 'detach', 'bind', 'attach', 'release']);
});

t.test('a finished plan takes no more events', async (t) => {
  const finished = { kind: 'finished', outcome: { kind: 'moved', warnings: [] } } as const;
  for (const event of [{ kind: 'done' } as const, { kind: 'failed', error } as const]) {
    t.same(stepPlan(phaseNames, finished, event, 0), { state: finished, actions: [] });
  }
});
