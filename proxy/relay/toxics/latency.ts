import { DelayStage, type StageContext } from '../stage.js';

/** Everything comes `latency` milliseconds later, give or take `jitter`; never out of order. */
export class Latency extends DelayStage {
  readonly #latency: number;
  readonly #jitter: number;

  constructor({ latency, jitter }: { readonly latency: number; readonly jitter: number }, context: StageContext) {
    super(context);
    this.#latency = latency;
    this.#jitter = jitter;
  }

  push(chunk: Buffer): void {
    this.pass(chunk, this.#dueMs());
  }

  override end(): void {
    this.line.plan(this.#dueMs(), () => this.next.end());
  }

  #dueMs(): number {
    const jitter = (this.context.random() * 2 - 1) * this.#jitter;
    return this.context.clock.now() + Math.max(0, this.#latency + jitter);
  }
}
