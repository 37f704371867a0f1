import { DelayStage, type StageContext } from '../stage.js';

export interface SlicerAttributes {
  readonly average_size: number;
  readonly size_variation: number;
  /** Microseconds between two slices. */
  readonly delay: number;
}

/** Bytes come in slices of `average_size`, give or take `size_variation`, with a `delay` between them. */
export class Slicer extends DelayStage {
  readonly #attributes: SlicerAttributes;

  constructor(attributes: SlicerAttributes, context: StageContext) {
    super(context);
    this.#attributes = attributes;
  }

  push(chunk: Buffer): void {
    const { average_size: average, size_variation: variation, delay } = this.#attributes;
    for (let at = 0; at < chunk.length; ) {
      const size = average + Math.round((this.context.random() * 2 - 1) * variation);
      const slice = chunk.subarray(at, at + Math.max(1, size));
      this.pass(slice, this.line.lastMs + delay / 1_000);
      at += slice.length;
    }
  }
}
