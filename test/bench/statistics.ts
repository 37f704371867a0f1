/** Arithmetic of the benchmark: no clock, no processes. */

/** A quantity that was measured several times. */
export interface Spread {
  readonly median: number;
  readonly low: number;
  readonly high: number;
}

/** @returns NaN for no values */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((one, other) => one - other);
  const middle = Math.floor(sorted.length / 2);
  const [low = Number.NaN, high = Number.NaN] = [sorted[sorted.length % 2 === 0 ? middle - 1 : middle], sorted[middle]];
  return (low + high) / 2;
}

export function spread(values: readonly number[]): Spread {
  return { median: rounded(median(values)), low: rounded(Math.min(...values)), high: rounded(Math.max(...values)) };
}

/**
 * Of two things that were measured in the same rounds: the median of their ratios round by round, since what disturbs a machine
 * for longer than a round disturbs both.
 * @returns undefined when there is no round with both
 */
export function pairedRatio(ones: readonly number[], others: readonly number[]): number | undefined {
  const ratios = ones.slice(0, others.length).map((one, index) => one / (others[index] ?? Number.NaN));
  const usable = ratios.filter((ratio) => Number.isFinite(ratio));
  return usable.length === 0 ? undefined : rounded(median(usable));
}

/** Three digits that count, and never less than what stands before the point. */
export function rounded(value: number): number {
  if (!Number.isFinite(value) || value === 0) return value;
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return Number(value.toFixed(Math.min(digits, 6)));
}

export function sum(values: readonly number[]): number {
  return values.reduce((total, each) => total + each, 0);
}
