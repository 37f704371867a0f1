import { DelayStage } from '../stage.js';

/** Everything waits until the toxic is removed; then it goes on, and nothing is missing. */
export class Stall extends DelayStage {
  push(chunk: Buffer): void {
    this.pass(chunk, Number.MAX_SAFE_INTEGER);
  }
  override end(): void {
    this.line.plan(Number.MAX_SAFE_INTEGER, () => this.next.end());
  }
}
