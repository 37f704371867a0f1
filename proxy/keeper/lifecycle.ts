import { assertNever } from '../../shim/program/errors.js';
import type { KeeperLimits } from './limits.js';

/**
 * Which worker serves, and what happens when it does not any more. Pure: events and the time in, the next state and
 * actions out.
 *
 *   starting ──ready──> taking-over ──serving──> serving ──upgrade──> upgrading ──ready──> releasing
 *      ^  ^                  |                    ^  |                    |                    |
 *      |  |      exited, too late                 |  └─ exited, silent    └─ fails: goes back  | released, exited, too late
 *      |  └── backing-off <──┘                    |         |                                  v
 *      |          |                               └─────────┼────────────────────────── taking-over (the next)
 *    upgrade      v crashesMax in a row                     v
 *      └────── holding                                 backing-off
 *
 * renewing ──exited──> renewed ──go-on──> starting: in `renewed` no worker has the sockets, and this process may be replaced.
 *
 * Exactly one worker holds the sessions at any time: the next one gets them when the one before has let go or is dead. In
 * `holding` the sockets are kept and nothing is forwarded; an operator has been told, and says when to try again.
 */
export type LifecycleState =
  | ({ readonly kind: 'starting' } & Attempt)
  /** `before`: the program to go back to when this one fails. */
  | ({ readonly kind: 'taking-over'; readonly before: string | undefined } & Attempt)
  | {
      readonly kind: 'serving';
      readonly worker: Worker;
      readonly crashes: number;
      readonly sinceMs: number;
      readonly untilMs: number;
    }
  | { readonly kind: 'upgrading'; readonly worker: Worker; readonly next: Worker; readonly untilMs: number }
  /** Without a next one, another of the old program follows. */
  | { readonly kind: 'releasing'; readonly worker: Worker; readonly next: Worker | undefined; readonly untilMs: number }
  /** The worker lets go, and then the keeper becomes another program. */
  | { readonly kind: 'renewing'; readonly worker: Worker; readonly untilMs: number }
  | { readonly kind: 'renewed'; readonly program: string }
  | { readonly kind: 'backing-off'; readonly program: string; readonly crashes: number; readonly untilMs: number }
  | { readonly kind: 'holding'; readonly program: string }
  /** Workers that have not exited yet. */
  | { readonly kind: 'stopping'; readonly left: readonly Worker[] };

interface Attempt {
  readonly worker: Worker;
  /** In a row, before this one. */
  readonly crashes: number;
  readonly untilMs: number;
}

/** One process, and the program it was started from. */
export interface Worker {
  readonly number: number;
  readonly program: string;
}

export type LifecycleEvent =
  /** The worker could serve: everything it needs is loaded and checked. */
  | { readonly kind: 'ready'; readonly worker: number }
  /** It has all sessions and goes on with them. */
  | { readonly kind: 'serving'; readonly worker: number }
  /** It has said anything at all, and so is alive. */
  | { readonly kind: 'heard'; readonly worker: number }
  /** It has let go of all sessions in order. */
  | { readonly kind: 'released'; readonly worker: number }
  | { readonly kind: 'exited'; readonly worker: number; readonly code: number; readonly why: string }
  /** An operator wants a worker of this program, or has mended what was wrong. */
  | { readonly kind: 'upgrade'; readonly program: string }
  /** An operator wants the keeper itself to be the program that is installed now. */
  | { readonly kind: 'renew' }
  /** The keeper has not become another program. */
  | { readonly kind: 'go-on' }
  | { readonly kind: 'stop' }
  | { readonly kind: 'tick' };

export type Alarm = 'crashed' | 'hangs' | 'late' | 'upgrade-failed' | 'crash-loop' | 'upgraded';

export type LifecycleAction =
  | { readonly kind: 'fork'; readonly worker: Worker }
  /** Give it every socket that is kept. */
  | { readonly kind: 'hand-over'; readonly worker: number }
  /** It shall put everything in order and let go. */
  | { readonly kind: 'release'; readonly worker: number }
  | { readonly kind: 'kill'; readonly worker: number }
  /** It shall end all sessions and exit. */
  | { readonly kind: 'stop'; readonly worker: number }
  | { readonly kind: 'tell'; readonly alarm: Alarm; readonly worker: number | undefined; readonly why: string }
  /** This process may become another program; where it does not, it is told to go on. */
  | { readonly kind: 'renewed' }
  | { readonly kind: 'exit'; readonly code: number };

type Exited = Extract<LifecycleEvent, { kind: 'exited' }>;

/** Events in, actions out, in the order in which they are to be done. */
export class Lifecycle {
  readonly #limits: KeeperLimits;
  #state: LifecycleState = { kind: 'stopping', left: [] };
  #lastNumber = 0;
  /** No worker has served yet: there is nothing to keep, and whoever starts this program wants to know. */
  #isFirst = true;

  constructor(limits: KeeperLimits) {
    this.#limits = limits;
  }

  get state(): LifecycleState {
    return this.#state;
  }

  /** When `tick` is wanted if nothing happens before; undefined for never. */
  get deadlineMs(): number | undefined {
    return 'untilMs' in this.#state ? this.#state.untilMs : undefined;
  }

  /** The first worker. @param hasSockets there is something to keep already */
  begin(program: string, hasSockets: boolean, nowMs: number): readonly LifecycleAction[] {
    this.#isFirst = !hasSockets;
    return this.#start(program, 0, nowMs);
  }

  /** What a worker says that has no part in the present state is not listened to. */
  step(event: LifecycleEvent, nowMs: number): readonly LifecycleAction[] {
    switch (event.kind) {
      case 'ready':
        return this.#ready(event.worker, nowMs);
      case 'serving':
        return this.#serving(event.worker, nowMs);
      case 'heard':
        return this.#heard(event.worker, nowMs);
      case 'released':
        return this.#released(event.worker, nowMs);
      case 'exited':
        return this.#exited(event, nowMs);
      case 'upgrade':
        return this.#upgrade(event.program, nowMs);
      case 'renew':
        return this.#renew(nowMs);
      case 'go-on':
        return this.#state.kind === 'renewed' ? this.#start(this.#state.program, 0, nowMs) : [];
      case 'stop':
        return this.#stop();
      case 'tick':
        return this.#tick(nowMs);
      default:
        return assertNever(event);
    }
  }

  #start(program: string, crashes: number, nowMs: number): LifecycleAction[] {
    const worker = { number: ++this.#lastNumber, program };
    this.#state = { kind: 'starting', worker, crashes, untilMs: nowMs + this.#limits.readyMs };
    return [{ kind: 'fork', worker }];
  }

  #takeOver(worker: Worker, crashes: number, before: string | undefined, nowMs: number): LifecycleAction[] {
    this.#state = { kind: 'taking-over', worker, crashes, before, untilMs: nowMs + this.#limits.takeOverMs };
    return [{ kind: 'hand-over', worker: worker.number }];
  }

  #ready(number: number, nowMs: number): LifecycleAction[] {
    const state = this.#state;
    if (state.kind === 'starting' && state.worker.number === number) {
      return this.#takeOver(state.worker, state.crashes, undefined, nowMs);
    }
    if (state.kind !== 'upgrading' || state.next.number !== number) return [];
    const { worker, next } = state;
    this.#state = { kind: 'releasing', worker, next, untilMs: nowMs + this.#limits.releaseMs };
    return [{ kind: 'release', worker: worker.number }];
  }

  #serving(number: number, nowMs: number): LifecycleAction[] {
    const state = this.#state;
    if (state.kind !== 'taking-over' || state.worker.number !== number) return [];
    const { worker, crashes, before } = state;
    this.#isFirst = false;
    this.#state = { kind: 'serving', worker, crashes, sinceMs: nowMs, untilMs: nowMs + this.#limits.silenceMs };
    return before === undefined ? [] : [tell('upgraded', worker, `${worker.program} serves`)];
  }

  #heard(number: number, nowMs: number): LifecycleAction[] {
    const state = this.#state;
    if (state.kind !== 'serving' || state.worker.number !== number) return [];
    this.#state = { ...state, untilMs: nowMs + this.#limits.silenceMs };
    return [];
  }

  #released(number: number, nowMs: number): LifecycleAction[] {
    const state = this.#state;
    if (state.kind !== 'releasing' || state.worker.number !== number) return [];
    const { worker, next } = state;
    if (next === undefined) return this.#start(worker.program, 0, nowMs);
    return this.#takeOver(next, 0, worker.program, nowMs);
  }

  #exited(event: Exited, nowMs: number): LifecycleAction[] {
    const { worker: number, code, why } = event;
    const state = this.#state;
    switch (state.kind) {
      case 'starting':
      case 'serving':
        if (state.worker.number !== number) return [];
        if (this.#isFirst) return [{ kind: 'exit', code }];
        return [
          tell('crashed', state.worker, why),
          ...this.#again(state.worker.program, this.#inRow(state, nowMs), nowMs),
        ];
      case 'taking-over':
        if (state.worker.number !== number) return [];
        if (this.#isFirst) return [{ kind: 'exit', code }];
        return this.#failedTakeOver(state, why, nowMs);
      case 'upgrading':
        if (state.next.number === number) return this.#goOn(state.worker, state.next, why, nowMs);
        if (state.worker.number !== number) return [];
        // It died by itself; the next one is nearly there, and takes over when it is ready.
        this.#state = { kind: 'starting', worker: state.next, crashes: 1, untilMs: state.untilMs };
        return [tell('crashed', state.worker, why)];
      case 'releasing':
        // What it has put down until then is as good as after a crash.
        if (state.worker.number === number) return this.#released(number, nowMs);
        if (state.next?.number !== number) return [];
        this.#state = { ...state, next: undefined };
        return [tell('upgrade-failed', state.next, why)];
      case 'renewing':
        if (state.worker.number !== number) return [];
        this.#state = { kind: 'renewed', program: state.worker.program };
        return [{ kind: 'renewed' }];
      case 'renewed':
      case 'backing-off':
      case 'holding':
        return [];
      case 'stopping': {
        const left = state.left.filter((worker) => worker.number !== number);
        this.#state = { kind: 'stopping', left };
        return left.length === 0 ? [{ kind: 'exit', code: 0 }] : [];
      }
      default:
        return assertNever(state);
    }
  }

  /** With this one. */
  #inRow(state: Extract<LifecycleState, { kind: 'starting' | 'serving' }>, nowMs: number): number {
    const wasHealthy = state.kind === 'serving' && nowMs - state.sinceMs >= this.#limits.healthyMs;
    return wasHealthy ? 1 : state.crashes + 1;
  }

  #failedTakeOver(
    { worker, crashes, before }: Extract<LifecycleState, { kind: 'taking-over' }>,
    why: string,
    nowMs: number,
  ): LifecycleAction[] {
    if (before === undefined) return [tell('crashed', worker, why), ...this.#again(worker.program, crashes + 1, nowMs)];
    return [tell('upgrade-failed', worker, why), ...this.#start(before, 0, nowMs)];
  }

  /** The old worker has noticed nothing of an upgrade that failed. */
  #goOn(worker: Worker, next: Worker, why: string, nowMs: number): LifecycleAction[] {
    const { silenceMs } = this.#limits;
    this.#state = { kind: 'serving', worker, crashes: 0, sinceMs: nowMs, untilMs: nowMs + silenceMs };
    return [tell('upgrade-failed', next, why)];
  }

  /** The first restart comes at once; then they become rarer; in the end there are no more. */
  #again(program: string, crashes: number, nowMs: number): LifecycleAction[] {
    const { backOffMs, backOffMsMax, crashesMax } = this.#limits;
    if (crashes === 1) return this.#start(program, crashes, nowMs);
    if (crashes >= crashesMax) {
      this.#state = { kind: 'holding', program };
      const why = `${crashes} workers in a row have died; sessions are held, and nothing is forwarded`;
      return [{ kind: 'tell', alarm: 'crash-loop', worker: undefined, why }];
    }
    const pauseMs = Math.min(backOffMsMax, backOffMs * 2 ** (crashes - 2));
    this.#state = { kind: 'backing-off', program, crashes, untilMs: nowMs + pauseMs };
    return [];
  }

  #upgrade(program: string, nowMs: number): LifecycleAction[] {
    const state = this.#state;
    if (state.kind === 'holding' || state.kind === 'backing-off') return this.#start(program, 0, nowMs);
    if (state.kind !== 'serving') return [];
    const next = { number: ++this.#lastNumber, program };
    this.#state = { kind: 'upgrading', worker: state.worker, next, untilMs: nowMs + this.#limits.readyMs };
    return [{ kind: 'fork', worker: next }];
  }

  /** Only when all is well: with sockets that no worker has, nobody would know whether the next keeper can do better. */
  #renew(nowMs: number): LifecycleAction[] {
    const state = this.#state;
    if (state.kind !== 'serving') return [];
    this.#state = { kind: 'renewing', worker: state.worker, untilMs: nowMs + this.#limits.releaseMs };
    return [{ kind: 'release', worker: state.worker.number }];
  }

  /** Asked a second time, it asks a second time: a worker that drains then ends at once. */
  #stop(): LifecycleAction[] {
    const state = this.#state;
    if (state.kind === 'stopping') return state.left.map(({ number }) => ({ kind: 'stop', worker: number }));
    if (!('worker' in state)) return [{ kind: 'exit', code: 0 }];
    const next = 'next' in state ? state.next : undefined;
    this.#state = { kind: 'stopping', left: next === undefined ? [state.worker] : [state.worker, next] };
    return [...killed(next), { kind: 'stop', worker: state.worker.number }];
  }

  /** Who is waited for in vain is killed, and its end is waited for: until then it may still touch a socket. */
  #tick(nowMs: number): LifecycleAction[] {
    const state = this.#state;
    if (!('untilMs' in state) || nowMs < state.untilMs) return [];
    if (state.kind === 'backing-off') return this.#start(state.program, state.crashes, nowMs);
    this.#state = { ...state, untilMs: nowMs + this.#limits.killMs };
    const worker = state.kind === 'upgrading' ? state.next : state.worker;
    const alarm = state.kind === 'serving' ? 'hangs' : 'late';
    return [tell(alarm, worker, waitedFor[state.kind]), ...killed(worker)];
  }
}

const waitedFor = {
  starting: 'it was not ready in time',
  'taking-over': 'it did not take over in time',
  serving: 'it has said nothing for too long',
  upgrading: 'it was not ready in time',
  releasing: 'it did not let go in time',
  renewing: 'it did not let go in time',
} as const;

function killed(worker: Worker | undefined): LifecycleAction[] {
  return worker === undefined ? [] : [{ kind: 'kill', worker: worker.number }];
}

function tell(alarm: Alarm, worker: Worker, why: string): LifecycleAction {
  return { kind: 'tell', alarm, worker: worker.number, why };
}
