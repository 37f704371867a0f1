import type { Cancel } from '../../../shim/link/index.js';
import { Stage, type StageContext } from '../stage.js';

/** A TCP reset to both ends, after `timeout` milliseconds in which nothing passes; with 0 as soon as something would. */
export class ResetPeer extends Stage {
  readonly #cancel: Cancel | undefined;

  constructor({ timeout }: { readonly timeout: number }, context: StageContext) {
    super(context);
    if (timeout > 0) this.#cancel = context.clock.after(timeout, () => this.#reset());
  }

  push(_chunk: Buffer): void {
    if (this.#cancel === undefined) this.#reset();
  }
  end(): void {
    if (this.#cancel === undefined) this.#reset();
  }
  leave(): void {
    if (this.#cancel !== undefined) this.#reset();
  }
  override dispose(): void {
    this.#cancel?.();
  }

  #reset(): void {
    this.context.acted();
    this.context.cut('reset');
  }
}
