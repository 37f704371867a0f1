/**
 * One toxic on one direction of one connection. Stages stand in a row between two sockets; each takes bytes and the end from the
 * one before it and hands on what it lets through, when it lets it.
 */
import type { Cancel, Clock } from '../../shim/link/index.js';
import { timerMsMax } from './limits.js';

export interface Next {
  push(chunk: Buffer): void;
  /** In order: the source has ended its direction. */
  end(): void;
}

/** What a stage may do besides letting bytes through. */
export interface StageContext {
  readonly clock: Clock;
  /** 0 to 1, from the toxic's seed. */
  random(): number;
  /** It has done something to this connection; counted once. */
  acted(): void;
  /** Ends both directions: with resets, or in order. */
  cut(how: 'reset' | 'close'): void;
}

export abstract class Stage implements Next {
  /** Set before anything is pushed, and again when the row changes. */
  next: Next = { push: () => undefined, end: () => undefined };
  protected readonly context: StageContext;

  constructor(context: StageContext) {
    this.context = context;
  }

  abstract push(chunk: Buffer): void;
  abstract end(): void;
  /** The toxic is removed: what waits here goes on, and nothing comes after it. */
  abstract leave(): void;
  /** The connection is over: nothing goes on. */
  dispose(): void {
    // Most have nothing to give up.
  }
}

interface Planned {
  readonly dueMs: number;
  readonly pass: () => void;
}

/** Passes things on in order, each no sooner than it may. */
export class DelayLine {
  readonly #clock: Clock;
  #planned: Planned[] = [];
  #cancel: Cancel | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** When the last thing in it is due, or now. */
  get lastMs(): number {
    return Math.max(this.#planned.at(-1)?.dueMs ?? 0, this.#clock.now());
  }

  plan(dueMs: number, pass: () => void): void {
    this.#planned.push({ dueMs: Math.max(dueMs, this.lastMs), pass });
    if (this.#planned.length === 1) this.#arm();
  }

  /** Everything at once. */
  flush(): void {
    const planned = this.#planned;
    this.drop();
    for (const { pass } of planned) pass();
  }

  drop(): void {
    this.#cancel?.();
    this.#planned = [];
  }

  #arm(): void {
    const [first] = this.#planned;
    if (first === undefined) return;
    const waitMs = Math.min(timerMsMax, Math.max(0, Math.ceil(first.dueMs - this.#clock.now())));
    this.#cancel = this.#clock.after(waitMs, () => this.#run());
  }

  #run(): void {
    const now = this.#clock.now();
    while (this.#planned[0] !== undefined && this.#planned[0].dueMs <= now) this.#planned.shift()?.pass();
    this.#arm();
  }
}

/** A stage that passes everything on, later. */
export abstract class DelayStage extends Stage {
  protected readonly line: DelayLine;

  constructor(context: StageContext) {
    super(context);
    this.line = new DelayLine(context.clock);
  }

  end(): void {
    this.line.plan(this.line.lastMs, () => this.next.end());
  }
  leave(): void {
    this.line.flush();
  }
  override dispose(): void {
    this.line.drop();
  }

  protected pass(chunk: Buffer, dueMs: number): void {
    this.context.acted();
    this.line.plan(dueMs, () => this.next.push(chunk));
  }
}
