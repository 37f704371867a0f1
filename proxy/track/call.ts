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

import type { Writable } from './writable.js';

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

/** All that a call tracker knows: plain data, from which another one goes on. */
export interface CallState {
  /** Requests sent and not answered. */
  readonly inFlight: number;
  /** Calls since the session began. */
  readonly calls: number;
  readonly pipelined: boolean;
  /** The last call of the pipeline has been sent. */
  readonly pipelineClosing: boolean;
  readonly breakPhase: BreakPhase;
  /** Bytes of the answer to the oldest call in flight have been seen. */
  readonly responding: boolean;
}

export const noCalls: CallState = {
  inFlight: 0,
  calls: 0,
  pipelined: false,
  pipelineClosing: false,
  breakPhase: 'none',
  responding: false,
};

export class CallTracker {
  readonly #at: Writable<CallState>;

  constructor(state: CallState = noCalls) {
    this.#at = { ...state };
  }

  state(): CallState {
    return { ...this.#at };
  }

  get inFlight(): number {
    return this.#at.inFlight;
  }

  /**
   * A request begins. Returns true when it proves that an earlier call ended without our seeing its end: outside a
   * pipeline a driver sends no new request while it reads an answer.
   */
  request(kind: RequestKind): boolean {
    const at = this.#at;
    if (kind === 'one-way') return false;
    if (kind === 'flush') {
      if (at.inFlight === 0) at.inFlight = 1;
      at.responding = false;
      return false;
    }
    const brokenOff = this.#driverGoesOn();
    const missed = !at.pipelined && at.inFlight > 0 && (at.responding || brokenOff);
    if (missed) at.inFlight = 0;
    if (at.inFlight === 0) at.responding = false;
    at.inFlight += 1;
    at.calls += 1;
    if (kind === 'pipeline-begin') at.pipelined = true;
    if (kind === 'pipeline-end') at.pipelineClosing = at.pipelined;
    return missed;
  }

  /**
   * The first bytes of a response. With no call in flight they prove that what looked like the end of the last response was
   * not: its call goes on.
   */
  response(): void {
    this.#at.responding = true;
    if (this.#at.inFlight === 0) this.#at.inFlight = 1;
  }

  /** The response ends, and its call does not: the driver has to send FLUSH_OUT_BINDS. */
  responsePaused(): void {
    this.#at.responding = false;
  }

  responseEnded(): ResponseMeaning {
    const at = this.#at;
    at.responding = false;
    if (at.breakPhase === 'resetting') return 'discarded';
    if (at.breakPhase === 'draining') {
      at.breakPhase = 'none';
      at.inFlight = 0;
      return 'call-ended';
    }
    if (at.inFlight === 0) return 'discarded';
    at.inFlight -= 1;
    if (at.inFlight === 0 && at.pipelineClosing) {
      at.pipelined = false;
      at.pipelineClosing = false;
    }
    return 'call-ended';
  }

  marker(side: MarkerSide, kind: MarkerKind): void {
    if (this.#at.pipelined) return;
    const next = afterMarker(this.#at.breakPhase, side, kind);
    if (next !== this.#at.breakPhase && side === 'database') this.#at.responding = false;
    this.#at.breakPhase = next;
  }

  /**
   * The driver sends a request: whatever handshake we think is going on, the driver knows better. Returns true when an
   * ERROR response must have passed unseen.
   */
  #driverGoesOn(): boolean {
    const phase = this.#at.breakPhase;
    this.#at.breakPhase = 'none';
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
