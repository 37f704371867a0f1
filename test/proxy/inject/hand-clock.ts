import type { Cancel, Clock } from '../../../shim/link/index.js';

/** A clock that is turned by hand. */
export class HandClock implements Clock {
  #nowMs = 0;
  readonly #planned = new Map<symbol, { readonly atMs: number; readonly call: () => void }>();

  now(): number {
    return this.#nowMs;
  }
  after(ms: number, call: () => void): Cancel {
    const key = Symbol('planned');
    this.#planned.set(key, { atMs: this.#nowMs + ms, call });
    return () => this.#planned.delete(key);
  }
  soon(call: () => void): void {
    this.after(0, call);
  }
  random(): number {
    return 0.5;
  }

  /** What is due happens, in order of its time. */
  pass(ms: number): void {
    const untilMs = this.#nowMs + ms;
    for (;;) {
      const due = [...this.#planned].filter(([, { atMs }]) => atMs <= untilMs).sort((a, b) => a[1].atMs - b[1].atMs);
      const [first] = due;
      if (first === undefined) break;
      this.#planned.delete(first[0]);
      this.#nowMs = Math.max(this.#nowMs, first[1].atMs);
      first[1].call();
    }
    this.#nowMs = untilMs;
  }
}
