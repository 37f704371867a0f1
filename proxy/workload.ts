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
import type { BackendEvents } from './backend/session.js';
import { type Backend, Bridge, type BridgeOwner, type WorkloadSession } from './bridge.js';
import type { SavedHolds } from './holds.js';
import type { SessionOwner } from './inject/gate.js';
import { Ledger } from './ledger.js';
import type { Memory } from './memory.js';
import type { Quota, SessionPlace } from './quota.js';
import type { Protection, WorkloadProtection } from './takeover/protection.js';
import type { SavedWorkload } from './takeover/saved.js';
import type { TakenOverSession } from './takeover/takeover.js';

export type { WorkloadSession } from './bridge.js';

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

export type OpenBackend = (events: BackendEvents, log: Logger, place: SessionPlace, owner: SessionOwner) => Backend;

/** What every workload of a proxy works with. */
export interface WorkloadParts {
  readonly linkLimits: LinkLimits;
  readonly log: Logger;
  readonly now: () => number;
  readonly newToken: () => Buffer;
  readonly openBackend: OpenBackend;
  readonly memory: Memory;
  readonly quota: Quota;
  readonly protection: Protection;
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
  lost(
    workload: Workload,
    session: Pick<WorkloadSession, 'stream' | 'view'>,
    error: { readonly code: string; readonly message: string },
  ): void;
  /** For how long it is held, as another process would have to know. */
  holds(workload: Workload): SavedHolds;
}

/** One workload: its link machine, its database sessions, and whoever serves it. */
export class Workload {
  readonly name: string;
  readonly instance: string;
  readonly #options: WorkloadOptions;
  readonly #log: Logger;
  readonly #link: Link;
  readonly #ledger: Ledger;
  readonly #protection: WorkloadProtection;
  readonly #owner: BridgeOwner;
  readonly #sessions = new Map<StreamId, Bridge>();
  /** Those that have got some of what is being delivered. */
  readonly #fed: Bridge[] = [];
  #binding: Binding = noBinding;
  #state: WorkloadState;

  /** @param taken what another process has left of it, for `takeUp` to go on with */
  constructor(options: WorkloadOptions, taken?: { readonly id: number; readonly saved: SavedWorkload }) {
    this.name = options.name;
    this.instance = options.instance;
    this.#options = options;
    this.#log = options.log.child({ workload: options.name, instance: options.instance });
    this.#link = new Link('proxy', options.linkLimits, this.#linkEvents());
    const link = { pause: () => this.#socket?.pause(), resume: () => this.#socket?.resume() };
    this.#ledger = new Ledger(options.memory, link);
    this.#state = { kind: 'held', sinceMs: options.now(), address: '', why: 'not bound yet' };
    if (taken !== undefined) {
      const { binding, link: image, address, away } = taken.saved;
      this.#binding = binding;
      this.#link.takeUp(image);
      this.#state = { kind: 'held', ...(away ?? { sinceMs: options.now(), why: takenOver }), address };
    }
    this.#protection = options.protection.workload(() => this.#save(), taken?.id);
    this.#owner = {
      link: this.#link,
      ledger: this.#ledger,
      protection: this.#protection,
      touched: (stream) => this.#touched(stream),
      lost: (session, error) => options.watcher.lost(this, session, error),
    };
  }

  /** One of its sessions goes on from where another process has stopped. */
  takeUp({ id, rest, closed, make }: TakenOverSession): void {
    const place = this.#options.quota.open(this.name);
    const before = this.#link.storedBytes;
    const hasRoom = this.#link.takeUpStream(rest);
    const facts = { id, storedBytes: this.#link.storedBytes - before, hasRoom, consumed: rest.consumed, closed };
    const log = this.#log.child({ stream: rest.id });
    const bridge = new Bridge(
      this.#owner,
      rest.id,
      place,
      (events) => make(events, log, place, this.#ownerOf(rest.id)),
      facts,
    );
    this.#sessions.set(rest.id, bridge);
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
    return this.#sessions.get(stream as StreamId);
  }

  sessions(): WorkloadSession[] {
    return [...this.#sessions.values()];
  }

  /** What another process would have to know of it has changed, outside of this class. */
  changed(): void {
    this.#protection.changed();
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
    // Before the shim has the new token: a worker that does not know it would refuse the shim for good.
    this.#protection.changed();
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
    // Or the worthless token would be good again for the worker after this one.
    this.#protection.changed();
    socket.admit();
  }

  /** All of what was read from the link at once has been delivered. @returns whether views of it are kept */
  delivered(): boolean {
    let isKept = false;
    for (const session of this.#fed) if (session.delivered()) isKept = true;
    this.#fed.length = 0;
    return isKept;
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
    // First: a worker that dies half-way must not leave a workload with some of its sessions.
    this.#protection.end();
    this.#socket?.closeWith(frameTypes.goodbye);
    this.#state = { kind: 'ended', code };
    this.#log.info({ epoch: this.epoch, sessions: this.#sessions.size, code }, 'ended');
    this.#link.detach();
    for (const session of this.#sessions.values()) session.forgotten();
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
        if (session === undefined) return;
        session.deliver(bytes);
        this.#fed.push(session);
      },
      peerEnded: (stream, code) => {
        if (broken.has(code)) this.#brokeRules(stream, code);
        this.#sessions.get(stream)?.peerEnded(code);
      },
      room: (stream) => this.#sessions.get(stream)?.room(),
      freed: (stream, bytes, base) => this.#sessions.get(stream)?.freed(bytes, base),
      forgotten: (stream) => {
        this.#sessions.get(stream)?.forgotten();
        this.#sessions.delete(stream);
        // What has passed over it counts when somebody presents an older image. In this order: never twice.
        this.#protection.changed();
      },
      wake: () => this.#socket?.wake(),
      acksWaiting: () => this.#socket?.acksWaiting(),
    };
  }

  #openSession(stream: StreamId): void {
    this.#protection.opened(stream);
    const log = this.#log.child({ stream });
    const place = this.#options.quota.open(this.name);
    const owner = this.#ownerOf(stream);
    const make = (events: BackendEvents): Backend => this.#options.openBackend(events, log, place, owner);
    this.#sessions.set(stream, new Bridge(this.#owner, stream, place, make));
  }

  #ownerOf(stream: StreamId): SessionOwner {
    const { name: workload, instance } = this;
    return { workload, instance, stream, cutLink: () => this.#socket?.sever('cut by an injected fault') };
  }

  #save(): SavedWorkload {
    const { name, instance } = this;
    const state = this.#state;
    const away = state.kind === 'held' ? { sinceMs: state.sinceMs, why: state.why } : undefined;
    const address = state.kind === 'bound' ? state.attachment.address : state.kind === 'held' ? state.address : '';
    const holds = this.#options.watcher.holds(this);
    return { kind: 'workload', name, instance, binding: this.#binding, link: this.#link.image(), holds, address, away };
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

/** Why a workload that was bound is held when the worker that served it has gone. */
export const takenOver = 'the proxy has another worker';

/** How a stream ends when its bytes are not what they should be. */
const broken: ReadonlySet<EndCode> = new Set(['gap', 'overlap', 'window-exceeded', 'ack-beyond-sent']);

/** Nothing can be lost with it any more; it is kept until the shim has been told. */
export function isOver({ view }: Pick<WorkloadSession, 'view'>): boolean {
  return view.state === 'closed' || view.databaseEnded;
}
