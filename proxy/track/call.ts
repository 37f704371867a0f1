/**
 * Calls in flight and the break/reset handshake of one session. Pure, and told whole facts only: what a request is, that a
 * response has begun or ended, which marker passed. track/session.ts finds those facts in the byte stream.
 *
 * Calls are a count, because a pipelining driver sends many before the first answer. One-way functions never count.
 *
 * Break and reset (python-oracledb `_reset`, node-oracledb `networkSession.reset`): either side sends BREAK or INTERRUPT, both
 * send RESET, everything the database sent before its RESET is thrown away by the driver, then one ERROR response follows.
 *
 *                 break (either side)           driver RESET               database RESET
 *     ┌──────┐ ───────────────────────► ┌───────┐ ────────► ┌───────────┐ ─────────────► ┌──────────┐
 *     │ none │                          │ asked │           │ resetting │                │ draining │
 *     └──────┘ ◄─────────────┐          └───────┘           └───────────┘                └──────────┘
 *        ▲   driver goes on  │              │ database RESET                                ▲    │
 *        │   with a request  │              ▼                    driver RESET               │    │
 *        │                   ├────── ┌─────────────┐ ───────────────────────────────────────┘    │
 *        │                   │       │ reset-first │                                             │
 *        │                   │       └─────────────┘               end of the ERROR response      │
 *        └───────────────────┴──────────────────────────────────────────────────────────────────-┘
 *
 * In a pipeline markers take no part in a handshake (the driver goes on reading answers), so they change nothing.
 */

export const breakPhases = ['none', 'asked', 'reset-first', 'resetting', 'draining'] as const;
export type BreakPhase = (typeof breakPhases)[number];

export type MarkerSide = 'driver' | 'database';
/** BREAK and INTERRUPT ask for the same; only their names differ. */
export type MarkerKind = 'break' | 'reset';

/** What a request of the driver turned out to be. */
export type RequestKind =
  /** Will be answered. */
  | 'call'
  /** The first call of a pipeline. */
  | 'pipeline-begin'
  /** The last call of a pipeline. */
  | 'pipeline-end'
  /** Will not be answered. */
  | 'one-way'
  /** The driver's part in FLUSH_OUT_BINDS: the answer to the same call goes on after it. */
  | 'flush';

/** What the end of a response meant. */
export type ResponseMeaning =
  /** A call is over: its status is the session's status. */
  | 'call-ended'
  /** The driver throws this response away (it came before the reset), or it had no content. */
  | 'discarded';

export class CallTracker {
  /** Requests sent and not answered. */
  inFlight = 0;
  /** Calls since the session began. */
  calls = 0;
  pipelined = false;
  breakPhase: BreakPhase = 'none';
  /** Bytes of the answer to the oldest call in flight have been seen. */
  responding = false;
  #pipelineClosing = false;

  /**
   * A request begins. Returns true when it proves that an earlier call ended without our seeing its end: outside a
   * pipeline a driver sends no new request while it reads an answer.
   */
  request(kind: RequestKind): boolean {
    if (kind === 'one-way') return false;
    if (kind === 'flush') {
      if (this.inFlight === 0) this.inFlight = 1;
      this.responding = false;
      return false;
    }
    const brokenOff = this.#driverGoesOn();
    const missed = !this.pipelined && this.inFlight > 0 && (this.responding || brokenOff);
    if (missed) this.inFlight = 0;
    if (this.inFlight === 0) this.responding = false;
    this.inFlight += 1;
    this.calls += 1;
    if (kind === 'pipeline-begin') this.pipelined = true;
    if (kind === 'pipeline-end') this.#pipelineClosing = this.pipelined;
    return missed;
  }

  /**
   * The first bytes of a response. With no call in flight they prove that what looked like the end of the last response was
   * not: its call goes on.
   */
  response(): void {
    this.responding = true;
    if (this.inFlight === 0) this.inFlight = 1;
  }

  responseEnded(): ResponseMeaning {
    this.responding = false;
    if (this.breakPhase === 'resetting') return 'discarded';
    if (this.breakPhase === 'draining') {
      this.breakPhase = 'none';
      this.inFlight = 0;
      return 'call-ended';
    }
    if (this.inFlight === 0) return 'discarded';
    this.inFlight -= 1;
    if (this.inFlight === 0 && this.#pipelineClosing) {
      this.pipelined = false;
      this.#pipelineClosing = false;
    }
    return 'call-ended';
  }

  marker(side: MarkerSide, kind: MarkerKind): void {
    if (this.pipelined) return;
    const next = afterMarker(this.breakPhase, side, kind);
    if (next !== this.breakPhase && side === 'database') this.responding = false;
    this.breakPhase = next;
  }

  /**
   * The driver sends a request: whatever handshake we think is going on, the driver knows better. Returns true when an
   * ERROR response must have passed unseen.
   */
  #driverGoesOn(): boolean {
    const phase = this.breakPhase;
    this.breakPhase = 'none';
    return phase === 'draining' || phase === 'resetting';
  }
}

/** The handshake as a table; see the drawing above. Extra RESETs of a database are harmless (some send several). */
export function afterMarker(phase: BreakPhase, side: MarkerSide, kind: MarkerKind): BreakPhase {
  if (kind === 'break') return phase === 'none' || (phase === 'draining' && side === 'driver') ? 'asked' : phase;
  if (side === 'driver') return phase === 'reset-first' || phase === 'draining' ? 'draining' : 'resetting';
  switch (phase) {
    case 'none':
    case 'asked':
    case 'reset-first':
      return 'reset-first';
    case 'resetting':
    case 'draining':
      return 'draining';
  }
}
