import { DelayStage, type StageContext } from '../stage.js';

/** Bytes pass at once, the end `delay` milliseconds later. */
export class SlowClose extends DelayStage {
  readonly #delay: number;

  constructor({ delay }: { readonly delay: number }, context: StageContext) {
    super(context);
    this.#delay = delay;
  }

  push(chunk: Buffer): void {
    this.next.push(chunk);
  }

  override end(): void {
    this.context.acted();
    this.line.plan(this.context.clock.now() + this.#delay, () => this.next.end());
  }
}
