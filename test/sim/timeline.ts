import type { Cancel, Clock } from '../../shim/link/index.js';

interface Entry {
  readonly atMs: number;
  readonly order: number;
  run: (() => void) | undefined;
}

/** A run has some hundred events; one that has so many never comes to its end. */
const eventsMax = 200_000;

/** Virtual time: what is planned happens in order of time, and in order of planning within one moment. A binary heap. */
export class Timeline {
  readonly #heap: Entry[] = [];
  #order = 0;
  #nowMs = 0;
  /** Things that have happened so far. */
  happened = 0;

  get nowMs(): number {
    return this.#nowMs;
  }

  /** For who takes one; nothing on it is left to chance. */
  get clock(): Clock {
    return {
      now: () => this.#nowMs,
      after: (ms, call) => this.at(this.#nowMs + ms, call),
      soon: (call) => void this.at(this.#nowMs, call),
      random: () => 0,
    };
  }

  at(atMs: number, run: () => void): Cancel {
    const entry: Entry = { atMs: Math.max(atMs, this.#nowMs), order: this.#order++, run };
    this.#up(entry);
    return () => {
      entry.run = undefined;
    };
  }

  /** Lets everything happen that is planned up to `untilMs`; `after` is called behind each. */
  runUntil(untilMs: number, after: () => void): void {
    for (let next = this.#heap[0]; next !== undefined && next.atMs <= untilMs; next = this.#heap[0]) {
      this.#removeFirst();
      if (next.run === undefined) continue;
      this.#nowMs = next.atMs;
      this.happened += 1;
      if (this.happened > eventsMax) throw new Error(`more than ${eventsMax} events in one run`);
      next.run();
      after();
    }
    this.#nowMs = untilMs;
  }

  #up(entry: Entry): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(entry);
    while (at > 0) {
      const above = (at - 1) >> 1;
      const parent = heap[above];
      if (parent === undefined || !isBefore(entry, parent)) break;
      heap[at] = parent;
      at = above;
    }
    heap[at] = entry;
  }

  #removeFirst(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let at = 0;
    for (;;) {
      let below = at * 2 + 1;
      let child = heap[below];
      const right = heap[below + 1];
      if (child !== undefined && right !== undefined && isBefore(right, child)) {
        child = right;
        below += 1;
      }
      if (child === undefined || !isBefore(child, last)) break;
      heap[at] = child;
      at = below;
    }
    heap[at] = last;
  }
}

function isBefore(one: Entry, other: Entry): boolean {
  return one.atMs < other.atMs || (one.atMs === other.atMs && one.order < other.order);
}
