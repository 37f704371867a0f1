/** What times say about crashes; all are milliseconds of the machine's clock. */

/** When a worker was hit, and how. */
export interface Hit<Kind extends string = string> {
  readonly kind: Kind;
  readonly atMs: number;
  /** What takes its time was over then. */
  readonly untilMs?: number;
}

/** A call, or a transaction: from when to when. */
export type Span = readonly [beganMs: number, endedMs: number];

export interface Spread {
  readonly count: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

/**
 * How long after a hit somebody who makes one call after the other had the first answer that the next worker can have
 * given: that of the first call which began after it. A call that was under way may have been answered by the one before.
 * @param calls in order
 */
export function firstAnswerMs(calls: readonly Span[], hitMs: number): number | undefined {
  let [low, high] = [0, calls.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((calls[middle]?.[0] ?? 0) < hitMs) low = middle + 1;
    else high = middle;
  }
  const ended = calls[low]?.[1];
  return ended === undefined ? undefined : ended - hitMs;
}

/**
 * The longest call of somebody who makes one call after the other, of those that were under way between two moments: how long an
 * upgrade is felt, whose moment nobody outside knows.
 */
export function longestMs(calls: readonly Span[], fromMs: number, toMs: number): number {
  const between = calls.filter(([began, ended]) => began < toMs && ended > fromMs);
  return between.reduce((longest, [began, ended]) => Math.max(longest, ended - began), 0);
}

/** Spans with a hit inside, and the most hits inside of one. */
export function spansHit(
  spans: readonly Span[],
  hits: readonly Hit[],
): { readonly count: number; readonly most: number } {
  const inside = spans.map(([began, ended]) => hits.filter(({ atMs }) => began < atMs && atMs < ended).length);
  return {
    count: inside.filter((count) => count > 0).length,
    most: inside.reduce((most, count) => Math.max(most, count), 0),
  };
}

export function spreadOf(values: readonly number[]): Spread {
  const sorted = values.toSorted((one, other) => one - other);
  const at = (share: number): number =>
    Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0);
  return { count: sorted.length, p50: at(0.5), p99: at(0.99), max: at(1) };
}
