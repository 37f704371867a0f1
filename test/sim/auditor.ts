import type { Verdict } from '../../shim/link/index.js';
import type { Application, Driver } from './application.js';
import type { Database } from './database.js';
import type { Speech } from './pattern.js';
import { Violation } from './violation.js';
import type { Wire } from './wire.js';

/** One session of the database and whose words it has heard. */
export interface Session {
  readonly key: string;
  readonly instance: string;
  readonly database: Database;
  /** What was said by whoever was heard last; everything heard before is in it too. */
  source: Speech | undefined;
}

/** One set of sessions, as the proxy knows it by workload and instance. */
interface Ledger {
  newestEpoch: number;
  newest: Wire | undefined;
  confirmedEpoch: number;
  /** Who has bound and confirmed. */
  readonly confirmedBy: Set<Application>;
  /** Tokens that the proxy has given, with their epochs. */
  readonly tokens: Map<string, number>;
  readonly acceptedOrders: Map<Application | Wire, number>;
  /** Who has ever presented itself. */
  readonly presenters: Set<Application | Wire>;
  readonly sessions: Session[];
  /** The proxy had known the same instance, and had forgotten it. */
  isSecond: boolean;
  /** Epoch that has last written to the database. */
  writingEpoch: number;
  /** The proxy has ended its sessions: hold run out, goodbye, proxy restarted. */
  over: Verdict | undefined;
}

/**
 * Knows what really happened, by what it saw on the wires and at both ends, and compares everything that the code under test
 * decides with that. It asks none of that code.
 */
export class Auditor {
  readonly sessions = new Map<string, Session>();
  /** All that ever had this name. */
  readonly #ofKey = new Map<string, readonly Database[]>();
  readonly #ofDatabase = new Map<Database, Session>();
  readonly #ledgers = new Map<string, Ledger>();
  /** The connection whose bytes the proxy is looking at. */
  current: Wire | undefined;
  #unsure: { readonly ledger: Ledger; readonly before: number } | undefined;
  /** Binds that a worker may have put down without having told the shim. */
  epochsSkipped = 0;
  readonly refusals = noRefusals();
  binds = 0;
  /** Binds of sessions that were there before. */
  resumes = 0;

  opened(database: Database, instance: string, stream: number): void {
    const session: Session = { key: `${instance}/${stream}`, instance, database, source: undefined };
    this.sessions.set(session.key, session);
    this.#ofKey.set(session.key, [...(this.#ofKey.get(session.key) ?? []), database]);
    this.#ledger(instance).sessions.push(session);
    this.#ofDatabase.set(database, session);
  }

  /** The proxy writes to the database. */
  databaseHears(database: Database, bytes: Buffer): void {
    const wire = this.current;
    const session = this.#ofDatabase.get(database);
    const instance = wire?.presented?.instance;
    if (wire === undefined || session === undefined || instance !== session.instance) {
      throw new Violation('one-epoch-writes', `a byte of ${instance} for ${session?.key}`);
    }
    const ledger = this.#ledger(instance);
    if (wire !== ledger.newest || wire.epoch === undefined || !wire.isConfirmed || wire.epoch < ledger.writingEpoch) {
      throw new Violation('one-epoch-writes', `epoch ${wire.epoch} writes, ${ledger.newestEpoch} is the newest`);
    }
    ledger.writingEpoch = wire.epoch;
    const driver = driverOf(wire.app, session.key);
    const wrongAt = driver?.speech.differs(database.received, bytes);
    if (driver === undefined || wrongAt !== undefined) {
      throw new Violation('not-what-was-said', `${session.key} up: byte ${wrongAt} of ${driver?.speech.said}`);
    }
    session.source = driver.speech;
  }

  /** A driver gets bytes from its shim. */
  driverHears(driver: Driver, bytes: Buffer): void {
    const { key = '' } = driver;
    // A copy may have begun the stream anew with another worker, and the original may have heard more of the session before.
    const databases = this.#ofKey.get(key) ?? [];
    if (databases.some(({ speech }) => speech.differs(driver.heard, bytes) === undefined)) return;
    const said = databases.map(({ speech }) => speech.said);
    throw new Violation('not-what-was-said', `${key} down: ${bytes.length} bytes from ${driver.heard} on, of ${said}`);
  }

  /** The worker that was looking at bytes is dead: whether it has put a CONFIRM down nobody knows. */
  workerDied(): void {
    this.epochsSkipped += 1;
    this.current = undefined;
    if (this.#unsure !== undefined) this.#unsure.ledger.confirmedEpoch = this.#unsure.before;
    this.#unsure = undefined;
  }

  /** Bytes have been looked at. */
  looked(): void {
    this.current = undefined;
    this.#unsure = undefined;
  }

  /** CONFIRM may have been handed to the proxy with these bytes. */
  handed(wire: Wire): void {
    if (!wire.isConfirmed || wire.presented === undefined || wire.epoch === undefined) return;
    const ledger = this.#ledger(wire.presented.instance);
    if (ledger.newest !== wire || ledger.confirmedEpoch >= wire.epoch) return;
    this.#unsure = { ledger, before: ledger.confirmedEpoch };
    ledger.confirmedEpoch = wire.epoch;
    ledger.confirmedBy.add(wire.app);
  }

  /** A RESUME is under way. */
  presented(wire: Wire): void {
    if (wire.presented !== undefined) this.#ledger(wire.presented.instance).presenters.add(whose(wire));
  }

  /** The proxy binds a workload to this connection. */
  accepted(wire: Wire, epoch: number, token: string): void {
    const { presented } = wire;
    if (presented === undefined) throw new Violation('stranger-bound', 'RESUME_OK without a RESUME');
    if (presented.epoch === 0 && this.#ledger(presented.instance).over !== undefined) {
      // The proxy has no memory of it, and the shim has never been bound: to both this is the beginning. To others, who are on
      // their way, too.
      const { presenters } = this.#ledger(presented.instance);
      this.#ledgers.delete(presented.instance);
      const second = this.#ledger(presented.instance);
      second.isSecond = true;
      for (const other of presenters) second.presenters.add(other);
    }
    const ledger = this.#ledger(presented.instance);
    if (epoch <= ledger.newestEpoch || epoch > ledger.newestEpoch + 1 + this.epochsSkipped) {
      throw new Violation('epochs-grow', `${presented.instance}: epoch ${epoch} after ${ledger.newestEpoch}`);
    }
    if (ledger.confirmedEpoch > presented.epoch) {
      throw new Violation(
        'token-serves-once',
        `the token of epoch ${presented.epoch} binds after ${ledger.confirmedEpoch}`,
      );
    }
    if ((ledger.acceptedOrders.get(whose(wire)) ?? -1) >= presented.order) {
      throw new Violation('token-serves-once', 'a RESUME binds after a later one of the same shim');
    }
    const isGiven =
      presented.epoch === 0 ? presented.token === '' : ledger.tokens.get(presented.token) === presented.epoch;
    if (!isGiven) {
      throw new Violation('stranger-bound', `a token that was not given for epoch ${presented.epoch}`);
    }
    for (const session of ledger.sessions) this.#remembers(wire.app, session);
    this.binds += 1;
    if (presented.epoch > 0) this.resumes += 1;
    wire.epoch = epoch;
    ledger.newestEpoch = epoch;
    ledger.newest = wire;
    ledger.tokens.set(token, epoch);
    ledger.acceptedOrders.set(whose(wire), presented.order);
  }

  /** The proxy refuses this connection. `mayTryLater`: a limit, a restart or another version can be the reason. */
  refused(wire: Wire, verdict: Verdict, mayTryLater: boolean): void {
    this.refusals[verdict] += 1;
    wire.verdict = verdict;
    const { presented } = wire;
    if (presented === undefined || wire.index === undefined) return;
    const ledger = this.#ledger(presented.instance);
    const { newest } = ledger;
    const othersConfirmed = [...ledger.confirmedBy].some((app) => app !== wire.app);
    const othersBound = [...ledger.acceptedOrders.keys()].some((one) => one !== wire.app);
    const isLate = (ledger.acceptedOrders.get(wire.app) ?? -1) > presented.order;
    // What the newest bind was made from stays good until it is confirmed, or one lost answer would lock everybody out.
    const isFromSame = newest?.presented?.epoch === presented.epoch;
    const isOvertaken = newest !== undefined && whose(newest) !== wire.app && !isFromSame;
    // A worker may have bound somebody else, and died before it could say so.
    const mayHaveBound = this.epochsSkipped > 0 && [...ledger.presenters].some((one) => one !== wire.app);
    const isFounded: Record<Verdict, boolean> = {
      'stale-epoch': othersConfirmed || isOvertaken || isLate || mayHaveBound,
      'peer-rewound': othersConfirmed || othersBound,
      'unknown-workload': ledger.over !== undefined,
      'hold-expired': ledger.over === 'hold-expired',
      'not-authorised': ledger.isSecond || (this.epochsSkipped > 0 && ledger.over !== undefined),
      // A worker may have taken somebody's attempt, and died before it could say so.
      'try-later': mayTryLater || othersBound || isLate || this.epochsSkipped > 0,
    };
    if (!isFounded[verdict]) throw new Violation('refused-wrongly', `${presented.instance}: ${verdict}`);
  }

  /** The sessions of this instance are over at the proxy: again, where a worker had begun anew and died before it said so. */
  ended(instance: string, how: Verdict): void {
    this.#ledger(instance).over = how;
  }
  /** The proxy has lost its memory. */
  endAll(how: Verdict): void {
    for (const ledger of this.#ledgers.values()) ledger.over ??= how;
  }
  isOver(instance: string): boolean {
    return this.#ledger(instance).over !== undefined;
  }
  sessionsOf(instance: string): readonly Session[] {
    return this.#ledger(instance).sessions;
  }
  /** Who owns the workload, by its newest bind. */
  ownerOf(instance: string): Application | undefined {
    return this.#ledger(instance).newest?.app;
  }

  /** Of whatever the database has heard and said, this copy must know as much as was acknowledged. */
  #remembers(app: Application, { key, database, source }: Session): void {
    // A worker that dies takes along what it knew of sessions that were just over.
    if (this.epochsSkipped > 0 && database.isOver) return;
    const driver = driverOf(app, key);
    const known = driver === undefined || source === undefined ? 0 : driver.speech.commonWith(source);
    // A shim that is stopped ends its drivers' directions by itself.
    const saidEnd = driver?.hasEnded === true || app.isStopping;
    if (known < database.received || (database.heardEnd && !saidEnd)) {
      throw new Violation('rewound-bound', `${key}: ${known} bytes remembered, ${database.received} in the database`);
    }
  }

  #ledger(instance: string): Ledger {
    let ledger = this.#ledgers.get(instance);
    if (ledger === undefined) {
      ledger = {
        newestEpoch: 0,
        newest: undefined,
        confirmedEpoch: 0,
        confirmedBy: new Set(),
        tokens: new Map(),
        acceptedOrders: new Map(),
        presenters: new Set(),
        sessions: [],
        isSecond: false,
        writingEpoch: 0,
        over: undefined,
      };
      this.#ledgers.set(instance, ledger);
    }
    return ledger;
  }
}

/** Copies of an application are told from each other, and strangers from all of them. */
function whose(wire: Wire): Application | Wire {
  return wire.index === undefined ? wire : wire.app;
}

export function driverOf(app: Application, key: string): Driver | undefined {
  return app.drivers.find((driver) => driver.key === key);
}

export function noRefusals(): Record<Verdict, number> {
  return {
    'unknown-workload': 0,
    'stale-epoch': 0,
    'peer-rewound': 0,
    'hold-expired': 0,
    'not-authorised': 0,
    'try-later': 0,
  };
}
