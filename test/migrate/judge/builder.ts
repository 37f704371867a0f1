import type { Action, HistoryEvent, Result } from '../../../migrate/judge/history.js';
import type { Content } from '../../../migrate/judge/judge.js';

/** Writes histories as short as they are told: operations of session 1, one after the other, unless something else is said. */
export class Story {
  readonly events: HistoryEvent[] = [];
  #atMs = 0;

  ok(op: number, action: Action, result: Result = {}, session = 1): this {
    this.begin(op, action, session);
    return this.end(op, result);
  }
  /** Broken off, or with `intended` rolled back by the program. */
  fail(op: number, action: Action, intended = false, session = 1): this {
    this.begin(op, action, session);
    this.events.push({ type: 'fail', op, atMs: this.#next(), intended, error: 'ORA-03113: end-of-file' });
    return this;
  }
  info(op: number, action: Action, session = 1): this {
    this.begin(op, action, session);
    this.events.push({ type: 'info', op, atMs: this.#next(), error: 'NJS-500: closed' });
    return this;
  }
  /** The database was asked about an `info`. */
  settled(op: number, committed: boolean): this {
    this.events.push({ type: 'settled', op, atMs: this.#next(), committed });
    return this;
  }
  begin(op: number, action: Action, session = 1): this {
    this.events.push({ type: 'invoke', op, session, life: 0, action, atMs: this.#next() });
    return this;
  }
  end(op: number, result: Result = {}): this {
    this.events.push({ type: 'ok', op, atMs: this.#next(), result });
    return this;
  }

  #next(): number {
    this.#atMs += 1;
    return this.#atMs;
  }
}

export const nothing: Content = {
  ledger: { entries: [], heads: new Map() },
  bank: { balances: new Map(), transfers: [], opening: 100 },
  batch: [],
  queue: { items: [], takes: [] },
  registers: { values: new Map(), writes: [] },
};
