import type { EndCode, Fingerprints, Link, Position, StreamId } from '../shim/link/index.js';
import type { BackendError } from './backend/errors.js';
import type { BackendEvents, BackendSession, SessionView } from './backend/session.js';
import type { Ledger, SessionLedger } from './ledger.js';
import type { Place, SessionPlace } from './quota.js';
import type { SessionProtection, WorkloadProtection } from './takeover/protection.js';
import type { ClosedAt, SavedSession } from './takeover/saved.js';

/** The database side of one stream, as far as a bridge needs it. */
export type Backend = Pick<
  BackendSession,
  'write' | 'gather' | 'flush' | 'end' | 'pause' | 'resume' | 'describe' | 'destroy' | 'record' | 'keepable'
> & {
  /** Bytes of the database that the record counts as delivered, and that were not told yet: an injected fault keeps them back. */
  held?(): Buffer;
};
/** Makes the database side; it tells nothing before it is returned. */
export type MakeBackend = (events: BackendEvents, place: SessionPlace) => Backend;

/** Of a large request come several frames at once: they leave in one write. Less than this is a whole request as a rule. */
const gatheredBytesMin = 8 * 1024;

/**
 * How often it is put down what the shim has. What is not known to be there is taken over, and put down anew: without this, all
 * that a session was ever sent would be, from worker to worker.
 */
const ackedBytesNoted = 64 * 1024;

export interface WorkloadSession {
  readonly stream: StreamId;
  readonly view: SessionView;
  readonly protection: ProtectionState;
  /** What it was made of up to the last bind. */
  readonly fingerprints: Fingerprints | undefined;
}

/** Whether a session outlives the worker, or why it does not. */
export type ProtectionState =
  | 'protected'
  /** The state of its TLS connection cannot be handed on. */
  | 'tls'
  /** There is no session yet. */
  | 'connecting'
  /** The keeper does not have its connection yet. */
  | 'being-kept'
  /** Nothing is put down: switched off, or it could not be written. */
  | 'no-journal'
  | 'over';

/** The workload that a bridge belongs to. */
export interface BridgeOwner {
  readonly link: Link;
  readonly ledger: Ledger;
  readonly protection: WorkloadProtection;
  /** The session may be doing something else now. */
  touched(stream: StreamId): void;
  /** The session ended, and neither the driver nor this proxy has asked for it. */
  lost(
    session: Pick<WorkloadSession, 'stream' | 'view'>,
    error: { readonly code: string; readonly message: string },
  ): void;
}

/** A session that goes on from where another process has stopped. */
export interface TakenUp {
  /** Its number in the journal. */
  readonly id: number;
  /** Bytes for the driver that wait for the shim, and whether the window of the stream has room beyond them. */
  readonly storedBytes: number;
  readonly hasRoom: boolean;
  /** The driver's bytes that the database has. */
  readonly consumed: number;
  readonly closed: ClosedAt | undefined;
}

/**
 * One session of a workload: the only place where bytes of a link meet bytes of a database. Whatever another process would have
 * to know is put down before it is acted upon.
 *
 * It hears the database side's events itself: functions for each session would be half a KiB of it.
 */
export class Bridge implements BackendEvents {
  readonly stream: StreamId;
  readonly #owner: BridgeOwner;
  readonly #place: Place;
  readonly #backend: Backend;
  readonly #ledger: SessionLedger;
  /** Once there is something to protect, and a connection that can be handed on. */
  #protection: SessionProtection | undefined;
  #closed: ClosedAt | undefined;
  #ackedNoted: Position = 0;

  constructor(owner: BridgeOwner, stream: StreamId, place: Place, make: MakeBackend, takenUp?: TakenUp) {
    this.stream = stream;
    this.#owner = owner;
    this.#place = place;
    this.#backend = make(this, place);
    this.#ledger = owner.ledger.open(this.#backend, takenUp?.consumed);
    if (takenUp === undefined) return;
    this.#closed = takenUp.closed;
    this.#ledger.stored(takenUp.storedBytes, !takenUp.hasRoom);
    this.#protection = owner.protection.session(this.#save, this.#backend.keepable, takenUp.id);
  }

  get fingerprints(): Fingerprints | undefined {
    return this.#owner.link.fingerprintsOf(this.stream);
  }
  get view(): SessionView {
    return this.#backend.describe();
  }
  get protection(): ProtectionState {
    const { state, database } = this.view;
    if (state === 'closed') return 'over';
    if (state === 'connecting') return 'connecting';
    if (database.tls === true) return 'tls';
    return this.#protection?.state ?? 'no-journal';
  }

  /** Bytes of the driver. */
  deliver(bytes: Buffer): void {
    this.#ledger.received(bytes.length);
    if (bytes.length >= gatheredBytesMin) this.#backend.gather();
    this.#backend.write(bytes);
  }

  /** So have all bytes that came at once. @returns whether views of them wait here */
  delivered(): boolean {
    return this.#backend.flush();
  }

  /** The driver's direction is over: in order, or both are. */
  peerEnded(code: EndCode): void {
    if (code === 'closed') {
      this.#protection?.note({ kind: 'driver-ended' });
      this.#backend.end();
    } else {
      this.#protection?.note({ kind: 'ended', code });
      this.#backend.destroy();
    }
  }

  room(): void {
    this.#ledger.room();
  }

  /** The shim has acknowledged so many bytes more; the first one that it has not is `base`. */
  freed(bytes: number, base: Position): void {
    this.#ledger.freed(bytes);
    if (base - this.#ackedNoted < ackedBytesNoted) return;
    this.#ackedNoted = base;
    this.#protection?.acked(base);
  }

  /** The shim has got everything, and so has the database. */
  forgotten(): void {
    this.#backend.destroy();
    this.#ledger.close();
    this.#protection?.end();
    this.#protection = undefined;
  }

  settled(): void {
    this.#protection = this.#owner.protection.session(this.#save, this.#backend.keepable);
  }

  sending(position: number, bytes: Buffer): void {
    this.#protection?.fromDriver(position, bytes);
  }

  reading(position: number, bytes: Buffer): void {
    this.#protection?.fromDatabase(position, bytes);
  }

  data(chunk: Buffer): void {
    const { link } = this.#owner;
    const before = link.storedBytes;
    const hasRoom = link.send(this.stream, chunk);
    this.#ledger.stored(link.storedBytes - before, !hasRoom);
    this.#owner.touched(this.stream);
  }

  consumed(total: number): void {
    this.#owner.link.consumed(this.stream, total);
    this.#ledger.taken(total);
  }

  end(error?: BackendError): void {
    this.#end('closed');
    this.#mayBeLost(error);
  }

  closed(error: BackendError | undefined): void {
    this.#place.close();
    // Also after an orderly end: what the driver may still send has nowhere to go, and it must learn that.
    this.#end('closed');
    const { driverEnded, databaseEnded, positions } = this.view;
    if (error !== undefined || !driverEnded || positions.received > positions.consumed) this.#end('lost');
    this.#closed = { consumed: positions.consumed, driverEnded };
    this.#protection?.closed({ kind: 'closed', ...this.#closed });
    this.#mayBeLost(databaseEnded ? undefined : error);
  }

  #end(code: 'closed' | 'lost'): void {
    this.#protection?.note({ kind: 'ended', code });
    this.#owner.link.end(this.stream, code);
  }

  /** The database says only once that a session is over: when it ends its direction, or else when the socket breaks. */
  #mayBeLost(error: BackendError | undefined): void {
    const { stream, view } = this;
    // A login that the database refuses ends in the same way: there never was a session.
    if (isLost(error) && view.track.phase !== 'login') this.#owner.lost({ stream, view }, error);
    this.#owner.touched(stream);
  }

  readonly #save = (): SavedSession => {
    const { link, protection } = this.#owner;
    const record = this.#backend.record();
    const known = link.imageOf(this.stream) ?? goneStream(this.stream);
    const isClosing = record === undefined && this.#closed === undefined;
    const closed = record === undefined ? (this.#closed ?? this.#closedNow()) : undefined;
    const image = isClosing ? { ...known, ended: this.#endedNow(known.ended) } : known;
    const held = this.#backend.held?.();
    const stream = held === undefined ? image : { ...image, bytes: [...image.bytes, held] };
    const altered = held === undefined ? {} : { altered: true };
    return { kind: 'session', workload: protection.id, stream, record, closed, ...altered };
  };

  #closedNow(): ClosedAt {
    const { positions, driverEnded } = this.view;
    return { consumed: positions.consumed, driverEnded };
  }

  /** The socket is gone, and that was not told yet: what `#onClosed` will make of it, for another process would never be told. */
  #endedNow(ended: EndCode | undefined): EndCode {
    const { driverEnded, positions } = this.view;
    const isWhole = driverEnded && positions.received === positions.consumed;
    return ended === undefined || (ended === 'closed' && !isWhole) ? 'lost' : ended;
  }
}

/** A stream that is over while its session is just being put away. */
function goneStream(id: StreamId): SavedSession['stream'] {
  return { id, acked: 0, base: 0, bytes: [], ended: 'lost', closed: false };
}

/** There was a session, and neither the driver nor this proxy has ended it. */
function isLost(error: BackendError | undefined): error is BackendError {
  return error?.code === 'database-ended' || error?.code === 'database-lost';
}
