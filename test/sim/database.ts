import type { BackendEvents, SessionView } from '../../proxy/backend/session.js';
import type { Backend } from '../../proxy/bridge.js';
import type { Activity } from '../../proxy/policy/rules.js';
import { SessionTracker } from '../../proxy/track/session.js';
import { Speech } from './pattern.js';

const track = new SessionTracker().view();

/** One session of the database, as the proxy holds it: says what the run makes it say, and keeps count of what it hears. */
export class Database implements Backend {
  readonly speech = new Speech();
  readonly events: BackendEvents;
  readonly voice: number;
  received = 0;
  consumed = 0;
  /** False: takes bytes without having passed them on, as a database that does not read. */
  reads = true;
  paused = false;
  work: Activity = 'idle';
  /** The driver's direction has ended; its own has; the proxy has ended the session; the connection is gone. */
  heardEnd = false;
  hasEnded = false;
  destroyed = false;
  closed = false;
  /** It was gone before everything had been said. */
  broke = false;
  readonly #heard: (session: Database, bytes: Buffer) => void;

  constructor(events: BackendEvents, voice: number, heard: (session: Database, bytes: Buffer) => void) {
    this.events = events;
    this.voice = voice;
    this.#heard = heard;
  }

  /** The session is over, whoever ended it. */
  get isOver(): boolean {
    return this.destroyed || this.closed;
  }

  write(view: Buffer): void {
    this.#heard(this, view);
    this.received += view.length;
    if (this.reads) this.consume();
  }
  end(): void {
    this.heardEnd = true;
  }
  pause(): void {
    this.paused = true;
  }
  resume(): void {
    this.paused = false;
  }
  destroy(): void {
    this.destroyed = true;
  }
  record(): undefined {}
  get keepable(): undefined {
    return undefined;
  }
  describe(): SessionView {
    const transaction = this.work === 'transaction' ? { kind: 'open' as const, sinceMs: 0 } : { kind: 'none' as const };
    const calls = this.work === 'call' ? { ...track.calls, inFlight: 1 } : track.calls;
    return {
      state: this.closed ? 'closed' : 'open',
      database: { host: 'database', port: 1, localAddress: undefined, localPort: undefined },
      // What nobody needs here tells the sessions apart.
      createdMs: this.voice,
      positions: { received: this.received, consumed: this.consumed, delivered: this.speech.said },
      driverEnded: this.heardEnd,
      databaseEnded: this.hasEnded,
      paused: this.paused,
      track: { ...track, calls, transaction },
    };
  }

  say(count: number): void {
    if (this.paused || this.hasEnded || this.isOver) return;
    this.events.data(this.speech.say(this.voice, count));
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
}
