import type { Logger } from 'pino';
import {
  type Binding,
  bound,
  confirmed,
  type EndCode,
  encodeResumeOk,
  frameTypes,
  judge,
  Link,
  type LinkEvents,
  type LinkLimits,
  noBinding,
  protocolVersion,
  type Resume,
  type StreamId,
  type Verdict,
} from '../shim/link/index.js';
import type { LinkSocket } from '../shim/link/socket.js';
import type { BackendError } from './backend/errors.js';
import type { BackendEvents, BackendSession, SessionView } from './backend/session.js';
import { Ledger, type SessionLedger } from './ledger.js';
import type { Memory } from './memory.js';
import type { Quota, SessionPlace } from './quota.js';

/** The connection that serves a workload at the moment. The newest epoch owns the workload; older ones are fenced. */
export interface Attachment {
  readonly socket: LinkSocket;
  /** Where the shim dialed from. */
  readonly address: string;
  readonly boundAtMs: number;
}

/**
 *   new ──bind──> bound ──cut, detach──> held ──bind──> bound ...
 *                   │                      │
 *                   └──── end (goodbye, hold expired, operator) ────> ended
 */
export type WorkloadState =
  | { readonly kind: 'bound'; readonly attachment: Attachment }
  | { readonly kind: 'held'; readonly sinceMs: number; readonly address: string; readonly why: string }
  | { readonly kind: 'ended'; readonly code: EndCode };

/** The database side of one stream, as far as a workload needs it. */
export type Backend = Pick<BackendSession, 'write' | 'end' | 'pause' | 'resume' | 'describe' | 'destroy'>;
export type OpenBackend = (events: BackendEvents, log: Logger, place: SessionPlace) => Backend;

/** What every workload of a proxy works with. */
export interface WorkloadParts {
  readonly linkLimits: LinkLimits;
  readonly log: Logger;
  readonly now: () => number;
  readonly newToken: () => Buffer;
  readonly openBackend: OpenBackend;
  readonly memory: Memory;
  readonly quota: Quota;
}

export interface WorkloadOptions extends WorkloadParts {
  readonly name: string;
  readonly instance: string;
  readonly watcher: WorkloadWatcher;
}

/** Who has to know what sessions do while nobody asks. */
export interface WorkloadWatcher {
  /** While held: the database has said something, or ended the session, which may be doing something else now. */
  touched(workload: Workload, stream: StreamId): void;
  /** The database has ended a session unasked, the connection to it was lost, or an end of the link broke its rules. */
  lost(workload: Workload, session: WorkloadSession, error: { readonly code: string; readonly message: string }): void;
}

interface Session {
  readonly backend: Backend;
  readonly ledger: SessionLedger;
}

export interface WorkloadSession {
  readonly stream: StreamId;
  readonly view: SessionView;
}

/**
 * One workload: its link machine, its database sessions, and whoever serves it. The only place where bytes of a link
 * meet bytes of a database.
 */
export class Workload {
  readonly name: string;
  readonly instance: string;
  readonly #options: WorkloadOptions;
  readonly #log: Logger;
  readonly #link: Link;
  readonly #ledger: Ledger;
  readonly #sessions = new Map<StreamId, Session>();
  #binding: Binding = noBinding;
  #state: WorkloadState;

  constructor(options: WorkloadOptions) {
    this.name = options.name;
    this.instance = options.instance;
    this.#options = options;
    this.#log = options.log.child({ workload: options.name, instance: options.instance });
    this.#link = new Link('proxy', options.linkLimits, this.#linkEvents());
    const link = { pause: () => this.#socket?.pause(), resume: () => this.#socket?.resume() };
    this.#ledger = new Ledger(options.memory, link);
    this.#state = { kind: 'held', sinceMs: options.now(), address: '', why: 'not bound yet' };
  }

  get state(): WorkloadState {
    return this.#state;
  }
  get epoch(): number {
    return this.#binding.epoch;
  }
  get storedBytes(): number {
    return this.#link.storedBytes;
  }
  get counters(): Link['counters'] {
    return this.#link.counters;
  }

  session(stream: number): WorkloadSession | undefined {
    const view = this.#sessions.get(stream as StreamId)?.backend.describe();
    return view && { stream: stream as StreamId, view };
  }

  sessions(): WorkloadSession[] {
    return [...this.#sessions].map(([stream, { backend }]) => ({ stream, view: backend.describe() }));
  }

  /**
   * Binds the workload to a new connection, or says why not. From the moment this returns without a verdict the former
   * connection cannot move a byte any more.
   */
  bind(resume: Resume, socket: LinkSocket, address: string): { verdict: Verdict; reason: string } | undefined {
    const refused = judge(resume, this.#binding, this.#link);
    if (refused !== undefined) return refused;
    const { now, newToken } = this.#options;
    if (this.#state.kind === 'bound') {
      this.#log.warn({ address: this.#state.attachment.address, by: address }, 'fenced: a newer connection has bound');
      this.#state.attachment.socket.destroy();
      this.#link.detach();
    }
    this.#binding = bound(this.#binding, resume, newToken());
    this.#state = { kind: 'bound', attachment: { socket, address, boundAtMs: now() } };
    const before = this.#link.counters.replayedBytes;
    this.#link.resume(resume);
    const replayedBytes = this.#link.counters.replayedBytes - before;
    socket.sendControl(
      encodeResumeOk({
        version: protocolVersion,
        epoch: this.#binding.epoch,
        token: this.#binding.token,
        ...this.#link.account(),
        replayedBytes,
      }),
    );
    socket.serve(this.#link);
    this.#ledger.bound();
    this.#log.info({ epoch: this.epoch, address, sessions: this.#sessions.size, replayedBytes }, 'bound');
    return undefined;
  }

  /** The shim has the new token: the old one is worthless, and its frames are welcome. */
  confirm(socket: LinkSocket, epoch: number): void {
    if (epoch !== this.#binding.epoch || !this.#isServedBy(socket)) return;
    this.#binding = confirmed(this.#binding);
    socket.admit();
  }

  /** The connection is gone. Sessions are held from now on. False when it had been fenced before. */
  release(socket: LinkSocket, why: string): boolean {
    if (this.#state.kind !== 'bound' || !this.#isServedBy(socket)) return false;
    const { address } = this.#state.attachment;
    this.#link.detach();
    this.#state = { kind: 'held', sinceMs: this.#options.now(), address, why };
    this.#ledger.held();
    this.#log.info({ epoch: this.epoch, sessions: this.#sessions.size, why }, 'held');
    return true;
  }

  /** Ends all sessions; Oracle rolls back what is open. */
  end(code: EndCode): void {
    if (this.#state.kind === 'ended') return;
    this.#socket?.closeWith(frameTypes.goodbye);
    this.#state = { kind: 'ended', code };
    this.#log.info({ epoch: this.epoch, sessions: this.#sessions.size, code }, 'ended');
    this.#link.detach();
    for (const { backend } of this.#sessions.values()) backend.destroy();
    this.#sessions.clear();
    this.#ledger.close();
  }

  get #socket(): LinkSocket | undefined {
    return this.#state.kind === 'bound' ? this.#state.attachment.socket : undefined;
  }

  #isServedBy(socket: LinkSocket): boolean {
    return this.#socket === socket;
  }

  #linkEvents(): LinkEvents {
    return {
      opened: (stream) => this.#openSession(stream),
      deliver: (stream, bytes) => {
        const session = this.#sessions.get(stream);
        session?.ledger.received(bytes.length);
        session?.backend.write(bytes);
      },
      peerEnded: (stream, code) => {
        const backend = this.#sessions.get(stream)?.backend;
        if (code === 'closed') backend?.end();
        else {
          if (broken.has(code)) this.#brokeRules(stream, code);
          backend?.destroy();
        }
      },
      room: (stream) => this.#sessions.get(stream)?.ledger.room(),
      freed: (stream, bytes) => this.#sessions.get(stream)?.ledger.freed(bytes),
      forgotten: (stream) => {
        const session = this.#sessions.get(stream);
        session?.backend.destroy();
        session?.ledger.close();
        this.#sessions.delete(stream);
      },
      wake: () => this.#socket?.wake(),
      acksWaiting: () => this.#socket?.acksWaiting(),
    };
  }

  #openSession(stream: StreamId): void {
    const link = this.#link;
    const log = this.#log.child({ stream });
    const place = this.#options.quota.open(this.name);
    const backend: Backend = this.#options.openBackend(
      {
        data: (chunk) => {
          const before = link.storedBytes;
          const hasRoom = link.send(stream, chunk);
          ledger.stored(link.storedBytes - before, !hasRoom);
          this.#touched(stream);
        },
        consumed: (total) => {
          link.consumed(stream, total);
          ledger.taken(total);
        },
        end: (error) => {
          link.end(stream, 'closed');
          this.#mayBeLost(stream, backend, error);
        },
        closed: (error) => {
          place.close();
          // Also after an orderly end: what the driver may still send has nowhere to go, and it must learn that.
          link.end(stream, 'closed');
          const { driverEnded, databaseEnded, positions } = backend.describe();
          if (error !== undefined || !driverEnded || positions.received > positions.consumed) link.end(stream, 'lost');
          this.#mayBeLost(stream, backend, databaseEnded ? undefined : error);
        },
      },
      log,
      place,
    );
    const ledger = this.#ledger.open(backend);
    this.#sessions.set(stream, { backend, ledger });
  }

  /** The database says only once that a session is over: when it ends its direction, or else when the socket breaks. */
  #mayBeLost(stream: StreamId, backend: Backend, error: BackendError | undefined): void {
    const view = backend.describe();
    // A login that the database refuses ends in the same way: there never was a session.
    if (isLost(error) && view.track.phase !== 'login') this.#options.watcher.lost(this, { stream, view }, error);
    this.#touched(stream);
  }

  /** An end of the link did what it must never do: that ends the session, and is never silent. */
  #brokeRules(stream: StreamId, code: EndCode): void {
    const session = this.session(stream);
    if (session === undefined) return;
    const { user, sid, serial } = session.view.track.identity;
    const transaction = session.view.track.transaction.kind;
    this.#log.error(
      { code, stream, user, sid, serial, transaction },
      'session lost: the rules of the link were broken',
    );
    this.#options.watcher.lost(this, session, { code, message: 'the rules of the link were broken' });
  }

  #touched(stream: StreamId): void {
    if (this.#state.kind === 'held') this.#options.watcher.touched(this, stream);
  }
}

/** How a stream ends when its bytes are not what they should be. */
const broken: ReadonlySet<EndCode> = new Set(['gap', 'overlap', 'window-exceeded', 'ack-beyond-sent']);

/** Nothing can be lost with it any more; it is kept until the shim has been told. */
export function isOver({ view }: WorkloadSession): boolean {
  return view.state === 'closed' || view.databaseEnded;
}

/** There was a session, and neither the driver nor this proxy has ended it. */
function isLost(error: BackendError | undefined): error is BackendError {
  return error?.code === 'database-ended' || error?.code === 'database-lost';
}
