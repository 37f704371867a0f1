import type { Cancel } from '../../../shim/link/index.js';
import { Stage, type StageContext } from '../stage.js';

/**
 * Nothing passes, and after `timeout` milliseconds the connection ends; with 0 it ends when the toxic is removed: bytes are missing
 * by then, so it cannot go on.
 */
export class Timeout extends Stage {
  readonly #cancel: Cancel;

  constructor({ timeout }: { readonly timeout: number }, context: StageContext) {
    super(context);
    const end = (): void => {
      context.acted();
      context.cut('close');
    };
    this.#cancel = timeout === 0 ? () => undefined : context.clock.after(timeout, end);
  }

  push(_chunk: Buffer): void {
    this.context.acted();
  }
  end(): void {
    // That is not told either.
  }
  leave(): void {
    this.context.cut('close');
  }
  override dispose(): void {
    this.#cancel();
  }
}
