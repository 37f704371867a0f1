/** Milliseconds of the machine's monotonic clock, which is the same for all processes. */
export function machineMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

/** Values at or below which the given share of all lies. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((one, other) => one - other);
  const index = Math.min(sorted.length - 1, Math.max(0, Math.ceil(sorted.length * share) - 1));
  return sorted[index] ?? 0;
}
