import type { Failure } from './plan.js';

/** The wish that a move be taken back. The first reason counts. */
export class Abort {
  readonly #controller = new AbortController();
  #reason: Failure | undefined;
  #isClosed = false;

  /** Fires with the wish. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }
  get reason(): Failure | undefined {
    return this.#reason;
  }

  /** @returns false when it is too late */
  request(reason: Failure): boolean {
    if (this.#isClosed) return false;
    this.#reason ??= reason;
    this.#controller.abort();
    return true;
  }

  /** From here on it is too late. */
  close(): void {
    this.#isClosed = true;
  }
}
