/**
 * Gives memory back while nothing passes. V8 looks for what nobody needs any more only when its heap has doubled, and moves what is left
 * together only when it is asked to: without this, half of what 10,000 sessions take in a proxy is what was needed while they logged
 * in (docs/performance.md). Asking stops the worker for some 15 us a session, so it is done when nobody waits for it.
 */
import { Session } from 'node:inspector';
import type { Cancel, Clock } from '../shim/link/index.js';
import type { Logger } from '../shim/program/log.js';

export interface IdleLimits {
  /** Nothing has passed for so long, in milliseconds. Longer than what an application that is moved is away as a rule. */
  readonly restMs: number;
  /** The heap has grown by so much since the last time: a share of it, and bytes. More than V8 needs for young objects. */
  readonly growth: number;
  readonly growthBytes: number;
}

export const idleLimits: IdleLimits = { restMs: 2_000, growth: 0.1, growthBytes: 16 * 1024 * 1024 };

export interface IdleOptions {
  readonly limits: IdleLimits;
  /** Of all sessions so far, in both directions. */
  readonly passedBytes: () => number;
  readonly heapBytes: () => number;
  readonly collect: (done: () => void) => void;
  readonly clock: Pick<Clock, 'now' | 'after'>;
  readonly log: Pick<Logger, 'info'>;
}

/** @returns how to stop it */
export function collectWhenIdle({ limits, passedBytes, heapBytes, collect, clock, log }: IdleOptions): Cancel {
  const { restMs, growth, growthBytes } = limits;
  let passed = passedBytes();
  let least = heapBytes();
  let cancel: Cancel;
  const look = (): void => {
    cancel = clock.after(restMs, look);
    const before = passed;
    passed = passedBytes();
    if (passed !== before) return;
    const found = heapBytes();
    least = Math.min(least, found);
    if (found < least * (1 + growth) + growthBytes) return;
    const beganMs = clock.now();
    collect(() => {
      least = heapBytes();
      const ms = Math.round(clock.now() - beganMs);
      log.info({ bytes: found - least, ms }, 'memory was given back while nothing passed');
    });
  };
  cancel = clock.after(restMs, look);
  return () => cancel();
}

/** What the heap of V8 takes: objects, those that nobody needs any more, and the room between them. */
export function heapTotal(): number {
  return process.memoryUsage().heapTotal;
}

/**
 * All that nobody needs goes, and the rest moves together. By the protocol of V8's inspector: there is no other way at run time.
 * It is done in a turn of its own.
 */
export function collectHeap(done: () => void): void {
  const session = new Session();
  session.connect();
  session.post('HeapProfiler.collectGarbage', () => {
    // Not here, inside of its own answer: Node.js 20 never returns from that.
    setImmediate(() => {
      session.disconnect();
      done();
    });
  });
}
