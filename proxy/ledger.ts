import type { Memory, Share, Source, Valve } from './memory.js';

/** What is kept of one workload, both directions. */
export class Ledger {
  readonly #toDrivers: Share;
  readonly #toDatabases: Share;
  readonly #link: Valve;
  #fromLink: Source | undefined;

  /** @param link the link that serves the workload at the moment, whichever that is */
  constructor(memory: Memory, link: Valve) {
    this.#toDrivers = memory.fromDatabases.share();
    this.#toDatabases = memory.fromShims.share();
    // Whoever sends is bound; who is not sends nothing.
    this.#toDatabases.setBound(true);
    this.#link = link;
  }

  /** A link serves the workload, a new one: nobody has stopped it yet. */
  bound(): void {
    this.#toDatabases.releaseAll();
    this.#toDrivers.setBound(true);
  }

  held(): void {
    this.#toDrivers.setBound(false);
  }

  /**
   * @param database where the bytes for the driver are read
   * @param taken how many of the driver's bytes the database had before
   */
  open(database: Valve, taken = 0): SessionLedger {
    this.#fromLink ??= this.#toDatabases.open(this.#link);
    return new SessionLedger(this.#toDrivers.open(database), this.#fromLink, taken);
  }

  close(): void {
    this.#toDrivers.close();
    this.#toDatabases.close();
  }
}

/** What is kept of one session, both directions. */
export class SessionLedger {
  readonly #toDriver: Source;
  readonly #fromLink: Source;
  /** Bytes of the driver so far, and how many of them the database has taken. */
  #received: number;
  #taken: number;

  constructor(toDriver: Source, fromLink: Source, taken: number) {
    this.#toDriver = toDriver;
    this.#fromLink = fromLink;
    this.#received = taken;
    this.#taken = taken;
  }

  /** Bytes for the driver are kept from now on. */
  stored(bytes: number, isWindowFull: boolean): void {
    this.#toDriver.setFull(isWindowFull);
    this.#toDriver.add(bytes);
  }

  /** The shim has acknowledged so many of them. */
  freed(bytes: number): void {
    this.#toDriver.remove(bytes);
  }

  /** The window has room again. */
  room(): void {
    this.#toDriver.setFull(false);
  }

  /** So many bytes of the driver wait for the database. */
  received(bytes: number): void {
    this.#received += bytes;
    this.#fromLink.add(bytes);
  }

  /** The database has taken all before this position. */
  taken(total: number): void {
    if (total <= this.#taken) return;
    this.#fromLink.remove(total - this.#taken);
    this.#taken = total;
  }

  close(): void {
    this.taken(this.#received);
    this.#toDriver.close();
  }
}
