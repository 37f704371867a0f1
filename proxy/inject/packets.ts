import { type LengthForm, PacketCollector, type ReaderState, tnsLimits } from '../tns/index.js';

/** A packet, or a piece of the stream that is none: the rest of one that had begun before, or what is behind lost framing. */
export interface Piece {
  readonly bytes: Buffer;
  readonly isWhole: boolean;
}

/** Cuts one direction into packets, from any place of it on; a packet is held until it is whole, at most `packetBytesMax`. */
export class Packets {
  readonly #collector: PacketCollector;
  /** To come of a packet that had begun before; and bytes of its header that have passed. */
  #passBytes: number;
  #passedHeader: number;
  #isLost = false;

  constructor(source: 'frontend' | 'backend', lengthForm: LengthForm, from: ReaderState) {
    this.#collector = new PacketCollector(source, tnsLimits.packetBytesMax);
    this.#collector.lengthForm = lengthForm;
    this.#passBytes = from.payloadLeftBytes;
    this.#passedHeader = from.payloadLeftBytes > 0 ? 0 : from.header.length;
    if (this.#passedHeader > 0) this.#collector.push(Buffer.from(from.header));
  }

  /** What has come of a packet that is not whole. */
  get held(): Buffer {
    const rest = this.#collector.takeRest();
    this.#collector.push(rest);
    return rest.subarray(Math.min(this.#passedHeader, rest.length));
  }

  push(chunk: Buffer): Piece[] {
    if (this.#isLost) return [{ bytes: chunk, isWhole: false }];
    const pieces: Piece[] = [];
    const passed = chunk.subarray(0, this.#passBytes);
    this.#passBytes -= passed.length;
    if (passed.length > 0) pieces.push({ bytes: passed, isWhole: false });
    this.#collector.push(chunk.subarray(passed.length));
    try {
      for (let packet = this.#collector.next(); packet !== undefined; packet = this.#collector.next()) {
        const isWhole = this.#passedHeader === 0;
        pieces.push({ bytes: packet.bytes.subarray(this.#passedHeader), isWhole });
        this.#passedHeader = 0;
      }
    } catch {
      // Who reads it will say what is wrong with it: here it only passes.
      this.#isLost = true;
      pieces.push({ bytes: this.rest(), isWhole: false });
    }
    return pieces;
  }

  /** Nothing more comes: what is there is no packet. */
  rest(): Buffer {
    const rest = this.held;
    this.#collector.takeRest();
    this.#passedHeader = 0;
    return rest;
  }
}
