/** Takes back what was planned; harmless when it has happened. */
export type Cancel = () => void;

/**
 * Time, as the shells of the link use it. The runtime's is `systemClock` (socket.ts); test/sim has one that it turns by hand,
 * so that the very same code can be led through hours of faults in a millisecond.
 */
export interface Clock {
  /** Milliseconds of a clock that never goes back, from any origin. */
  now(): number;
  /** Calls once, `ms` milliseconds from now. */
  after(ms: number, call: () => void): Cancel;
  /** Calls once, at the end of this turn of the event loop. */
  soon(call: () => void): void;
  /** 0 to 1, for jitter only: nothing may depend on its being unpredictable. */
  random(): number;
}
