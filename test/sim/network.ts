import type { Random } from '../../shim/program/random.js';
import type { Timeline } from './timeline.js';

/** How the network treats bytes; drawn once for each run. */
export interface Weather {
  readonly latencyMs: number;
  /** Most bytes that arrive at once; 0 for all there are. */
  readonly chunkBytes: number;
}

export interface PipeEvents {
  /** Bytes arrive at the far end. */
  arrived(bytes: Buffer): void;
  /** The near end has closed, and all its bytes have arrived. */
  ended(): void;
  /** As many bytes have arrived as `cutAfter` allows. */
  cut(): void;
}

/** One direction of a connection: in order, in any chunks, any time later, or never. */
export class Pipe {
  /** Bytes handed to it and bytes that have arrived, in all. */
  written = 0;
  arrived = 0;
  readonly #timeline: Timeline;
  readonly #random: Random;
  readonly #weather: Weather;
  readonly #events: PipeEvents;
  readonly #queue: Buffer[] = [];
  #isPlanned = false;
  #isEnding = false;
  #isOver = false;
  #stalledUntilMs = 0;
  #cutAt = Number.POSITIVE_INFINITY;

  constructor(timeline: Timeline, random: Random, weather: Weather, events: PipeEvents) {
    this.#timeline = timeline;
    this.#random = random;
    this.#weather = weather;
    this.#events = events;
  }

  write(bytes: Buffer): void {
    if (this.#isOver || this.#isEnding) return;
    this.written += bytes.length;
    this.#queue.push(bytes);
    this.#plan(this.#weather.latencyMs);
  }
  /** What was written still arrives, then the end. */
  end(): void {
    this.#isEnding = true;
    this.#plan(this.#weather.latencyMs);
  }
  /** What is under way is lost, and nothing ever arrives any more. */
  close(): void {
    this.#isOver = true;
    this.#queue.length = 0;
  }
  /** Nothing arrives for so long; then all of it. */
  stall(ms: number): void {
    this.#stalledUntilMs = this.#timeline.nowMs + ms;
  }
  /** Nothing is held up any more: what there is arrives at once. */
  release(): void {
    this.#stalledUntilMs = this.#timeline.nowMs;
    this.#isPlanned = false;
    this.#plan(0);
  }
  cutAfter(bytes: number): void {
    this.#cutAt = this.arrived + bytes;
    if (bytes === 0) this.#events.cut();
  }

  #plan(delayMs: number): void {
    if (this.#isPlanned || this.#isOver) return;
    this.#isPlanned = true;
    this.#timeline.at(Math.max(this.#timeline.nowMs + delayMs, this.#stalledUntilMs), this.#arrive);
  }

  readonly #arrive = (): void => {
    this.#isPlanned = false;
    if (this.#isOver) return;
    if (this.#timeline.nowMs < this.#stalledUntilMs) {
      this.#plan(0);
      return;
    }
    const bytes = this.#next();
    if (bytes !== undefined) {
      this.arrived += bytes.length;
      this.#events.arrived(bytes);
      if (this.arrived >= this.#cutAt) this.#events.cut();
    }
    if (this.#queue.length > 0) this.#plan(1);
    else if (this.#isEnding && !this.#isOver) {
      this.#isOver = true;
      this.#events.ended();
    }
  };

  /** A chunk that knows nothing of the writes it came from. */
  #next(): Buffer | undefined {
    const { chunkBytes } = this.#weather;
    const wanted = chunkBytes === 0 ? Number.POSITIVE_INFINITY : this.#random.between(1, chunkBytes);
    const bytesMax = Math.min(wanted, this.#cutAt - this.arrived);
    let first = this.#queue.shift();
    if (first === undefined) return undefined;
    if (first.length < bytesMax && this.#queue.length > 0) first = Buffer.concat([first, ...this.#queue.splice(0)]);
    if (first.length <= bytesMax) return first;
    this.#queue.unshift(first.subarray(bytesMax));
    return first.subarray(0, bytesMax);
  }
}
