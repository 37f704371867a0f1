import t from 'tap';
import { Lifecycle, type LifecycleAction, type LifecycleEvent } from '../../../proxy/keeper/lifecycle.js';
import { defaultKeeperLimits } from '../../../proxy/keeper/limits.js';

const limits = { ...defaultKeeperLimits, crashesMax: 4 };

/** A lifecycle with a clock that a test moves. Actions are written short: `fork 1`, `tell crashed 1`. */
class Watch {
  readonly lifecycle = new Lifecycle(limits);
  nowMs = 1_000;

  begin(): string[] {
    return this.lifecycle.begin('/a', false, this.nowMs).map(short);
  }
  on(event: LifecycleEvent): string[] {
    return this.lifecycle.step(event, this.nowMs).map(short);
  }
  says(worker: number, kind: 'ready' | 'serving' | 'heard' | 'released'): string[] {
    return this.on({ kind, worker });
  }
  dies(worker: number): string[] {
    return this.on({ kind: 'exited', worker, code: 1, why: 'signal SIGKILL' });
  }
  /** Until the next deadline. */
  waits(): string[] {
    this.nowMs = this.lifecycle.deadlineMs ?? this.nowMs;
    return this.on({ kind: 'tick' });
  }
  serve(worker: number): this {
    this.says(worker, 'ready');
    this.says(worker, 'serving');
    return this;
  }
  get kind(): string {
    return this.lifecycle.state.kind;
  }
}

function short(action: LifecycleAction): string {
  if (action.kind === 'fork') return `fork ${action.worker.number} ${action.worker.program}`;
  if (action.kind === 'tell') return `tell ${action.alarm}`;
  if (action.kind === 'renewed') return 'renewed';
  return action.kind === 'exit' ? `exit ${action.code}` : `${action.kind} ${action.worker}`;
}

function serving(): Watch {
  const watch = new Watch();
  watch.begin();
  return watch.serve(1);
}

t.test('a worker gets the sockets when it is ready, and serves when it says so', (t) => {
  const watch = new Watch();
  t.strictSame(watch.begin(), ['fork 1 /a']);
  t.strictSame(watch.says(1, 'serving'), [], 'too early');
  t.strictSame(watch.says(1, 'ready'), ['hand-over 1']);
  t.strictSame(watch.says(2, 'serving'), [], 'nobody knows that one');
  t.strictSame(watch.says(1, 'serving'), []);
  t.equal(watch.kind, 'serving');
  t.end();
});

t.test('a program that never served ends with the code of its worker: its options are wrong, not its luck', (t) => {
  const watch = new Watch();
  watch.begin();
  t.strictSame(watch.on({ kind: 'exited', worker: 1, code: 2, why: 'exit code 2' }), ['exit 2']);
  t.end();
});

t.test('the first crash is answered at once, more of them after longer and longer pauses, too many not at all', (t) => {
  const watch = serving();
  t.strictSame(watch.dies(1), ['tell crashed', 'fork 2 /a']);
  const pausesMs: number[] = [];
  for (let worker = 2; worker < 4; worker++) {
    watch.serve(worker);
    t.strictSame(watch.dies(worker), ['tell crashed']);
    const beganMs = watch.nowMs;
    t.strictSame(watch.waits(), [`fork ${worker + 1} /a`]);
    pausesMs.push(watch.nowMs - beganMs);
  }
  t.strictSame(pausesMs, [100, 200]);
  t.strictSame(watch.dies(4), ['tell crashed', 'tell crash-loop']);
  t.equal(watch.kind, 'holding');
  t.equal(watch.lifecycle.deadlineMs, undefined, 'it waits for an operator');
  t.strictSame(watch.on({ kind: 'upgrade', program: '/a' }), ['fork 5 /a']);
  t.end();
});

t.test('a worker that was healthy for a while has its crashes forgiven', (t) => {
  const watch = serving();
  watch.dies(1);
  watch.serve(2);
  watch.nowMs += limits.healthyMs;
  watch.says(2, 'heard');
  t.strictSame(watch.dies(2), ['tell crashed', 'fork 3 /a'], 'as the first one');
  t.end();
});

t.test('who is waited for in vain is killed, and nothing goes on before it is dead', (t) => {
  const watch = serving();
  watch.nowMs += limits.silenceMs - 1;
  t.strictSame(watch.on({ kind: 'tick' }), [], 'not yet');
  t.strictSame(watch.says(1, 'heard'), []);
  t.strictSame(watch.waits(), ['tell hangs', 'kill 1']);
  t.strictSame(watch.waits(), ['tell hangs', 'kill 1'], 'a kernel may take its time');
  t.strictSame(watch.dies(1), ['tell crashed', 'fork 2 /a']);
  t.strictSame(watch.waits(), ['tell late', 'kill 2'], 'was not ready');
  t.strictSame(watch.dies(2), ['tell crashed']);
  watch.waits();
  watch.says(3, 'ready');
  t.strictSame(watch.waits(), ['tell late', 'kill 3'], 'did not take over');
  t.end();
});

t.test('an upgrade: the next worker is ready before the old one lets go, and then takes over', (t) => {
  const watch = serving();
  t.strictSame(watch.on({ kind: 'upgrade', program: '/b' }), ['fork 2 /b']);
  t.strictSame(watch.on({ kind: 'upgrade', program: '/c' }), [], 'one at a time');
  t.strictSame(watch.says(2, 'ready'), ['release 1']);
  t.strictSame(watch.says(1, 'released'), ['hand-over 2']);
  t.strictSame(watch.dies(1), [], 'as it should');
  t.strictSame(watch.says(2, 'serving'), ['tell upgraded']);
  t.strictSame(watch.dies(2), ['tell crashed', 'fork 3 /b'], 'from now on it is this program');
  t.end();
});

t.test('an upgrade that fails goes back, from wherever it was', (t) => {
  const upgrading = () => {
    const watch = serving();
    watch.on({ kind: 'upgrade', program: '/b' });
    return watch;
  };
  const early = upgrading();
  t.strictSame(early.dies(2), ['tell upgrade-failed']);
  t.match(early.lifecycle.state, { kind: 'serving', worker: { number: 1 } });

  const slow = upgrading();
  t.strictSame(slow.waits(), ['tell late', 'kill 2']);
  t.strictSame(slow.dies(2), ['tell upgrade-failed']);
  t.match(slow.lifecycle.state, { kind: 'serving', worker: { number: 1 } });

  const between = upgrading();
  between.says(2, 'ready');
  t.strictSame(between.dies(2), ['tell upgrade-failed']);
  t.strictSame(between.says(1, 'released'), ['fork 3 /a'], 'it had let go by then');

  const late = upgrading();
  late.says(2, 'ready');
  late.says(1, 'released');
  t.strictSame(late.dies(2), ['tell upgrade-failed', 'fork 3 /a']);

  const stuck = upgrading();
  stuck.says(2, 'ready');
  t.strictSame(stuck.waits(), ['tell late', 'kill 1'], 'does not let go');
  t.strictSame(stuck.dies(1), ['hand-over 2']);

  const unlucky = upgrading();
  t.strictSame(unlucky.dies(1), ['tell crashed'], 'the old one dies while the next one is loading');
  t.strictSame(unlucky.says(2, 'ready'), ['hand-over 2']);
  t.end();
});

t.test('a stop waits for every worker; asked again, it asks again', (t) => {
  const watch = serving();
  watch.on({ kind: 'upgrade', program: '/b' });
  t.strictSame(watch.on({ kind: 'stop' }), ['kill 2', 'stop 1']);
  t.strictSame(watch.on({ kind: 'stop' }), ['stop 1', 'stop 2']);
  t.strictSame(watch.dies(2), []);
  t.strictSame(watch.dies(1), ['exit 0']);
  const held = serving();
  for (let worker = 1; held.kind !== 'holding'; worker++) {
    held.dies(worker);
    if (held.kind === 'backing-off') held.waits();
  }
  t.strictSame(held.on({ kind: 'stop' }), ['exit 0'], 'nobody to wait for');
  t.end();
});

t.test('a keeper becomes another program when its worker has let go and is gone, and goes on where that fails', (t) => {
  const watch = serving();
  t.strictSame(watch.on({ kind: 'renew' }), ['release 1']);
  t.strictSame(watch.says(1, 'released'), [], 'it is still there');
  t.strictSame(watch.dies(1), ['renewed']);
  t.equal(watch.kind, 'renewed');
  t.equal(watch.lifecycle.deadlineMs, undefined, 'other slots may not be so far');
  t.strictSame(watch.on({ kind: 'upgrade', program: '/b' }), [], 'nobody serves');
  t.strictSame(watch.on({ kind: 'go-on' }), ['fork 2 /a']);
  t.equal(watch.kind, 'starting');
  t.strictSame(watch.on({ kind: 'go-on' }), [], 'once');
  t.strictSame(watch.on({ kind: 'renew' }), [], 'there is nothing to renew while no worker serves');
  watch.serve(2);
  watch.on({ kind: 'renew' });
  t.strictSame(watch.waits(), ['tell late', 'kill 2'], 'one that does not let go is killed');
  watch.dies(2);
  t.strictSame(watch.on({ kind: 'stop' }), ['exit 0'], 'there is no worker to wait for');
  t.end();
});

t.test('a keeper that was given sockets does not give up when its first worker fails', (t) => {
  const lifecycle = new Lifecycle(limits);
  lifecycle.begin('/a', true, 0);
  const actions = lifecycle.step({ kind: 'exited', worker: 1, code: 1, why: 'exit code 1' }, 1);
  t.strictSame(actions.map(short), ['tell crashed', 'fork 2 /a']);
  t.end();
});
