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
 */
import type { Socket } from 'node:net';
import type { Logger } from 'pino';
import { SessionTracker } from '../track/session.js';
import type { SessionTrack } from '../track/view.js';
import { type ConnectAction, ConnectPhase, type DatabaseAddress, type Settled } from './connect-phase.js';
import { abandon, dial } from './dial.js';
import { BackendError } from './errors.js';
import type { BackendLimits } from './limits.js';

/** Calls may come while the session is inside `write`; `closed` never does. */
export interface BackendEvents {
  /** Bytes for the driver, in order. The buffer is the receiver's to keep. */
  data(chunk: Buffer): void;
  /** The driver's bytes up to this position are done with; grows. */
  consumed(total: number): void;
  /** The database has ended its direction, after all data. */
  end(): void;
  /** Once, last. No error when the driver ended it, logged off, was refused by the listener, or `destroy` was called. */
  closed(error: BackendError | undefined): void;
}

export interface BackendSessionOptions {
  readonly address: DatabaseAddress;
  readonly limits: BackendLimits;
  readonly log: Logger;
  readonly events: BackendEvents;
  /** Milliseconds, any origin that other views of the caller share. */
  readonly now: () => number;
}

export type SessionState = 'connecting' | 'open' | 'refused' | 'closed';

/** All that is known of a session: serialisable, and the one record from which it could be taken up again with its socket. */
export interface SessionView {
  readonly state: SessionState;
  readonly database: DatabaseAddress & {
    readonly localAddress: string | undefined;
    readonly localPort: number | undefined;
  };
  readonly createdMs: number;
  readonly positions: {
    /** Bytes of the driver taken over. */
    readonly received: number;
    /** Bytes of the driver that reached the next hop. */
    readonly consumed: number;
    /** Bytes given out for the driver. */
    readonly delivered: number;
  };
  readonly driverEnded: boolean;
  readonly databaseEnded: boolean;
  readonly paused: boolean;
  readonly track: SessionTrack;
}

export class BackendSession {
  readonly #limits: BackendLimits;
  readonly #log: Logger;
  readonly #events: BackendEvents;
  readonly #now: () => number;
  readonly #createdMs: number;
  readonly #tracker: SessionTracker;
  #address: DatabaseAddress;
  #state: SessionState = 'connecting';
  /** Gone once the driver has its answer. */
  #phase: ConnectPhase | undefined;
  #socket: Socket | undefined;
  #connectTimer: NodeJS.Timeout | undefined;
  #dialTimer: NodeJS.Timeout | undefined;
  #received = 0;
  #delivered = 0;
  /** Bytes of the driver that the connect phase answered, and those given to the socket after it. */
  #answered = 0;
  #written = 0;
  #consumed = 0;
  #reported = 0;
  #driverEnded = false;
  #databaseEnded = false;
  #paused = false;
  #failure: BackendError | undefined;
  #socketError: Error | undefined;

  constructor(options: BackendSessionOptions) {
    this.#limits = options.limits;
    this.#log = options.log;
    this.#events = options.events;
    this.#now = options.now;
    this.#createdMs = options.now();
    this.#address = options.address;
    this.#tracker = new SessionTracker();
    this.#phase = new ConnectPhase({ address: options.address, limits: options.limits });
    this.#connectTimer = setTimeout(() => {
      if (this.#phase !== undefined) this.#perform(this.#phase.timedOut());
    }, options.limits.connectMs);
  }

  /** Bytes of the driver, in order. The view may be kept: its memory must not be written again. */
  write(view: Buffer): void {
    if (this.#state === 'closed' || this.#driverEnded) return;
    this.#received += view.length;
    if (this.#phase === undefined) this.#send(view);
    else this.#perform(this.#phase.fromDriver(view));
  }

  /** The driver has ended its direction. Before it has an answer to its CONNECT that ends the session. */
  end(): void {
    if (this.#state === 'closed' || this.#driverEnded) return;
    this.#driverEnded = true;
    if (this.#phase !== undefined) this.destroy();
    else this.#socket?.end();
  }

  /** Stops reading from the database: its own kernel, then the database, feel the back-pressure. */
  pause(): void {
    this.#paused = true;
    this.#socket?.pause();
  }

  resume(): void {
    this.#paused = false;
    this.#socket?.resume();
  }

  /** How many of the driver's bytes have reached the next hop; grows. */
  get consumed(): number {
    this.#measure();
    return this.#consumed;
  }

  describe(): SessionView {
    return {
      state: this.#state,
      database: {
        ...(this.#phase?.address ?? this.#address),
        localAddress: this.#socket?.localAddress,
        localPort: this.#socket?.localPort,
      },
      createdMs: this.#createdMs,
      positions: { received: this.#received, consumed: this.consumed, delivered: this.#delivered },
      driverEnded: this.#driverEnded,
      databaseEnded: this.#databaseEnded,
      paused: this.#paused,
      track: this.#tracker.view(),
    };
  }

  /** Drops the connection to the database, which rolls back. `closed` follows, without an error. */
  destroy(): void {
    this.#finish(undefined);
  }

  #perform(actions: readonly ConnectAction[]): void {
    for (const action of actions) {
      // An event's receiver may have called destroy.
      if (this.#state === 'closed') return;
      switch (action.kind) {
        case 'dial':
          this.#dial(action.address);
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

  #dial(address: DatabaseAddress): void {
    if (this.#socket !== undefined) abandon(this.#socket);
    this.#log.debug({ database: address }, 'dialing the database');
    const socket = dial(address, this.#limits, {
      connected: this.#onConnected,
      data: this.#onData,
      end: this.#onEnd,
      error: this.#onError,
      close: this.#onClose,
    });
    this.#socket = socket;
    if (this.#paused) socket.pause();
    clearTimeout(this.#dialTimer);
    this.#dialTimer = setTimeout(() => {
      const message = `not connected within ${this.#limits.dialMs} ms`;
      if (this.#phase !== undefined) this.#perform(this.#phase.dialFailed({ code: 'ETIMEDOUT', message }));
    }, this.#limits.dialMs);
  }

  #settle(settled: Settled): void {
    const address = this.#phase?.address ?? this.#address;
    this.#stopTimers();
    this.#phase = undefined;
    this.#address = address;
    this.#state = settled.outcome.kind === 'refused' ? 'refused' : 'open';
    this.#answered = settled.answeredBytes;
    this.#tracker.settled(settled);
    if (settled.outcome.kind === 'refused') {
      const { service } = this.#tracker.view().identity;
      this.#log.info({ database: address, service, ora: settled.outcome.number }, 'the listener refused a session');
    }
    this.#report();
    if (settled.fromDriver.length > 0) this.#send(settled.fromDriver);
    if (settled.fromDatabase.length > 0) this.#onData(settled.fromDatabase);
  }

  #send(view: Buffer): void {
    this.#tracker.fromDriver(view, this.#now());
    this.#written += view.length;
    this.#socket?.write(view, this.#onWritten);
  }

  #deliver(chunk: Buffer): void {
    this.#delivered += chunk.length;
    this.#events.data(chunk);
  }

  readonly #onConnected = (): void => {
    clearTimeout(this.#dialTimer);
    if (this.#phase !== undefined) this.#perform(this.#phase.dialed());
  };

  readonly #onData = (chunk: Buffer): void => {
    if (this.#phase !== undefined) {
      this.#perform(this.#phase.fromDatabase(chunk));
      return;
    }
    this.#tracker.fromDatabase(chunk, this.#now());
    this.#deliver(chunk);
  };

  readonly #onEnd = (): void => {
    this.#databaseEnded = true;
    if (this.#phase !== undefined) {
      this.#perform(this.#phase.databaseEnded());
      return;
    }
    // Decided and told now: the driver will end too because of this, and everything is over before the socket closes.
    this.#failure = this.#endedBy();
    if (this.#failure !== undefined) this.#logEnd(this.#failure);
    this.#events.end();
  };

  readonly #onError = (error: NodeJS.ErrnoException): void => {
    this.#socketError = error;
    if (this.#phase === undefined) return;
    const failure = { code: error.code, message: error.message === '' ? String(error.code) : error.message };
    const isDialing = this.#phase.state === 'dialing';
    this.#perform(isDialing ? this.#phase.dialFailed(failure) : this.#phase.databaseEnded(error));
  };

  readonly #onClose = (): void => {
    this.#finish(this.#failure ?? this.#endedBy());
  };

  /** One callback for all writes: the socket then merges the calls of one tick into few, and nothing is allocated per chunk. */
  readonly #onWritten = (error: Error | null | undefined): void => {
    if (!error) this.#report();
  };

  #report(): void {
    this.#measure();
    if (this.#consumed > this.#reported) {
      this.#reported = this.#consumed;
      this.#events.consumed(this.#consumed);
    }
  }

  /**
   * What the kernel has taken is what was given to the socket less what the socket still holds. A socket that is being
   * destroyed forgets what it holds, so its numbers count no longer: they would call lost bytes consumed.
   */
  #measure(): void {
    const socket = this.#socket;
    if (this.#phase !== undefined || socket === undefined || socket.destroyed || socket.errored) return;
    this.#consumed = Math.max(this.#consumed, this.#answered + this.#written - socket.writableLength);
  }

  /** The error that the end of the connection stands for, if any. */
  #endedBy(): BackendError | undefined {
    const asked = this.#driverEnded || this.#state === 'refused' || this.#tracker.loggedOff;
    if (asked) return undefined;
    if (this.#databaseEnded) {
      return new BackendError('database-ended', 'the database ended the session', this.#socketError);
    }
    const why = this.#socketError?.message ?? 'closed';
    return new BackendError('database-lost', `the connection to the database was lost: ${why}`, this.#socketError);
  }

  /** No session was made. A REFUSE, where the driver understands one, has already been delivered. */
  #fail(error: BackendError): void {
    this.#phase = undefined;
    this.#consumed = this.#received;
    if (this.#delivered > 0) {
      this.#reported = this.#consumed;
      this.#events.consumed(this.#consumed);
    }
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
    if (this.#socket !== undefined) abandon(this.#socket);
    process.nextTick(() => this.#events.closed(this.#failure));
  }

  /** The one line about a session that ended unasked, or never came to be. */
  #logEnd(error: BackendError): void {
    const { identity, transaction, phase, calls } = this.#tracker.view();
    const { user, sid, serial } = identity;
    const database = `${this.#address.host}:${this.#address.port}`;
    const isLost = error.code === 'database-ended' || error.code === 'database-lost';
    if (isLost && phase === 'login' && calls.lastError > 0) {
      // The database has said no and hung up, as it does: there never was a session.
      this.#log.info({ database, user, ora: calls.lastError }, 'login failed');
    } else if (isLost) {
      this.#log.warn({ err: error, database, user, sid, serial, transaction: transaction.kind }, 'session lost');
    } else this.#log.warn({ err: error, database }, 'no session with the database');
  }

  #stopTimers(): void {
    clearTimeout(this.#connectTimer);
    clearTimeout(this.#dialTimer);
    this.#connectTimer = undefined;
    this.#dialTimer = undefined;
  }
}
