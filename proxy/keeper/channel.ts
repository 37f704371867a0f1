import type { Server, Socket } from 'node:net';
import { handleOf, isHandle, type NativeHandle } from '../kernel/handle.js';
import type { FromKeeper, FromWorker } from './contract.js';

export interface ChannelEvents {
  /** Every socket that is kept, by its number: go on with them, then say `serving`. */
  takeOver(sockets: ReadonlyMap<number, NativeHandle>, crashed: boolean): void;
  /** Put everything in order, let go of all sockets, then say `released`. */
  release(): void;
  /** Another slot's worker has accepted this link, and read these bytes of it. */
  link(handle: NativeHandle, bytes: Buffer): void;
  /** The keeper has told this in its log. */
  alarm(alarm: string, why: string): void;
  /** The keeper is gone: whoever is told to stop from now on is told by somebody else. */
  alone(): void;
}

/** A worker's way to its keeper. */
export class KeeperChannel {
  readonly #events: ChannelEvents;
  readonly #given = new Map<number, NativeHandle>();
  readonly #asked = new Set<number>();
  readonly #kept = new Set<number>();
  #beat: NodeJS.Timeout | undefined;

  /** True in a process that a keeper has started. */
  static get exists(): boolean {
    return process.send !== undefined;
  }

  constructor(events: ChannelEvents) {
    this.#events = events;
    process.on('message', (message: FromKeeper, handle: unknown) => this.#hear(message, handle));
    process.on('disconnect', () => events.alone());
  }

  /** @param beatMs how often the keeper is told that this process is alive */
  ready(beatMs: number): void {
    this.#say({ kind: 'ready' });
    this.#beat = setInterval(() => this.#say({ kind: 'beat' }), beatMs);
    this.#beat.unref();
  }

  serving(): void {
    this.#say({ kind: 'serving' });
  }

  released(): void {
    clearInterval(this.#beat);
    this.#say({ kind: 'released' });
  }

  /** Asks the keeper to keep the descriptor of an open socket. */
  keep(id: number, socket: Socket | Server): void {
    const handle = handleOf(socket);
    if (handle === undefined) return;
    this.#asked.add(id);
    this.#say({ kind: 'keep', id }, handle);
  }

  /** The keeper has everything it was asked to keep. */
  get isSettled(): boolean {
    return this.#asked.size === 0;
  }

  /** The keeper has it: the connection outlives this process. */
  isKept(id: number): boolean {
    return this.#kept.has(id);
  }

  drop(id: number): void {
    this.#asked.delete(id);
    this.#kept.delete(id);
    this.#say({ kind: 'drop', id });
  }

  askForUpgrade(): void {
    this.#say({ kind: 'upgrade' });
  }

  /** Gives a link away to the worker of another slot. @param gone it is no longer needed here */
  pass(to: number, bytes: Buffer, handle: NativeHandle, gone: () => void): void {
    this.#say({ kind: 'pass', to, bytes: bytes.toString('base64') }, handle, gone);
  }

  #hear(message: FromKeeper, handle: unknown): void {
    switch (message.kind) {
      case 'kept':
        // It may have been dropped since it was asked for.
        if (this.#asked.delete(message.id)) this.#kept.add(message.id);
        break;
      case 'socket':
        if (isHandle(handle)) {
          this.#given.set(message.id, handle);
          this.#kept.add(message.id);
        }
        break;
      case 'take-over':
        this.#events.takeOver(new Map(this.#given), message.crashed);
        this.#given.clear();
        break;
      case 'release':
        this.#events.release();
        break;
      case 'link':
        if (isHandle(handle)) this.#events.link(handle, Buffer.from(message.bytes, 'base64'));
        break;
      case 'alarm':
        this.#events.alarm(message.alarm, message.why);
        break;
    }
  }

  #say(message: FromWorker, handle?: NativeHandle, said: () => void = () => undefined): void {
    // A keeper that is gone takes nothing any more; the sessions go on for as long as this process lives.
    if (process.connected) process.send?.(message, handle as never, { keepOpen: true }, said);
    else said();
  }
}
