import type { Cancel, Clock } from '../../shim/link/index.js';
import { Random } from '../../shim/program/random.js';
import type { Timeline } from './timeline.js';

/** Something that happened to a process, in a form that can happen to a copy of it too. */
export interface Input<Self> {
  /** On the clock of the process. */
  readonly atMs: number;
  readonly apply: (self: Self) => void;
}

/**
 * A process of the simulation: its clock, its timers, and what comes in from outside. It can be stopped and go on, killed,
 * and its clock can jump. All that happens to it goes through `input`, so a process that is given the same inputs at the same
 * times is an exact copy: that is how an image is restored.
 */
export abstract class Process<Self extends Process<Self>> {
  readonly timeline: Timeline;
  readonly clock: Clock;
  /** Everything that has happened, for images; undefined for processes nobody makes an image of. */
  readonly log: Input<Self>[] | undefined;
  /** True while the past of an image is repeated: nothing gets outside. */
  replaying = false;
  dead = false;
  #frozen = false;
  #offsetMs = 0;
  #replayMs = 0;
  #waiting: ((self: Self) => void)[] = [];
  readonly #timers = new Map<number, { readonly dueMs: number; readonly call: () => void }>();
  #lastTimer = 0;

  protected abstract get self(): Self;

  constructor(timeline: Timeline, seed: number, logs: boolean) {
    this.timeline = timeline;
    this.log = logs ? [] : undefined;
    const random = new Random(seed);
    this.clock = {
      now: () => this.#nowMs,
      after: (ms, call) => this.#after(ms, call),
      soon: (call) => void this.#after(0, call),
      random: () => random.unit(),
    };
  }

  /** How far its clock has jumped. */
  get offsetMs(): number {
    return this.#offsetMs;
  }
  get frozen(): boolean {
    return this.#frozen;
  }

  input(apply: (self: Self) => void): void {
    if (this.dead) return;
    if (this.#frozen) {
      this.#waiting.push(apply);
      return;
    }
    this.log?.push({ atMs: this.#nowMs, apply });
    apply(this.self);
  }

  freeze(): void {
    this.#frozen = true;
  }

  thaw(): void {
    if (!this.#frozen) return;
    this.#frozen = false;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const apply of waiting) this.input(apply);
  }

  /** The clock goes on from another time: the host was suspended, or is another one. */
  jump(ms: number): void {
    this.#offsetMs += ms;
    for (const id of this.#timers.keys()) this.#plan(id);
  }

  /** From here until `replay` has ended the clock shows what it showed the original. */
  protected beginReplay(atMs: number): void {
    this.replaying = true;
    this.#replayMs = atMs;
  }

  /** Becomes a copy of the process that this has happened to; its clock goes on where that of the image stopped. */
  protected replay(inputs: readonly Input<Self>[]): void {
    for (const input of inputs) {
      this.#replayMs = input.atMs;
      this.log?.push(input);
      input.apply(this.self);
    }
    this.#offsetMs = this.#replayMs - this.timeline.nowMs;
    this.replaying = false;
    for (const id of this.#timers.keys()) this.#plan(id);
  }

  get #nowMs(): number {
    return this.replaying ? this.#replayMs : this.timeline.nowMs + this.#offsetMs;
  }

  #after(ms: number, call: () => void): Cancel {
    this.#lastTimer += 1;
    const id = this.#lastTimer;
    this.#timers.set(id, { dueMs: this.#nowMs + ms, call });
    if (!this.replaying) this.#plan(id);
    return () => void this.#timers.delete(id);
  }

  #plan(id: number): void {
    const timer = this.#timers.get(id);
    if (timer !== undefined) this.timeline.at(timer.dueMs - this.#offsetMs, () => this.#ring(id));
  }

  #ring(id: number): void {
    const timer = this.#timers.get(id);
    if (timer === undefined || this.dead) return;
    if (timer.dueMs > this.#nowMs) this.#plan(id);
    else this.input((self) => self.fire(id));
  }

  fire(id: number): void {
    const timer = this.#timers.get(id);
    this.#timers.delete(id);
    timer?.call();
  }
}
