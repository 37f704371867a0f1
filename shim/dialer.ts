import type { Logger } from 'pino';
import { ShimError } from './errors.js';
import {
  type Cancel,
  type Clock,
  decodeRejected,
  decodeResumeOk,
  type EndCode,
  type Epoch,
  encodeConfirm,
  encodeResume,
  frameTypes,
  initiator,
  Link,
  LinkError,
  type LinkEvents,
  type LinkLimits,
  protocolVersion,
  type ResumeOk,
  type Verdict,
} from './link/index.js';
import { LinkSocket, type LinkSocketEvents, systemClock, type Wire } from './link/socket.js';

export interface DialTarget {
  readonly host: string;
  readonly port: number;
  /** Address to dial from; undefined lets the kernel choose. */
  readonly localAddress?: string | undefined;
}

export interface DialerOptions {
  readonly workload: string;
  /** Makes the name of a new incarnation of this shim: random, once per set of sessions. */
  readonly newInstance: () => string;
  readonly target: DialTarget;
  /** Opens a socket and calls back when it may be written to (after TLS, where that is used). */
  readonly connect: (target: DialTarget, connected: () => void) => Wire;
  readonly limits: LinkLimits;
  readonly log: Logger;
  /** The runtime's when left out. */
  readonly clock?: Clock;
  readonly events: Pick<LinkEvents, 'deliver' | 'peerEnded' | 'room' | 'forgotten'> & {
    /** @returns whether views of what was delivered last are kept */
    delivered(): boolean;
    /** Every stream is over: their connections must be broken off. */
    lost(code: EndCode): void;
  };
}

export interface Attached {
  readonly epoch: number;
  readonly streams: number;
  /** Bytes sent a second time because of this bind. */
  readonly replayedBytes: { readonly up: number; readonly down: number };
  /** From the attach to the bind. */
  readonly elapsedMs: number;
  /** Address of this end of the link. */
  readonly address: string;
}

/** Verdicts after which the sessions are gone but nobody else has this workload: the shim may begin again. */
const sessionsGone: ReadonlySet<Verdict> = new Set<Verdict>(['unknown-workload', 'hold-expired']);

/** The shim's end of the link: gets one, keeps one, and takes the streams from one to the next. */
export class Dialer {
  readonly #options: DialerOptions;
  readonly #log: Logger;
  readonly #clock: Clock;
  #link: Link;
  #instance: string;
  #epoch = 0 as Epoch;
  #token: Buffer = Buffer.alloc(0);
  /** RESUMEs sent so far. */
  #resumes = 0;
  #target: DialTarget;
  #state: initiator.InitiatorState = initiator.detached;
  #socket: LinkSocket | undefined;
  #raw: Wire | undefined;
  #cancelTick: Cancel | undefined;
  #attachedAtMs = 0;
  #lastBind: Attached | undefined;
  #downSinceMs: number;
  readonly #waiters: { resolve: (attached: Attached) => void; reject: (error: ShimError) => void }[] = [];

  constructor(options: DialerOptions) {
    this.#options = options;
    this.#log = options.log;
    this.#clock = options.clock ?? systemClock;
    this.#downSinceMs = this.#clock.now();
    this.#target = options.target;
    this.#instance = options.newInstance();
    this.#link = this.#newLink();
  }

  get link(): Link {
    return this.#link;
  }
  get state(): initiator.InitiatorState {
    return this.#state;
  }
  get instance(): string {
    return this.#instance;
  }
  get epoch(): number {
    return this.#epoch;
  }
  get lastBind(): Attached | undefined {
    return this.#lastBind;
  }
  /** How long the link has been missed: since it broke, or since the attach that looks for it. 0 while there is one. */
  get downMs(): number {
    return this.#state.kind === 'bound' ? 0 : this.#clock.now() - this.#downSinceMs;
  }

  /**
   * Dials until bound or refused. A local address holds for this attach and its reconnects: the next host has another.
   * @throws {ShimError} refused-<verdict>, detached
   */
  attach(target: Partial<DialTarget> = {}): Promise<Attached> {
    this.#target = { ...this.#target, localAddress: undefined, ...target };
    if (this.#state.kind === 'bound' && this.#lastBind !== undefined) return Promise.resolve(this.#lastBind);
    return new Promise((resolve, reject) => {
      this.#waiters.push({ resolve, reject });
      this.#attachedAtMs = this.#clock.now();
      this.#step({ kind: 'attach' });
    });
  }

  /** Closes the link in order, keeps all streams and drivers; resolves when the descriptor is closed. */
  async detach(): Promise<void> {
    const closing = this.#socket;
    this.#step({ kind: 'detach' });
    for (const waiter of this.#waiters.splice(0)) waiter.reject(ShimError.detached());
    await closing?.closed();
  }

  /** Ends every session: the application is being stopped. */
  async stop(): Promise<void> {
    const closing = this.#socket;
    if (this.#state.kind === 'bound') closing?.closeWith(frameTypes.goodbye);
    this.#socket = undefined;
    await Promise.all([this.detach(), closing?.closed()]);
  }

  #newLink(): Link {
    const { events, limits } = this.#options;
    return new Link('shim', limits, {
      opened: () => undefined,
      deliver: (stream, bytes) => events.deliver(stream, bytes),
      peerEnded: (stream, code) => events.peerEnded(stream, code),
      room: (stream) => events.room(stream),
      forgotten: (stream) => events.forgotten(stream),
      wake: () => this.#socket?.wake(),
      acksWaiting: () => this.#socket?.acksWaiting(),
    });
  }

  #step(event: initiator.InitiatorEvent): void {
    const { state, actions } = initiator.step(this.#state, event, this.#clock.now(), this.#options.limits);
    const wasUp = this.#state.kind === 'bound' && state.kind !== 'bound';
    const wasAway = this.#state.kind === 'detached' && state.kind !== 'detached';
    if (wasUp || wasAway) this.#downSinceMs = this.#clock.now();
    this.#state = state;
    for (const action of actions) this.#perform(action);
    this.#cancelTick?.();
    const due = initiator.deadlineMs(this.#state);
    if (due !== undefined) {
      const tick = (): void => this.#step({ kind: 'tick', jitter: this.#clock.random() });
      this.#cancelTick = this.#clock.after(Math.max(0, due - this.#clock.now()) + 1, tick);
    }
  }

  #perform(action: initiator.InitiatorAction): void {
    switch (action.kind) {
      case 'dial':
        this.#dial();
        break;
      case 'hang-up':
        this.#hangUp(action.sayDetach);
        break;
      case 'send-resume':
        this.#sendResume();
        break;
      case 'bind':
        this.#bind(action.answer);
        break;
      case 'refuse':
        this.#refuse(action.verdict, action.reason);
        break;
      case 'failed':
        this.#logFailure(action.failure, action.attempt);
        break;
    }
  }

  /** Attempts go on without end: the first, the second, the fourth, the eighth ... are worth a line. */
  #logFailure(failure: initiator.Failure, attempt: number): void {
    const isTelling = (attempt & (attempt - 1)) === 0;
    this.#log[isTelling ? 'warn' : 'debug']({ ...failure, attempt, proxy: this.#target }, 'no link to the proxy');
  }

  #dial(): void {
    const socket = this.#options.connect(this.#target, () => this.#step({ kind: 'connected' }));
    this.#raw = socket;
    const events: LinkSocketEvents = {
      control: (type, payload) => {
        if (this.#socket !== attempt) return;
        if (type === frameTypes.resumeOk) this.#step({ kind: 'resume-ok', answer: decodeResumeOk(payload) });
        else if (type === frameTypes.rejected) this.#step({ kind: 'rejected', answer: decodeRejected(payload) });
        else if (type === frameTypes.goodbye) this.#startAfresh('shutdown');
        else throw new LinkError('link-unexpected-frame', `control frame ${type} from the proxy`, { source: 'proxy' });
      },
      delivered: () => this.#options.events.delivered(),
      cut: (error) => {
        if (this.#socket !== attempt) return;
        this.#socket = undefined;
        this.#link.detach();
        this.#step({ kind: 'cut', error, jitter: this.#clock.random() });
      },
    };
    const attempt: LinkSocket = new LinkSocket(socket, this.#options.limits, events, this.#clock);
    this.#socket = attempt;
  }

  #hangUp(sayDetach: boolean): void {
    const socket = this.#socket;
    this.#socket = undefined;
    this.#link.detach();
    if (sayDetach) socket?.closeWith(frameTypes.detach);
    else socket?.destroy();
  }

  #sendResume(): void {
    this.#socket?.sendControl(
      encodeResume({
        version: protocolVersion,
        workload: this.#options.workload,
        instance: this.#instance,
        epoch: this.#epoch,
        token: this.#token,
        attempt: ++this.#resumes,
        ...this.#link.account(),
      }),
    );
  }

  #bind(answer: ResumeOk): void {
    this.#epoch = answer.epoch;
    this.#token = answer.token;
    this.#socket?.sendControl(encodeConfirm(answer.epoch));
    const before = this.#link.counters.replayedBytes;
    this.#link.resume(answer);
    this.#socket?.serve(this.#link);
    this.#socket?.admit();
    const attached: Attached = {
      epoch: answer.epoch,
      streams: this.#link.streamCount,
      replayedBytes: { up: this.#link.counters.replayedBytes - before, down: answer.replayedBytes },
      elapsedMs: this.#clock.now() - this.#attachedAtMs,
      address: this.#raw?.localAddress ?? '',
    };
    this.#lastBind = attached;
    this.#log.info(attached, 'bound');
    for (const waiter of this.#waiters.splice(0)) waiter.resolve(attached);
  }

  #refuse(verdict: Verdict, reason: string): void {
    this.#log.error(
      { code: `refused-${verdict}`, reason, epoch: this.#epoch, streams: this.#link.streamCount },
      'the proxy refused the link',
    );
    for (const waiter of this.#waiters.splice(0)) waiter.reject(ShimError.refused(verdict, reason));
    this.#startAfresh(verdict === 'hold-expired' ? 'hold-expired' : 'refused');
    if (sessionsGone.has(verdict)) this.#clock.soon(() => this.#step({ kind: 'attach' }));
  }

  /** All sessions are over; what drivers open from now on are sessions of a new instance. */
  #startAfresh(code: EndCode): void {
    this.#options.events.lost(code);
    this.#link.detach();
    this.#link = this.#newLink();
    this.#instance = this.#options.newInstance();
    this.#epoch = 0 as Epoch;
    this.#token = Buffer.alloc(0);
  }
}
