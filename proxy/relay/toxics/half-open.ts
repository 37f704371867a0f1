import { Stage } from '../stage.js';

/** One end is gone and the other does not know: bytes of this direction vanish, and so does its end. Removed, the connection is reset. */
export class HalfOpen extends Stage {
  push(_chunk: Buffer): void {
    this.context.acted();
  }
  end(): void {
    this.context.acted();
  }
  leave(): void {
    this.context.cut('reset');
  }
}
