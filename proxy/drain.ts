import type { Logger } from 'pino';
import type { Clock } from '../shim/link/index.js';
import type { Busy, Registry } from './registry.js';

/** How often it is looked whether anything is left to wait for, and how often that is told. */
const lookMs = 200;
const tellMs = 5_000;

export interface DrainOptions {
  readonly registry: Registry;
  readonly waitMs: number;
  /** Resolves when somebody does not want to wait any longer. */
  readonly enough: Promise<unknown>;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * Lets what is under way end before the proxy stops: nothing new begins, and applications that are away may come back and
 * finish. Resolves when no session is held, in a call or in a transaction, or when the time is over, or at once when
 * somebody has had enough. What is left then is for `Registry.stop` to end, and to tell of.
 */
export async function drain({ registry, waitMs, enough, clock, log }: DrainOptions): Promise<void> {
  registry.drain();
  const deadlineMs = clock.now() + waitMs;
  let isEnough = false;
  let wake: () => void = () => undefined;
  void enough.then(() => {
    isEnough = true;
    wake();
  });
  let toldMs = Number.NEGATIVE_INFINITY;
  for (;;) {
    const busy = registry.busy();
    const leftMs = deadlineMs - clock.now();
    if (!isBusy(busy) || leftMs <= 0 || isEnough) return;
    if (clock.now() - toldMs >= tellMs) {
      log.warn({ ...busy, leftMs: Math.round(leftMs) }, 'draining: new sessions are refused, those under way may end');
      toldMs = clock.now();
    }
    await new Promise<void>((resolve) => {
      wake = resolve;
      clock.after(Math.min(lookMs, leftMs), resolve);
    });
  }
}

function isBusy({ heldWorkloads, calls, transactions }: Busy): boolean {
  return heldWorkloads + calls + transactions > 0;
}
