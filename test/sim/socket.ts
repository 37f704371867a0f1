import type { DriverSocket } from '../../shim/drivers.js';
import type { Clock } from '../../shim/link/index.js';
import type { Wire } from '../../shim/link/socket.js';

/** Where the bytes of a socket go. */
export interface Outside {
  /** Takes bytes. @returns how many of them: the rest waits in the socket until `drain` */
  take(bytes: Buffer): number;
  /** The socket has closed its direction, after all bytes. */
  ended(): void;
  destroyed(): void;
  /** The owner is about to look at bytes, and has looked at them. */
  before?(bytes: Buffer): void;
  after?(): void;
}

type Listener = (argument: never) => void;

/** A socket as Node.js has them, as far as shim and proxy use it: same events, same order, nothing synchronous that is not. */
export class SimSocket implements Wire, DriverSocket {
  destroyed = false;
  closed = false;
  bytesWritten = 0;
  writableLength = 0;
  readonly #clock: Clock;
  readonly #outside: Outside;
  readonly #allowHalfOpen: boolean;
  readonly #listeners = new Map<string, Listener[]>();
  readonly #unsent: { bytes: Buffer; readonly taken: (() => void) | undefined }[] = [];
  readonly #unread: Buffer[] = [];
  #paused = false;
  #isKept = false;
  #isCorked = false;
  #endUnread = false;
  #peerEnded = false;
  #ending = false;
  #endSent = false;
  #destroysSoon = false;

  constructor(clock: Clock, outside: Outside, allowHalfOpen: boolean) {
    this.#clock = clock;
    this.#outside = outside;
    this.#allowHalfOpen = allowHalfOpen;
  }

  setNoDelay(): void {}

  on(event: string, listener: Listener): void {
    const listeners = this.#listeners.get(event);
    if (listeners === undefined) this.#listeners.set(event, [listener]);
    else listeners.push(listener);
  }
  once(event: 'close', listener: () => void): void {
    this.on(event, listener);
  }

  write(bytes: Buffer, taken?: () => void): void {
    if (this.destroyed || this.#ending) return;
    this.bytesWritten += bytes.length;
    this.writableLength += bytes.length;
    this.#unsent.push({ bytes, taken });
    this.drain();
  }
  writeNow(bytes: Buffer): number {
    if (this.destroyed || this.#ending || this.#isCorked || this.writableLength > 0) return 0;
    return this.#outside.take(Buffer.from(bytes));
  }
  cork(): void {
    this.#isCorked = true;
  }
  uncork(): void {
    this.#isCorked = false;
    this.drain();
  }
  end(bytes?: Buffer): void {
    this.#isCorked = false;
    if (bytes !== undefined) this.write(bytes);
    this.#ending = true;
    this.drain();
  }
  destroySoon(): void {
    this.#destroysSoon = true;
    this.end();
  }
  pause(): void {
    this.#paused = true;
  }
  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#clock.soon(() => this.#flow());
  }
  keep(): void {
    this.#isKept = true;
  }
  destroy(broken = false): void {
    if (this.destroyed) return;
    this.destroyed = true;
    this.#outside.destroyed();
    this.#close(broken);
  }

  // What comes from outside ---------------------------------------------------------------------------------------

  receive(bytes: Buffer): void {
    if (this.destroyed) return;
    this.#unread.push(bytes);
    this.#flow();
  }
  peerEnded(): void {
    this.#endUnread = true;
    this.#flow();
  }
  fail(cause: Error): void {
    if (this.destroyed) return;
    this.#emit('error', cause);
    this.destroy(true);
  }
  /** Hands over what the outside takes now. */
  drain(): void {
    if (this.#isCorked) return;
    for (let next = this.#unsent[0]; next !== undefined && !this.destroyed; next = this.#unsent[0]) {
      // As a kernel does it: from now on the memory is the writer's again.
      const taken = this.#outside.take(Buffer.from(next.bytes));
      this.writableLength -= taken;
      if (taken < next.bytes.length) {
        next.bytes = next.bytes.subarray(taken);
        return;
      }
      this.#unsent.shift();
      if (next.taken !== undefined) this.#clock.soon(next.taken);
    }
    if (!this.#ending || this.#endSent || this.destroyed) return;
    this.#endSent = true;
    if (this.#destroysSoon) this.destroy();
    else {
      this.#outside.ended();
      this.#closeIfOver();
    }
  }

  #flow(): void {
    while (!this.#paused && !this.destroyed) {
      const bytes = this.#unread.shift();
      if (bytes === undefined) break;
      this.#outside.before?.(bytes);
      const read = Buffer.from(bytes);
      this.#isKept = false;
      this.#emit('data', read);
      this.#outside.after?.();
      // The next read goes to the same place.
      if (!this.#isKept) read.fill(0);
    }
    if (this.#paused || this.destroyed || !this.#endUnread || this.#peerEnded) return;
    this.#peerEnded = true;
    this.#emit('end', undefined);
    if (!this.#allowHalfOpen) this.end();
    this.#closeIfOver();
  }

  #closeIfOver(): void {
    if (!this.#peerEnded || !this.#endSent || this.destroyed) return;
    this.destroyed = true;
    this.#close(false);
  }

  #close(broken: boolean): void {
    // Node.js calls back for these too, with an error.
    for (const { taken } of this.#unsent) if (taken !== undefined) this.#clock.soon(taken);
    this.#unsent.length = 0;
    this.#unread.length = 0;
    this.writableLength = 0;
    this.#clock.soon(() => {
      this.closed = true;
      this.#emit('close', broken);
    });
  }

  #emit(event: string, argument: unknown): void {
    for (const listener of this.#listeners.get(event) ?? []) (listener as (argument: unknown) => void)(argument);
  }
}
