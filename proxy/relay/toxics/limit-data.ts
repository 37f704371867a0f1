import { Stage, type StageContext } from '../stage.js';

/** So many bytes pass, then the connection ends. */
export class LimitData extends Stage {
  #leftBytes: number;

  constructor({ bytes }: { readonly bytes: number }, context: StageContext) {
    super(context);
    this.#leftBytes = bytes;
  }

  push(chunk: Buffer): void {
    const passed = chunk.subarray(0, this.#leftBytes);
    this.#leftBytes -= passed.length;
    if (passed.length > 0) this.next.push(passed);
    if (this.#leftBytes > 0) return;
    this.context.acted();
    this.context.cut('close');
  }
  end(): void {
    this.next.end();
  }
  leave(): void {
    // Nothing waits here.
  }
}
