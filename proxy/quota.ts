import { BackendError } from './backend/errors.js';

/**
 * How many database sessions there may be: in all, of one workload (by its name: lives of it that are held count too), and of
 * one database user. What Oracle itself limits (SESSIONS_PER_USER in a profile) is per user too, but counts also whom the proxy
 * does not know; here it is about one application that must not use up what all share.
 */
export interface QuotaLimits {
  readonly sessionsMax: number;
  readonly sessionsPerWorkloadMax: number;
  readonly sessionsPerUserMax: number;
}

/** The place of one session, as it knows it. */
export type SessionPlace = Pick<Place, 'refused' | 'loggedIn'>;

export class Quota {
  readonly #limits: QuotaLimits;
  #sessions = 0;
  readonly #ofWorkload = new Counts();
  readonly #ofUser = new Counts();
  #isClosed = false;

  constructor(limits: QuotaLimits) {
    this.#limits = limits;
  }

  get sessions(): number {
    return this.#sessions;
  }

  /** From now on there is no place for anybody; those that have one keep it. */
  close(): void {
    this.#isClosed = true;
  }

  /** @returns a place that counts until it is closed, also when it is one too many: its driver is still there */
  open(workload: string): Place {
    const { sessionsMax, sessionsPerWorkloadMax } = this.#limits;
    this.#sessions += 1;
    const ofWorkload = this.#ofWorkload.add(workload);
    let refused: BackendError | undefined;
    if (this.#isClosed) refused = new BackendError('proxy-stopping', 'the proxy is being stopped');
    else if (this.#sessions > sessionsMax) refused = full(`more than ${sessionsMax} sessions at this proxy`);
    else if (ofWorkload > sessionsPerWorkloadMax) {
      refused = full(`more than ${sessionsPerWorkloadMax} sessions of ${workload}`);
    }
    return new Place(this, workload, refused);
  }

  /** For places. @returns why the session must not stay */
  loggedIn(user: string): string | undefined {
    const { sessionsPerUserMax } = this.#limits;
    return this.#ofUser.add(user) > sessionsPerUserMax
      ? `more than ${sessionsPerUserMax} sessions of database user ${user}`
      : undefined;
  }

  /** For places. */
  closed(workload: string, user: string | undefined): void {
    this.#sessions -= 1;
    this.#ofWorkload.remove(workload);
    if (user !== undefined) this.#ofUser.remove(user);
  }
}

/** The place of one session. */
export class Place {
  /** Why there is none for it: the driver is told as a listener would do it. */
  readonly refused: BackendError | undefined;
  readonly #quota: Quota;
  readonly #workload: string;
  #user: string | undefined;
  #isOpen = true;

  constructor(quota: Quota, workload: string, refused: BackendError | undefined) {
    this.refused = refused;
    this.#quota = quota;
    this.#workload = workload;
  }

  /** The session is this user's. @returns why it must not stay */
  loggedIn(user: string): string | undefined {
    if (!this.#isOpen || this.#user !== undefined) return undefined;
    // Oracle folds names too; drivers send them as the application wrote them.
    this.#user = user.toUpperCase();
    return this.#quota.loggedIn(this.#user);
  }

  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#quota.closed(this.#workload, this.#user);
  }
}

function full(why: string): BackendError {
  return new BackendError('proxy-sessions', why);
}

/** Forgets those of whom there are none. */
class Counts {
  readonly #counts = new Map<string, number>();

  add(name: string): number {
    const count = (this.#counts.get(name) ?? 0) + 1;
    this.#counts.set(name, count);
    return count;
  }

  remove(name: string): void {
    const count = (this.#counts.get(name) ?? 1) - 1;
    if (count > 0) this.#counts.set(name, count);
    else this.#counts.delete(name);
  }
}
