import fc from 'fast-check';
import t from 'tap';
import {
  beginHold,
  type HeldSession,
  type HoldAction,
  type HoldEvent,
  type HoldState,
  holdDueMs,
  resumeHold,
  saveHold,
  stepHold,
} from '../../proxy/hold.js';
import { type Activity, activities, type HoldPolicy, type HoldRule, plainPolicy } from '../../proxy/policy/rules.js';

const minute = 60_000;
const budgetMs = { call: 30 * minute, transaction: 20 * minute, idle: 5 * minute };

function session(activity: Activity, more: Partial<HeldSession> = {}): HeldSession {
  return { stream: 1, user: 'APP', service: 'orders', activity, ...more };
}

/** A hold on a virtual clock: ticks come when they are due, as the shell's timer brings them. */
class VirtualHold {
  readonly policy: HoldPolicy;
  state: HoldState;
  nowMs = 1_000;
  /** All actions so far, with the time from the beginning of the hold. */
  readonly done: (HoldAction & { readonly atMs: number })[] = [];
  readonly #beganMs = this.nowMs;

  constructor(rule: Partial<HoldRule>, sessions: readonly HeldSession[], rules: readonly HoldRule[] = []) {
    this.policy = { ...plainPolicy({ budgetMs, ...rule }), rules };
    this.state = beginHold(this.policy, sessions, false, this.nowMs);
  }

  get leftMs(): number {
    return this.state.untilMs - this.nowMs;
  }
  get kinds(): string[] {
    return this.done.map(({ kind }) => kind);
  }
  say(event: HoldEvent): this {
    const { state, actions } = stepHold(this.policy, this.state, event, this.nowMs);
    this.state = state;
    for (const action of actions) this.done.push({ ...action, atMs: this.nowMs - this.#beganMs });
    return this;
  }
  /** Lets time run, to this long after the beginning. */
  until(afterMs: number): this {
    const targetMs = this.#beganMs + afterMs;
    for (let dueMs = holdDueMs(this.state); dueMs !== undefined && dueMs <= targetMs; dueMs = holdDueMs(this.state)) {
      this.nowMs = Math.max(this.nowMs, dueMs);
      this.say({ kind: 'tick' });
    }
    this.nowMs = Math.max(this.nowMs, targetMs);
    return this;
  }
}

t.test('each state has its own budget, and the hold ends when it is over, not a millisecond before', async (t) => {
  for (const activity of activities) {
    const hold = new VirtualHold({}, [session(activity)]);
    hold.until(budgetMs[activity] - 1);
    t.strictSame(hold.done, [], activity);
    hold.until(budgetMs[activity]);
    t.strictSame(hold.done, [{ kind: 'end', atMs: budgetMs[activity] }]);
    t.equal(hold.state.kind, 'ended');
    t.equal(holdDueMs(hold.state), undefined, 'nothing more is due');
  }
});

t.test('a workload is held for as long as any of its sessions', async (t) => {
  const hold = new VirtualHold({}, [
    session('idle'),
    session('call', { stream: 2 }),
    session('transaction', { stream: 3 }),
  ]);
  t.match(hold.state, { activity: 'call' });
  t.equal(hold.leftMs, budgetMs.call);
  t.equal(new VirtualHold({}, []).leftMs, budgetMs.idle, 'without sessions: the budget of idle ones');
});

t.test('a call that ends while the application is away begins the budget of what comes after it', async (t) => {
  const toTransaction = new VirtualHold({}, [session('call')]).until(10 * minute);
  toTransaction.say({ kind: 'changed', sessions: [session('transaction')] });
  t.equal(toTransaction.leftMs, budgetMs.transaction, 'counted from the end of the call');
  toTransaction.until(15 * minute).say({ kind: 'changed', sessions: [session('transaction')] });
  t.equal(toTransaction.leftMs, budgetMs.transaction - 5 * minute, 'nothing new: the clock runs on');
  toTransaction.say({ kind: 'changed', sessions: [session('idle')] });
  t.equal(toTransaction.leftMs, budgetMs.idle, 'its transaction has ended');
  toTransaction.until(60 * minute);
  t.strictSame(toTransaction.done, [{ kind: 'end', atMs: 20 * minute }]);
});

t.test('one session that changes leaves the budgets of the others alone', async (t) => {
  const hold = new VirtualHold({}, [session('call'), session('transaction', { stream: 2 })]).until(2 * minute);
  hold.say({ kind: 'changed', sessions: [session('idle')] });
  t.match(hold.state, { activity: 'transaction' });
  t.equal(hold.leftMs, budgetMs.transaction - 2 * minute);
});

t.test('extending moves the end, from what it is at that moment', async (t) => {
  const hold = new VirtualHold({}, [session('idle')]).until(minute);
  hold.say({ kind: 'extend', byMs: 30 * minute });
  t.equal(hold.leftMs, 34 * minute);
  hold.say({ kind: 'extend', byMs: minute });
  t.equal(hold.leftMs, 35 * minute);
  hold.until(35 * minute).say({ kind: 'changed', sessions: [session('transaction')] });
  t.equal(hold.leftMs, budgetMs.transaction, 'a longer budget counts');
  hold.say({ kind: 'changed', sessions: [session('idle')] });
  t.equal(hold.leftMs, 5 * minute, 'a shorter one does not end it before what was asked for');
  hold.until(2 * 60 * minute);
  t.strictSame(hold.done, [{ kind: 'end', atMs: 40 * minute }]);
});

t.test('a pinned hold has no end; unpinned, its budget starts anew', async (t) => {
  const hold = new VirtualHold({ warnMs: [minute] }, [session('idle')]).until(minute).say({ kind: 'pin' });
  const weekend = 60 * 60 * minute;
  hold.until(weekend);
  t.strictSame([hold.done, holdDueMs(hold.state)], [[], undefined]);
  hold.say({ kind: 'unpin' });
  t.equal(hold.leftMs, budgetMs.idle);
  hold.say({ kind: 'unpin' }).until(2 * weekend);
  t.strictSame(hold.done, [
    { kind: 'warn', leftMs: minute, atMs: weekend + 4 * minute },
    { kind: 'end', atMs: weekend + 5 * minute },
  ]);
});

t.test('a hold of a pinned workload begins pinned, and what its sessions do changes nothing', async (t) => {
  const policy = plainPolicy({ budgetMs });
  const state = beginHold(policy, [session('call')], true, 0);
  t.equal(state.kind, 'pinned');
  const changed = stepHold(policy, state, { kind: 'changed', sessions: [session('idle')] }, 10 * 60 * minute);
  t.match(changed, { state: { kind: 'pinned' }, actions: [] });
  t.match(stepHold(policy, state, { kind: 'tick' }, 10 * 60 * minute), { state: { kind: 'pinned' }, actions: [] });
});

t.test('warnings come with so much left, each once, the earliest first', async (t) => {
  const hold = new VirtualHold({ warnMs: [minute, 10 * minute, 5 * minute] }, [session('transaction')]);
  hold.until(60 * minute);
  t.strictSame(hold.done, [
    { kind: 'warn', leftMs: 10 * minute, atMs: 10 * minute },
    { kind: 'warn', leftMs: 5 * minute, atMs: 15 * minute },
    { kind: 'warn', leftMs: minute, atMs: 19 * minute },
    { kind: 'end', atMs: 20 * minute },
  ]);
});

t.test('a budget that is shorter than a warning time is not warned of at once', async (t) => {
  const hold = new VirtualHold({ warnMs: [10 * minute, minute] }, [session('idle')]);
  hold.until(60 * minute);
  t.strictSame(hold.kinds, ['warn', 'end']);
});

t.test('a hold that is extended after a warning is warned of again', async (t) => {
  const hold = new VirtualHold({ warnMs: [minute] }, [session('idle')]).until(4.5 * minute);
  hold.say({ kind: 'extend', byMs: 10 * minute });
  hold.until(60 * minute);
  t.strictSame(
    hold.done.map(({ kind, atMs }) => [kind, atMs / minute]),
    [
      ['warn', 4],
      ['warn', 14],
      ['end', 15],
    ],
  );
});

t.test('a timer that comes late warns once of what is really left', async (t) => {
  const hold = new VirtualHold({ warnMs: [3 * minute, 2 * minute, minute] }, [session('idle')]);
  hold.nowMs += 3.5 * minute;
  hold.say({ kind: 'tick' });
  t.match(hold.done, [{ kind: 'warn', leftMs: 1.5 * minute }]);
  hold.until(60 * minute);
  t.strictSame(hold.kinds, ['warn', 'warn', 'end']);
});

t.test('alert-and-keep: at the end somebody is told, once, and the sessions stay', async (t) => {
  const hold = new VirtualHold({ atEnd: 'alert-and-keep' }, [session('transaction')]).until(10 * 60 * minute);
  t.strictSame(hold.done, [{ kind: 'alert', atMs: budgetMs.transaction }]);
  t.match(hold.state, { kind: 'overdue' });
  hold.say({ kind: 'extend', byMs: 10 * minute });
  t.match(hold.state, { kind: 'running' });
  t.equal(hold.leftMs, 10 * minute, 'counted from now');
  hold.until(20 * 60 * minute);
  t.strictSame(hold.kinds, ['alert', 'alert']);
});

t.test('a session of an alert-and-keep rule is never closed because another one has a longer budget', async (t) => {
  const keep: HoldRule = {
    ...plainPolicy({ name: 'keep', users: ['BATCH'], atEnd: 'alert-and-keep' }).otherwise,
    budgetMs: { call: minute, transaction: minute, idle: minute },
  };
  const sessions = [session('transaction'), session('transaction', { stream: 2, user: 'batch' })];
  const hold = new VirtualHold({}, sessions, [keep]).until(60 * minute);
  t.strictSame(hold.done, [{ kind: 'alert', atMs: budgetMs.transaction }]);
});

t.test('whatever happens: never ended before its time, never after it, never while pinned', async (t) => {
  const activity = fc.constantFrom(...activities);
  const event: fc.Arbitrary<{ waitMs: number; event: HoldEvent }> = fc.record({
    waitMs: fc.integer({ min: 0, max: 10 * minute }),
    event: fc.oneof(
      fc.record({ kind: fc.constant('extend' as const), byMs: fc.integer({ min: 1, max: 10 * minute }) }),
      fc.record({ kind: fc.constant('pin' as const) }),
      fc.record({ kind: fc.constant('unpin' as const) }),
      fc
        .tuple(activity, fc.integer({ min: 1, max: 3 }))
        .map(([each, stream]) => ({ kind: 'changed' as const, sessions: [session(each, { stream })] })),
    ),
  });
  let ended = 0;
  fc.assert(
    fc.property(fc.array(activity, { maxLength: 3 }), fc.array(event, { maxLength: 20 }), (first, events) => {
      const sessions = first.map((each, index) => session(each, { stream: index + 1 }));
      const hold = new VirtualHold({ warnMs: [4 * minute, minute] }, sessions);
      let elapsedMs = 0;
      for (const { waitMs, event } of events) {
        const { kind, untilMs } = hold.state;
        elapsedMs += waitMs;
        hold.until(elapsedMs);
        const isOver = kind === 'ended' || (kind === 'running' && untilMs <= hold.nowMs);
        if ((hold.state.kind === 'ended') !== isOver) throw new Error(`${hold.state.kind} at ${hold.nowMs}`);
        const floorMs = hold.state.notBeforeMs;
        hold.say(event);
        if (hold.state.notBeforeMs < floorMs) throw new Error('what was asked for was forgotten');
      }
      const ends = hold.kinds.filter((kind) => kind === 'end').length;
      if (ends !== (hold.state.kind === 'ended' ? 1 : 0)) throw new Error(`${ends} ends`);
      if (ends === 1 && hold.kinds.at(-1) !== 'end') throw new Error('something after the end');
      ended += ends;
    }),
    { numRuns: 500 },
  );
  t.ok(ended > 50, `${ended} holds really ended`);
});

t.test('a hold that another process goes on with ends when it would have ended', async (t) => {
  for (const afterMs of [0, 3 * minute, 19 * minute]) {
    const warnMs = [2 * minute];
    const sessions = [session('transaction'), session('idle', { stream: 2 })];
    const hold = new VirtualHold({ warnMs }, sessions).until(afterMs);
    const told = hold.kinds.length;
    hold.state = resumeHold(hold.policy, saveHold(hold.state), sessions, false, hold.nowMs);
    t.equal(hold.leftMs, budgetMs.transaction - afterMs);
    hold.until(budgetMs.transaction);
    t.strictSame(hold.kinds, ['warn', 'end'], `nobody is told twice, or not at all (told before: ${told})`);
  }
});

t.test('a hold whose budget ran out while there was no process ends at once', async (t) => {
  const hold = new VirtualHold({}, [session('idle')]).until(minute);
  const saved = saveHold(hold.state);
  hold.nowMs += 2 * budgetMs.idle;
  hold.state = resumeHold(hold.policy, saved, [session('idle')], false, hold.nowMs);
  t.ok((holdDueMs(hold.state) ?? Number.POSITIVE_INFINITY) <= hold.nowMs);
  t.strictSame(hold.say({ kind: 'tick' }).kinds, ['end']);
});

t.test('what was asked for, and what sessions did meanwhile, counts for a hold that is gone on with', async (t) => {
  const hold = new VirtualHold({}, [session('idle')]).until(minute).say({ kind: 'extend', byMs: 10 * minute });
  const resumed = (more: { sessions?: HeldSession[]; isPinned?: boolean } = {}) =>
    resumeHold(
      hold.policy,
      saveHold(hold.state),
      more.sessions ?? [session('idle')],
      more.isPinned ?? false,
      hold.nowMs,
    );
  t.equal(resumed().untilMs, hold.state.untilMs, 'extended');
  t.equal(resumed({ isPinned: true }).kind, 'pinned');
  t.equal(resumed({ sessions: [session('call')] }).untilMs, hold.nowMs + budgetMs.call, 'in a call from now on');
  t.strictSame([...resumed({ sessions: [session('idle', { stream: 9 })] }).terms.keys()], [9], 'one that has ended');
});
