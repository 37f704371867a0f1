/**
 * One direction of a session on its way through the gate: bytes, points of calls, and ends, in order. While something blocks it,
 * everything behind waits. Pure: who blocks and for how long is the gate's business.
 */
export type LaneItem<Mark> =
  | { readonly kind: 'bytes'; readonly bytes: Buffer }
  | { readonly kind: 'mark'; readonly mark: Mark }
  /** The direction's end, and what belongs to it. */
  | { readonly kind: 'last'; readonly run: () => void };

export interface LaneEvents<Mark> {
  forward(bytes: Buffer): void;
  /** May block the lane, cut it, or ask for `after`. */
  reached(mark: Mark): void;
}

export class Lane<Mark> {
  readonly #events: LaneEvents<Mark>;
  /** By what it is blocked, each with the rule it belongs to. */
  readonly #blocks = new Map<symbol, string>();
  #items: LaneItem<Mark>[] = [];
  #after: { leftBytes: number; readonly then: () => void } | undefined;
  #isRunning = false;

  constructor(events: LaneEvents<Mark>) {
    this.#events = events;
  }

  get isBlocked(): boolean {
    return this.#blocks.size > 0;
  }

  /** Bytes that wait. */
  get held(): readonly Buffer[] {
    return this.#items.flatMap((item) => (item.kind === 'bytes' ? [item.bytes] : []));
  }
  get heldBytes(): number {
    return this.held.reduce((sum, { length }) => sum + length, 0);
  }

  /** Such a point is among what waits. */
  waits(isIt: (mark: Mark) => boolean): boolean {
    return this.#items.some((item) => item.kind === 'mark' && isIt(item.mark));
  }

  push(...items: readonly LaneItem<Mark>[]): void {
    this.#items.push(...items);
    this.run();
  }

  /** Once so many more bytes have passed, and not one more. */
  after(bytes: number, then: () => void): void {
    this.#after = { leftBytes: bytes, then };
  }

  /** @returns what unblocks it again; harmless when that has happened */
  block(rule: string): () => void {
    const key = Symbol(rule);
    this.#blocks.set(key, rule);
    return () => {
      if (this.#blocks.delete(key)) this.run();
    };
  }

  /** Whatever this rule blocks goes on. */
  release(rule: string): void {
    for (const [key, by] of this.#blocks) if (by === rule) this.#blocks.delete(key);
    this.run();
  }

  /** Nothing of what waits will ever pass. */
  discard(): void {
    this.#items = [];
    this.#after = undefined;
  }

  run(): void {
    if (this.#isRunning) return;
    this.#isRunning = true;
    for (let item = this.#next(); item !== undefined; item = this.#next()) this.#pass(item);
    this.#isRunning = false;
  }

  #next(): LaneItem<Mark> | undefined {
    return this.isBlocked ? undefined : this.#items.shift();
  }

  #pass(item: LaneItem<Mark>): void {
    if (item.kind === 'mark') this.#events.reached(item.mark);
    else if (item.kind === 'last') item.run();
    else this.#passBytes(item.bytes);
  }

  #passBytes(bytes: Buffer): void {
    const after = this.#after;
    if (after === undefined || bytes.length < after.leftBytes) {
      if (after !== undefined) after.leftBytes -= bytes.length;
      this.#events.forward(bytes);
      return;
    }
    this.#after = undefined;
    this.#events.forward(bytes.subarray(0, after.leftBytes));
    const rest = bytes.subarray(after.leftBytes);
    if (rest.length > 0) this.#items.unshift({ kind: 'bytes', bytes: rest });
    after.then();
  }
}
