import { DelayStage, type StageContext } from '../stage.js';

/** So long a piece takes at the rate: longer ones would come in jerks. */
const pieceMs = 100;

/** At most `rate` kilobytes (of 1,000 bytes) in a second; with 0 nothing passes. */
export class Bandwidth extends DelayStage {
  readonly #rate: number;

  constructor({ rate }: { readonly rate: number }, context: StageContext) {
    super(context);
    this.#rate = rate;
  }

  push(chunk: Buffer): void {
    // A rate in kilobytes a second is one in bytes a millisecond.
    const most = this.#rate === 0 ? chunk.length : this.#rate * pieceMs;
    for (let at = 0; at < chunk.length; at += most) {
      const piece = chunk.subarray(at, at + most);
      const takesMs = this.#rate === 0 ? Number.MAX_SAFE_INTEGER : piece.length / this.#rate;
      this.pass(piece, this.line.lastMs + takesMs);
    }
  }
}
