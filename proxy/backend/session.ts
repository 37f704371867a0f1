/**
 * One Oracle session as the proxy holds it: one TCP socket to the database, and what is known of it. It knows nothing of the
 * link, and it lives for as long as the database connection does, whatever happens to the driver's side.
 *
 *      connecting ──ACCEPT──► open ──────────────┐
 *          │  └─────REFUSE──► refused ───────────┤ socket closed
 *          └─limit, failure, driver gone─────────┴──────────────► closed
 *
 * While connecting, connect-phase.ts decides. After that bytes pass through in both directions as they are: views, not
 * copies; nothing is collected; nothing is allocated per chunk but what the socket itself needs. The tracker looks on.
 *
 * Every byte of the driver has a position. `consumed` is the position up to which bytes reached the next hop, which is the
 * database's kernel or the proxy itself (a CONNECT it has answered). Only then may the shim forget them.
 *
 * From the answer on, all that is known is in one record (record.ts), from which another session goes on with the socket.
 */
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { Logger } from 'pino';
import { writeNow } from '../../shim/program/writing.js';
import type { SessionPlace } from '../quota.js';
import { SessionTracker } from '../track/session.js';
import type { SessionTrack } from '../track/view.js';
import type { Writable } from '../track/writable.js';
import { type DatabaseAddress, formatDatabase } from './address.js';
import { type ConnectAction, ConnectPhase, type DialPlan, type Settled } from './connect-phase.js';
import { abandon, attach, detach, dial, type SocketOwner } from './dial.js';
import { BackendError } from './errors.js';
import type { BackendLimits } from './limits.js';
import { type Anchor, oldestReader, recordVersion, type SessionFacts, type SessionRecord } from './record.js';
import { type DatabaseTls, publicTls, secure } from './tls.js';

/** Calls may come while the session is inside `write`; `closed` never does. */
export interface BackendEvents {
  /** From now on there is a record, and every byte is announced. Not for a session whose connection cannot be handed on. */
  settled?(): void;
  /** These bytes of the driver, from this position on, are about to go to the database. Nothing has happened with them yet. */
  sending?(position: number, bytes: Buffer): void;
  /** These bytes of the database, from this position on, have been read. Nothing has happened with them yet. */
  reading?(position: number, bytes: Buffer): void;
  /** Bytes for the driver, in order. They are valid during the call: their memory is read into again. */
  data(chunk: Buffer): void;
  /** The driver's bytes up to this position are done with; grows. */
  consumed(total: number): void;
  /** The database has ended its direction, after all data; with an error when nobody had asked it to. */
  end(error?: BackendError): void;
  /** Once, last. No error when the driver ended it, logged off, was refused by the listener, or `destroy` was called. */
  closed(error: BackendError | undefined): void;
}

export interface BackendSessionOptions {
  /** At least one, in the order in which they are tried. */
  readonly addresses: readonly DatabaseAddress[];
  /** For TCPS; when left out, public authorities are trusted. */
  readonly tls?: DatabaseTls;
  readonly limits: BackendLimits;
  readonly log: Logger;
  readonly events: BackendEvents;
  /** Undefined: as many as there may be. */
  readonly place?: SessionPlace;
  /** Milliseconds of the machine's monotonic clock: a record may be taken up by another process. */
  readonly now: () => number;
}

/** The receiver of the events starts from the positions of the record: they tell what comes after it. */
export interface TakeUpOptions extends Omit<BackendSessionOptions, 'addresses' | 'tls'> {
  /**
   * The driver's bytes come again from this position (and then its end, if it has ended), because the former socket had taken
   * them over and did not pass them on. It lies between `consumed` and `received` of the record. Not given: the socket is the
   * same one, and still has them.
   */
  readonly resendFrom?: number;
}

export type SessionState = 'connecting' | 'open' | 'refused' | 'closed';

/** What is known of a session, as it is shown: the same data as its record. */
export interface SessionView extends SessionFacts {
  readonly state: SessionState;
  readonly database: SessionFacts['database'] & {
    readonly localAddress: string | undefined;
    readonly localPort: number | undefined;
  };
  readonly track: SessionTrack;
}

const nothing = Buffer.alloc(0);

/** It hears its socket itself, by the methods of `SocketOwner`, which are for nobody else. */
export class BackendSession implements SocketOwner {
  readonly #limits: BackendLimits;
  readonly #tls: DatabaseTls | undefined;
  readonly #log: Logger;
  readonly #events: BackendEvents;
  readonly #now: () => number;
  readonly #tracker: SessionTracker;
  readonly #place: SessionPlace | undefined;
  #isIntroduced = false;
  readonly #facts: Writable<Omit<SessionFacts, 'positions'>>;
  readonly #positions: Writable<SessionFacts['positions']>;
  #state: SessionState;
  /** Gone once the driver has its answer. */
  #phase: ConnectPhase | undefined;
  #socket: Socket | undefined;
  /** While connecting: where to, and the TCP connection below TLS. */
  #plan: DialPlan | undefined;
  #raw: Socket | undefined;
  #connectTimer: NodeJS.Timeout | undefined;
  /** Of the present step of connecting: TCP, TLS, the listener's answer. */
  #stepTimer: NodeJS.Timeout | undefined;
  /** Bytes of the driver that come a second time: the tracker has seen them. */
  #knownBytes = 0;
  /** What the receiver knows of `consumed`. */
  #reported = 0;
  #isGathering = false;
  #failure: BackendError | undefined;
  #socketError: Error | undefined;
  #anchor: Anchor | undefined;

  /** A new session, which waits for the driver's CONNECT; with a record, the session it tells of. */
  constructor(options: BackendSessionOptions, record?: SessionRecord) {
    this.#limits = options.limits;
    this.#tls = options.tls;
    this.#log = options.log;
    this.#events = options.events;
    this.#place = options.place;
    this.#now = options.now;
    this.#facts = {
      database: record?.database ?? firstOf(options.addresses),
      createdMs: record?.createdMs ?? options.now(),
      driverEnded: record?.driverEnded ?? false,
      databaseEnded: record?.databaseEnded ?? false,
      paused: record?.paused ?? false,
    };
    this.#positions = { ...(record?.positions ?? { received: 0, consumed: 0, delivered: 0 }) };
    this.#tracker = new SessionTracker(record?.track);
    this.#state = record?.state ?? 'connecting';
    this.#anchor = record?.anchor;
    if (record?.endedUnasked === true) this.#failure = this.#databaseEndedError();
    if (record !== undefined) return;
    this.#phase = new ConnectPhase({
      addresses: options.addresses,
      limits: options.limits,
      refused: options.place?.refused,
    });
    this.#connectTimer = setTimeout(() => {
      if (this.#phase !== undefined) this.#perform(this.#phase.timedOut());
    }, options.limits.connectMs);
  }

  /**
   * Takes a session up from its record, with the connection it was recorded on: the same socket, or another one made from the
   * same descriptor (with `allowHalfOpen`).
   * @throws BackendError record-invalid when `resendFrom` lies outside of what the record allows
   */
  static takeUp(record: SessionRecord, socket: Socket, options: TakeUpOptions): BackendSession {
    const session = new BackendSession({ ...options, addresses: [record.database] }, record);
    session.#takeUp(record, socket, options.resendFrom ?? record.positions.received);
    return session;
  }

  /** Bytes of the driver, in order. A view of them may be kept until they are consumed, but for what `flush` says. */
  write(view: Buffer): void {
    if (this.#state === 'closed' || this.#facts.driverEnded) return;
    if (this.#phase === undefined) {
      this.#send(view);
      return;
    }
    this.#positions.received += view.length;
    this.#perform(this.#phase.fromDriver(view));
  }

  /** What is written from now on leaves together, at `flush`. */
  gather(): void {
    if (this.#isGathering || this.#phase !== undefined) return;
    this.#isGathering = true;
    this.#socket?.cork();
  }

  /** @returns whether a view of something written is kept; otherwise its memory may be written again */
  flush(): boolean {
    if (this.#isGathering) {
      this.#isGathering = false;
      this.#socket?.uncork();
    }
    return this.#phase !== undefined || (this.#socket?.writableLength ?? 0) > 0;
  }

  /** The driver has ended its direction. Before it has an answer to its CONNECT that ends the session. */
  end(): void {
    if (this.#state === 'closed' || this.#facts.driverEnded) return;
    this.#facts.driverEnded = true;
    if (this.#phase !== undefined) this.destroy();
    else this.#socket?.end();
  }

  /** Stops reading from the database: its own kernel, then the database, feel the back-pressure. */
  pause(): void {
    this.#facts.paused = true;
    this.#socket?.pause();
  }

  resume(): void {
    this.#facts.paused = false;
    this.#socket?.resume();
  }

  /** How many of the driver's bytes have reached the next hop; grows. */
  get consumed(): number {
    this.#measure();
    return this.#positions.consumed;
  }

  /** The connection, where another process can go on with it: open, and without TLS, whose state nobody can hand on. */
  get keepable(): Socket | undefined {
    const isOpen = this.#state === 'open' || this.#state === 'refused';
    return isOpen && !(this.#socket instanceof TLSSocket) ? this.#usableSocket() : undefined;
  }

  describe(): SessionView {
    const { localAddress, localPort } = this.#socket ?? {};
    return {
      ...this.#recorded(),
      state: this.#state,
      database: { ...(this.#phase?.address ?? this.#facts.database), localAddress, localPort },
      track: this.#tracker.view(),
    };
  }

  /**
   * The record of this moment. There is none in the connect phase, which is short and has nothing to lose: no session has
   * been made, a driver that loses the connection there tries the next address, and taking it up would mean to keep the
   * CONNECT, the redirects followed and the time left. There is none of a session that is closed or has lost its socket.
   */
  record(): SessionRecord | undefined {
    const { received } = this.#positions;
    const anchor = this.#anchor;
    if (this.#state !== 'open' && this.#state !== 'refused') return undefined;
    if (anchor === undefined || this.#usableSocket() === undefined) return undefined;
    return {
      version: recordVersion,
      oldest: oldestReader,
      state: this.#state,
      anchor,
      ...this.#recorded(),
      watchedBytes: received + this.#knownBytes,
      endedUnasked: this.#failure !== undefined,
      track: this.#tracker.state(),
    };
  }

  /**
   * Hands out the socket, paused, with the record of the same moment. This object is closed by that, and tells nothing more,
   * not even `closed`. Undefined, and nothing happens, when there is no record.
   */
  release(): { readonly record: SessionRecord; readonly socket: Socket } | undefined {
    const record = this.record();
    const socket = this.#socket;
    if (record === undefined || socket === undefined) return undefined;
    detach(socket);
    this.#socket = undefined;
    this.#state = 'closed';
    return { record, socket };
  }

  /** Drops the connection to the database, which rolls back. `closed` follows, without an error. */
  destroy(): void {
    this.#finish(undefined);
  }

  #takeUp(record: SessionRecord, socket: Socket, resendFrom: number): void {
    const { received, consumed } = record.positions;
    if (resendFrom < consumed || resendFrom > received) {
      const place = `${resendFrom}, and lie from ${consumed} to ${received}`;
      throw new BackendError('record-invalid', `bytes to be sent again would start at ${place}`);
    }
    this.#socket = socket;
    this.#positions.received = resendFrom;
    this.#knownBytes = record.watchedBytes - resendFrom;
    this.#reported = consumed;
    if (resendFrom < received) this.#facts.driverEnded = false;
    this.#isIntroduced = this.#tracker.loggedIn;
    const { user } = this.#tracker.view().identity;
    // It has been let in before: that there are too many by now is no reason to end it.
    if (this.#isIntroduced && user !== undefined) this.#place?.loggedIn(user);
    this.#log.debug({ database: record.database, positions: this.#positions }, 'taken up');
    if (socket.destroyed) {
      this.#finish(this.#failure ?? this.#endedBy());
      return;
    }
    attach(socket, this);
    if (!record.paused) socket.resume();
    // Those who wait for what the socket still holds were told by the session before: this asks anew.
    // After the end everything has been passed on; that it had ended before is no error.
    if (this.#facts.driverEnded) socket.end(() => this.#report());
    else socket.write(nothing, this.#onWritten);
  }

  /** What records and views have in common. */
  #recorded(): SessionFacts {
    this.#measure();
    return { ...this.#facts, positions: { ...this.#positions } };
  }

  #perform(actions: readonly ConnectAction[]): void {
    for (const action of actions) {
      // An event's receiver may have called destroy.
      if (this.#state === 'closed') return;
      switch (action.kind) {
        case 'dial':
          this.#dial(action);
          break;
        case 'secure':
          this.#secure();
          break;
        case 'skip':
          this.#log.warn({ err: action.error }, 'trying the next address of the database');
          break;
        case 'send':
          this.#socket?.write(action.bytes);
          break;
        case 'answer':
          this.#deliver(action.bytes);
          break;
        case 'settled':
          this.#settle(action);
          break;
        case 'fail':
          this.#fail(action.error);
          break;
      }
    }
  }

  #dial(plan: DialPlan): void {
    this.#abandonSocket();
    this.#plan = plan;
    this.#log.debug({ database: plan.address }, 'dialing the database');
    const socket = dial(plan.address, this.#limits, this);
    this.#raw = socket;
    this.#socket = socket;
    if (this.#facts.paused) socket.pause();
    this.#limitDial('not connected');
  }

  /** TLS over the present TCP connection. A former TLS connection over it is done with; only its socket object is left. */
  #secure(): void {
    const { raw, plan, socket } = { raw: this.#raw, plan: this.#plan, socket: this.#socket };
    if (raw === undefined || plan === undefined || socket === undefined) return;
    detach(socket);
    this.#socket = secure(raw, this.#tls ?? publicTls(), plan);
    attach(this.#socket, this);
    if (this.#facts.paused) this.#socket.pause();
    this.#limitDial('no TLS');
  }

  #limitDial(what: string): void {
    clearTimeout(this.#stepTimer);
    this.#stepTimer = setTimeout(() => {
      const message = `${what} within ${this.#limits.dialMs} ms`;
      if (this.#phase !== undefined) this.#perform(this.#phase.dialFailed({ code: 'ETIMEDOUT', message }));
    }, this.#limits.dialMs);
  }

  #settle(settled: Settled): void {
    const database = this.#phase?.address ?? this.#facts.database;
    this.#positions.received -= settled.fromDriver.length;
    this.#anchor = {
      received: this.#positions.received,
      delivered: this.#positions.delivered,
      writtenBytes: this.#socket?.bytesWritten ?? 0,
      readBytes: (this.#socket?.bytesRead ?? 0) - settled.fromDatabase.length,
    };
    this.#stopTimers();
    this.#phase = undefined;
    this.#plan = undefined;
    this.#raw = undefined;
    this.#facts.database = database;
    this.#state = settled.outcome.kind === 'refused' ? 'refused' : 'open';
    this.#tracker.settled(settled);
    if (settled.outcome.kind === 'refused') {
      const { service } = this.#tracker.view().identity;
      this.#log.info({ database, service, ora: settled.outcome.number }, 'the listener refused a session');
    }
    if (this.keepable !== undefined) this.#events.settled?.();
    if (settled.fromDriver.length > 0) this.#send(settled.fromDriver);
    if (settled.fromDatabase.length > 0) this.socketData(settled.fromDatabase);
    // Last: before the socket had the early bytes, they would have looked as if they had reached the next hop.
    this.#report();
  }

  #send(view: Buffer): void {
    this.#events.sending?.(this.#positions.received, view);
    this.#positions.received += view.length;
    const known = Math.min(this.#knownBytes, view.length);
    this.#knownBytes -= known;
    this.#tracker.fromDriver(known === 0 ? view : view.subarray(known), this.#now());
    const taken = this.#socket === undefined ? 0 : writeNow(this.#socket, view);
    if (taken === view.length) this.#report();
    else this.#socket?.write(view.subarray(taken), this.#onWritten);
  }

  /** The login has just succeeded; its answer is the driver's when there may be one session more of this user. */
  #introduce(): void {
    this.#isIntroduced = true;
    const { user } = this.#tracker.view().identity;
    const full = user === undefined ? undefined : this.#place?.loggedIn(user);
    if (full !== undefined) this.#finish(new BackendError('proxy-user-sessions', full));
  }

  #deliver(chunk: Buffer): void {
    if (this.#state === 'closed') return;
    this.#positions.delivered += chunk.length;
    this.#events.data(chunk);
  }

  socketConnected(): void {
    if (this.#plan?.address.tls === true && this.#socket === this.#raw) {
      this.#secure();
      return;
    }
    clearTimeout(this.#stepTimer);
    if (this.#phase === undefined) return;
    this.#stepTimer = setTimeout(() => {
      if (this.#phase !== undefined) this.#perform(this.#phase.answerTimedOut());
    }, this.#limits.answerMs);
    this.#perform(this.#phase.dialed());
  }

  socketData(chunk: Buffer): void {
    if (this.#phase !== undefined) {
      // It may wait there for the rest of an answer.
      this.#perform(this.#phase.fromDatabase(Buffer.from(chunk)));
      return;
    }
    this.#events.reading?.(this.#positions.delivered, chunk);
    this.#tracker.fromDatabase(chunk, this.#now());
    if (!this.#isIntroduced && this.#tracker.loggedIn) this.#introduce();
    this.#deliver(chunk);
  }

  socketEnded(): void {
    // A socket made from the same descriptor reads the end once more.
    if (this.#facts.databaseEnded) return;
    this.#facts.databaseEnded = true;
    if (this.#phase !== undefined) {
      this.#perform(this.#phase.databaseEnded());
      return;
    }
    // Decided and told now: the driver will end too because of this, and everything is over before the socket closes.
    this.#failure = this.#endedBy();
    if (this.#failure !== undefined) this.#logEnd(this.#failure);
    this.#events.end(this.#failure);
  }

  socketFailed(error: NodeJS.ErrnoException): void {
    this.#socketError = error;
    if (this.#phase === undefined) return;
    const failure = { code: error.code, message: error.message === '' ? String(error.code) : error.message };
    const isDialing = this.#phase.state === 'dialing';
    this.#perform(isDialing ? this.#phase.dialFailed(failure) : this.#phase.databaseEnded(error));
  }

  socketClosed(): void {
    this.#finish(this.#failure ?? this.#endedBy());
  }

  /** One callback for all writes: the socket then merges the calls of one tick into few, and nothing is allocated per chunk. */
  readonly #onWritten = (error: Error | null | undefined): void => {
    if (!error) this.#report();
  };

  #report(): void {
    if (this.#state === 'closed') return;
    this.#measure();
    if (this.#positions.consumed > this.#reported) this.#tellConsumed();
  }

  #tellConsumed(): void {
    this.#reported = this.#positions.consumed;
    this.#events.consumed(this.#reported);
  }

  /**
   * What the kernel has taken is what was given to the socket less what the socket still holds. A socket that is being
   * destroyed forgets what it holds, so its numbers count no longer: they would call lost bytes consumed.
   */
  #measure(): void {
    const socket = this.#usableSocket();
    if (this.#phase !== undefined || socket === undefined) return;
    const { consumed, received } = this.#positions;
    this.#positions.consumed = Math.max(consumed, received - socket.writableLength);
  }

  #usableSocket(): Socket | undefined {
    return this.#socket?.destroyed || this.#socket?.errored ? undefined : this.#socket;
  }

  /** The error that the end of the connection stands for, if any. */
  #endedBy(): BackendError | undefined {
    const asked = this.#facts.driverEnded || this.#state === 'refused' || this.#tracker.loggedOff;
    if (asked) return undefined;
    if (this.#facts.databaseEnded) return this.#databaseEndedError();
    const why = this.#socketError?.message ?? 'closed';
    return new BackendError('database-lost', `the connection to the database was lost: ${why}`, this.#socketError);
  }

  #databaseEndedError(): BackendError {
    return new BackendError('database-ended', 'the database ended the session', this.#socketError);
  }

  /** No session was made. A REFUSE, where the driver understands one, has already been delivered. */
  #fail(error: BackendError): void {
    this.#phase = undefined;
    this.#positions.consumed = this.#positions.received;
    if (this.#positions.delivered > 0) this.#tellConsumed();
    this.#events.end();
    this.#finish(error);
  }

  #finish(error: BackendError | undefined): void {
    if (this.#state === 'closed') return;
    this.#measure();
    this.#stopTimers();
    this.#state = 'closed';
    if (error !== undefined && error !== this.#failure) this.#logEnd(error);
    this.#failure = error;
    this.#abandonSocket();
    process.nextTick(() => this.#events.closed(this.#failure));
  }

  /** The one line about a session that ended unasked, or never came to be. */
  #logEnd(error: BackendError): void {
    const { identity, transaction, phase, calls } = this.#tracker.view();
    const { user, sid, serial } = identity;
    const database = formatDatabase(this.#facts.database);
    const isLost = error.code === 'database-ended' || error.code === 'database-lost';
    if (isLost && phase === 'login' && calls.lastError > 0) {
      // The database has said no and hung up, as it does: there never was a session.
      this.#log.info({ database, user, ora: calls.lastError }, 'login failed');
    } else if (isLost) {
      this.#log.warn({ err: error, database, user, sid, serial, transaction: transaction.kind }, 'session lost');
    } else this.#log.warn({ err: error, database }, 'no session with the database');
  }

  #abandonSocket(): void {
    if (this.#socket !== undefined) abandon(this.#socket);
    // Of a TLS connection that was never finished nobody else closes what is below it.
    if (this.#raw !== undefined && this.#raw !== this.#socket) abandon(this.#raw);
  }

  #stopTimers(): void {
    clearTimeout(this.#connectTimer);
    clearTimeout(this.#stepTimer);
    this.#connectTimer = undefined;
    this.#stepTimer = undefined;
  }
}

function firstOf(addresses: readonly DatabaseAddress[]): DatabaseAddress {
  const [first] = addresses;
  if (first === undefined) throw new Error('a session without an address of its database');
  return first;
}
