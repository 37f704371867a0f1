import { readFileSync } from 'node:fs';

const mebi = 1024 * 1024;
/** What a run may grow by after its warm-up, whatever happens: a garbage collector that has not been yet. */
const growthBytesMax = 12 * mebi;
const growthShareMax = 0.1;
/** With fewer samples nothing can be said: the first third is warm-up, and two halves of the rest are compared. */
const samplesMin = 30;

/** Resident bytes of a process now and at its highest; undefined when it is gone. */
export function residentBytes(pid: number): { readonly now: number; readonly highest: number } | undefined {
  let status: string;
  try {
    status = readFileSync(`/proc/${pid}/status`, 'utf8');
  } catch {
    return undefined;
  }
  const field = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? 0) * 1024;
  return { now: field('VmRSS'), highest: field('VmHWM') };
}

export interface Sample {
  readonly atMs: number;
  readonly bytes: number;
}

export interface Growth {
  readonly firstMiB: number;
  readonly lastMiB: number;
  /** Of the straight line that fits best, after the warm-up. */
  readonly slopeMiBPerMinute: number;
  /** Undefined: the run was too short to say. */
  readonly isFlat: boolean | undefined;
}

/** The criterion, for people. */
export const flatMeans =
  'flat: after the first third of the run, the mean of the second half is not more than 12 MiB and 10 % above that of the first';

export function growthOf(samples: readonly Sample[]): Growth {
  const [first] = samples;
  const last = samples.at(-1);
  const settled = samples.slice(Math.floor(samples.length / 3));
  const half = Math.floor(settled.length / 2);
  const [before, after] = [mean(settled.slice(0, half)), mean(settled.slice(half))];
  const allowed = growthBytesMax + before * growthShareMax;
  return {
    firstMiB: rounded((first?.bytes ?? 0) / mebi),
    lastMiB: rounded((last?.bytes ?? 0) / mebi),
    slopeMiBPerMinute: rounded((slope(settled) * 60_000) / mebi),
    isFlat: samples.length < samplesMin ? undefined : after <= before + allowed,
  };
}

/** Bytes per millisecond, by least squares. */
function slope(samples: readonly Sample[]): number {
  const [atMean, bytesMean] = [mean(samples.map(({ atMs }) => ({ bytes: atMs }))), mean(samples)];
  let [up, down] = [0, 0];
  for (const { atMs, bytes } of samples) {
    up += (atMs - atMean) * (bytes - bytesMean);
    down += (atMs - atMean) ** 2;
  }
  return down === 0 ? 0 : up / down;
}

function mean(samples: readonly { readonly bytes: number }[]): number {
  return samples.reduce((sum, { bytes }) => sum + bytes, 0) / Math.max(1, samples.length);
}

function rounded(value: number): number {
  return Math.round(value * 10) / 10;
}
