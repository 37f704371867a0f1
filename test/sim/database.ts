import type { Socket } from 'node:net';
import { recordVersion, type SessionRecord } from '../../proxy/backend/record.js';
import type { BackendEvents, SessionView } from '../../proxy/backend/session.js';
import type { Backend } from '../../proxy/bridge.js';
import type { SocketCounters } from '../../proxy/kernel/socket-counters.js';
import type { Activity } from '../../proxy/policy/rules.js';
import { SessionTracker } from '../../proxy/track/session.js';
import type { Fate } from './estate.js';
import { Speech } from './pattern.js';
import { Violation } from './violation.js';

const track = new SessionTracker().view();
const trackState = new SessionTracker().state();
const anchor = { received: 0, delivered: 0, writtenBytes: 0, readBytes: 0 };

/** One session of the database, as the proxy holds it: says what the run makes it say, and keeps count of what it hears. */
export class Database implements Backend {
  readonly speech = new Speech();
  /** The worker that has it. */
  events: BackendEvents;
  readonly voice: number;
  received = 0;
  consumed = 0;
  /** How much of what it has said the worker has passed on. */
  delivered = 0;
  /** The worker has begun to pass bytes on, and would have to be followed by another. */
  isSettled = false;
  /** False: takes bytes without having passed them on, as a database that does not read. */
  reads = true;
  paused = false;
  work: Activity = 'idle';
  /** The driver's direction has ended; its own has; the proxy has ended the session; the connection is gone. */
  heardEnd = false;
  hasEnded = false;
  destroyed = false;
  closed = false;
  /** No worker has it any more. */
  hasVanished = false;
  /** It was gone before everything had been said. */
  broke = false;
  readonly #heard: (session: Database, bytes: Buffer) => void;
  readonly #landed: (bytes: Buffer) => void;
  #fate: Fate;

  /** @param landed what it says is in the memory of the proxy from then on, whatever becomes of the worker */
  constructor(
    events: BackendEvents,
    voice: number,
    heard: (session: Database, bytes: Buffer) => void,
    fate: Fate,
    landed: (bytes: Buffer) => void = () => undefined,
  ) {
    this.events = events;
    this.voice = voice;
    this.#heard = heard;
    this.#fate = fate;
    this.#landed = landed;
  }

  /** The session is over, whoever ended it. */
  get isOver(): boolean {
    return this.destroyed || this.closed;
  }

  /** What the kernel knows of its connection. */
  counters(): SocketCounters | undefined {
    if (this.isOver) return undefined;
    const { consumed: writtenBytes, heardEnd: ended, hasEnded: peerEnded } = this;
    const { said: readBytes } = this.speech;
    return { writtenBytes, readBytes, arrivedBytes: readBytes, peerEnded, ended };
  }

  /** The worker is dead: what the kernel had not taken by then is gone with it. */
  orphan(): void {
    // Its end would have come behind what was lost.
    if (this.received > this.consumed) this.heardEnd = false;
    this.received = this.consumed;
  }

  /** Nobody holds its connection any more. */
  vanish(): void {
    if (this.isOver) return;
    this.closed = true;
    this.broke = true;
    this.hasVanished = true;
  }

  /** Another worker goes on with it. */
  takeUp(events: BackendEvents, fate: Fate, record: SessionRecord, resendFrom: number): void {
    const { positions, driverEnded } = record;
    if (resendFrom !== this.consumed) throw new Violation('not-taken-over', 'bytes come again from another position');
    this.events = events;
    this.#fate = fate;
    this.paused = false;
    this.delivered = positions.delivered;
    if (driverEnded && resendFrom === positions.received) this.heardEnd = true;
  }

  write(view: Buffer): void {
    this.#settle();
    this.events.sending?.(this.received, view);
    this.#fate.step();
    this.#heard(this, view);
    this.received += view.length;
    if (this.reads) this.consume();
  }
  gather(): void {}
  flush(): boolean {
    return false;
  }
  end(): void {
    this.#fate.step();
    this.heardEnd = true;
  }
  pause(): void {
    this.paused = true;
  }
  resume(): void {
    this.paused = false;
  }
  destroy(): void {
    this.#fate.step();
    this.cut();
  }
  /** The connection is gone with its proxy. */
  cut(): void {
    this.destroyed = true;
  }
  record(): SessionRecord | undefined {
    if (this.isOver || !this.isSettled) return undefined;
    const { database, createdMs, positions, driverEnded, databaseEnded, paused } = this.describe();
    return {
      ...{ version: recordVersion, oldest: recordVersion, state: 'open', anchor },
      ...{ database, createdMs, positions, driverEnded, databaseEnded, paused },
      watchedBytes: this.received,
      endedUnasked: false,
      track: trackState,
    };
  }
  get keepable(): Socket | undefined {
    return this.isOver ? undefined : (this as unknown as Socket);
  }
  describe(): SessionView {
    const transaction = this.work === 'transaction' ? { kind: 'open' as const, sinceMs: 0 } : { kind: 'none' as const };
    const calls = this.work === 'call' ? { ...track.calls, inFlight: 1 } : track.calls;
    return {
      state: this.closed ? 'closed' : 'open',
      database: { host: 'database', port: 1, localAddress: undefined, localPort: undefined },
      // What nobody needs here tells the sessions apart.
      createdMs: this.voice,
      positions: { received: this.received, consumed: this.consumed, delivered: this.delivered },
      driverEnded: this.heardEnd,
      databaseEnded: this.hasEnded,
      paused: this.paused,
      track: { ...track, calls, transaction },
    };
  }

  say(count: number): void {
    if (this.paused || this.hasEnded || this.isOver) return;
    this.#settle();
    const bytes = this.speech.say(this.voice, count);
    this.#landed(bytes);
    this.events.reading?.(this.delivered, bytes);
    this.delivered += count;
    this.events.data(bytes);
    // The next read goes to the same place.
    bytes.fill(0);
  }
  /** What it does is seen by what it says. */
  begin(work: Activity): void {
    if (this.paused || this.hasEnded || this.isOver) return;
    this.work = work;
    this.say(1);
  }
  setReads(reads: boolean): void {
    this.reads = reads;
    if (reads) this.consume();
  }
  consume(): void {
    if (this.isOver || this.consumed === this.received) return;
    this.consumed = this.received;
    this.events.consumed(this.consumed);
  }
  /** Ends its direction in order. */
  endSpeech(): void {
    if (this.hasEnded || this.isOver) return;
    this.hasEnded = true;
    this.events.end();
  }
  /** The connection is gone: in order when both directions had ended, broken otherwise. */
  close(error: Parameters<BackendEvents['closed']>[0]): void {
    if (this.isOver) return;
    this.closed = true;
    this.broke = error !== undefined || !this.heardEnd || !this.hasEnded || this.received > this.consumed;
    this.events.closed(error);
  }

  #settle(): void {
    if (this.isSettled) return;
    this.isSettled = true;
    this.events.settled?.();
  }
}
