/**
 * How fast links may bind. After a network has failed all shims come back at once; taken all at once, each of their handshakes
 * gets a small part of the processor, none is done in time, and all begin again. So binds have a rate, with some room for a burst, and
 * whoever comes beyond it is given an appointment: `try-later`, and when. Appointments lie behind one another at the same
 * rate, so those who were sent away come back one by one, in the order in which they came, and nobody waits for longer
 * than those before him need.
 *
 * Pure: the time comes in, the time to wait goes out.
 */
export interface AdmissionLimits {
  readonly bindsPerSecond: number;
  /** Binds that may come at one moment after a time of quiet. */
  readonly bindsAtOnce: number;
  /** So many streams cost as much again as a bind with none: each of them has to be taken up. */
  readonly streamsPerBind: number;
  /** Appointments that are remembered; one more is told the time after the last and begins anew. */
  readonly appointmentsMax: number;
  /** An appointment that nobody keeps is forgotten after this time, milliseconds. */
  readonly appointmentMs: number;
}

/** Timers of two machines: so much too early is in time. */
const earlyMs = 10;

export class Admission {
  readonly #limits: AdmissionLimits;
  /** Who has been told when. In the order of the times. */
  readonly #appointments = new Map<string, number>();
  /** When everything that was let in or promised so far is worked off. */
  #busyUntilMs = Number.NEGATIVE_INFINITY;

  constructor(limits: AdmissionLimits) {
    this.#limits = limits;
  }

  /** Those who are expected. */
  get appointments(): number {
    return this.#appointments.size;
  }

  /**
   * @param key who wants to bind
   * @returns how long to wait before trying again; 0: now
   */
  ask(key: string, streams: number, nowMs: number): number {
    this.#forgetLate(nowMs);
    const appointmentMs = this.#appointments.get(key);
    if (appointmentMs !== undefined) {
      if (appointmentMs > nowMs + earlyMs) return appointmentMs - nowMs;
      this.#appointments.delete(key);
      return 0;
    }
    const { bindsPerSecond, bindsAtOnce, streamsPerBind, appointmentsMax } = this.#limits;
    const bindMs = 1_000 / bindsPerSecond;
    const dueMs = this.#busyUntilMs - (bindsAtOnce - 1) * bindMs;
    if (dueMs > nowMs && this.#appointments.size >= appointmentsMax) return dueMs - nowMs;
    this.#busyUntilMs = Math.max(this.#busyUntilMs, nowMs) + bindMs * (1 + Math.floor(streams / streamsPerBind));
    if (dueMs <= nowMs) return 0;
    this.#appointments.set(key, dueMs);
    return dueMs - nowMs;
  }

  #forgetLate(nowMs: number): void {
    for (const [key, atMs] of this.#appointments) {
      if (atMs + this.#limits.appointmentMs >= nowMs) return;
      this.#appointments.delete(key);
    }
  }
}
