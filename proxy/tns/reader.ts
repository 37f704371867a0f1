import { TnsError, type TnsSource } from './errors.js';
import { dataHeaderBytes, headerBytes, type LengthForm, PacketType, readLength } from './header.js';
import { limits } from './limits.js';

/** What is known of a packet when its header is complete. */
export interface PacketStart {
  readonly type: number;
  readonly flags: number;
  /** Whole packet, header included. */
  readonly lengthBytes: number;
  /** Flags at offset 8 of a DATA packet, 0 for the others. */
  readonly dataFlags: number;
}

/** Receives a stream of packets. Views are valid during the call only. */
export interface PacketSink {
  packetStart(start: PacketStart): void;
  /** The next bytes behind the header (behind the data flags in a DATA packet), never empty. */
  payload(view: Buffer): void;
  packetEnd(): void;
}

/** Where a reader stands in its stream: plain data, from which another reader goes on. */
export interface ReaderState {
  /** What has come of the present packet's header; empty between packets. */
  readonly header: Buffer;
  /** What is to come of the present packet, once its header is whole. */
  readonly payloadLeftBytes: number;
}

/** Of a header that has been read only its length counts. */
const passedHeader = Buffer.alloc(dataHeaderBytes);

/**
 * Watches a stream of packets without collecting bodies: at most ten header bytes are held.
 *
 *      header --8 or 10 bytes--> payload --length reached--> header
 *
 * Bytes may come in any chunks. After a TnsError the stream has lost its framing and the reader must not be used again.
 */
export class PacketReader {
  readonly #sink: PacketSink;
  readonly #source: TnsSource;
  readonly #packetBytesMax: number;
  /** What has come of a header that does not come whole, which is rare. */
  #header: Buffer | undefined;
  #lengthForm: LengthForm;
  #headerHeld = 0;
  #payloadLeft = 0;

  constructor(
    sink: PacketSink,
    options: { source: TnsSource; lengthForm: LengthForm; packetBytesMax?: number },
    state?: ReaderState,
  ) {
    this.#sink = sink;
    this.#source = options.source;
    this.#lengthForm = options.lengthForm;
    this.#packetBytesMax = options.packetBytesMax ?? limits.packetBytesMax;
    if (state === undefined) return;
    this.#headerHeld = Math.min(state.header.length, dataHeaderBytes);
    this.#payloadLeft = state.payloadLeftBytes;
    if (this.#headerHeld > 0 && this.#payloadLeft === 0) state.header.copy(this.#heldHeader());
  }

  state(): ReaderState {
    const header = this.#header ?? passedHeader;
    return { header: Buffer.from(header.subarray(0, this.#headerHeld)), payloadLeftBytes: this.#payloadLeft };
  }

  /** True between packets: nothing of the next one has come. */
  get betweenPackets(): boolean {
    return this.#headerHeld === 0;
  }

  /** @throws TnsError packet-too-short, packet-too-long */
  push(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#payloadLeft > 0) {
        const take = Math.min(this.#payloadLeft, chunk.length - at);
        this.#sink.payload(chunk.subarray(at, at + take));
        at += take;
        this.#payloadLeft -= take;
        if (this.#payloadLeft === 0) {
          this.#end();
        }
      } else if (this.#headerHeld === 0 && chunk.length - at >= dataHeaderBytes) {
        at += this.#begin(chunk, at);
      } else {
        at += this.#takeHeader(chunk, at);
      }
    }
  }

  #takeHeader(chunk: Buffer, at: number): number {
    const wanted = this.#headerHeld < headerBytes ? headerBytes : dataHeaderBytes;
    const take = Math.min(wanted - this.#headerHeld, chunk.length - at);
    const header = this.#heldHeader();
    chunk.copy(header, this.#headerHeld, at, at + take);
    this.#headerHeld += take;
    if (this.#headerHeld < wanted) {
      return take;
    }
    const isData = header[4] === PacketType.data;
    if (isData && this.#headerHeld < dataHeaderBytes) {
      // What is wrong with it is said as soon as it can be known.
      readLength(header, 0, this.#lengthForm, this.#packetBytesMax, this.#source);
      return take;
    }
    this.#header = undefined;
    this.#begin(header, 0);
    return take;
  }

  #heldHeader(): Buffer {
    this.#header ??= Buffer.alloc(dataHeaderBytes);
    return this.#header;
  }

  /** A header that is whole, in place: copying ten bytes costs a call of the runtime. @returns its length */
  #begin(bytes: Buffer, at: number): number {
    const type = bytes[at + 4] ?? 0;
    const isData = type === PacketType.data;
    const held = isData ? dataHeaderBytes : headerBytes;
    const lengthBytes = readLength(bytes, at, this.#lengthForm, this.#packetBytesMax, this.#source);
    const dataFlags = isData ? bytes.readUInt16BE(at + headerBytes) : 0;
    this.#headerHeld = held;
    this.#sink.packetStart({ type, flags: bytes[at + 5] ?? 0, lengthBytes, dataFlags });
    this.#payloadLeft = lengthBytes - held;
    if (this.#payloadLeft === 0) this.#end();
    return held;
  }

  #end(): void {
    this.#headerHeld = 0;
    this.#sink.packetEnd();
  }
}

/** A whole packet, header included; its own memory unless the chunk it came in held all of it. */
export interface Packet {
  readonly type: number;
  readonly flags: number;
  readonly bytes: Buffer;
}

/**
 * Collects whole packets, for the connect phase and for endpoints. Pull, not push: the caller may change the length form
 * between two packets of one chunk (ACCEPT has 16 bits, the packet behind it 32).
 */
export class PacketCollector {
  /** Applies from the next packet on. */
  lengthForm: LengthForm = 'u16';
  readonly #source: TnsSource;
  readonly #packetBytesMax: number;
  #chunks: Buffer[] = [];
  #heldBytes = 0;

  /** @param packetBytesMax a longer packet is refused from its header, before anything of it is collected */
  constructor(source: TnsSource, packetBytesMax: number) {
    this.#source = source;
    this.#packetBytesMax = packetBytesMax;
  }

  /** Bytes pushed and not yet given out. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  push(chunk: Buffer): void {
    if (chunk.length > 0) {
      this.#chunks.push(chunk);
      this.#heldBytes += chunk.length;
    }
  }

  /**
   * The next whole packet, or undefined when more bytes are needed.
   * @throws TnsError packet-too-short, packet-too-long
   */
  next(): Packet | undefined {
    if (this.#heldBytes < headerBytes) {
      return undefined;
    }
    const length = readLength(this.#peek(headerBytes), 0, this.lengthForm, this.#packetBytesMax, this.#source);
    if (this.#heldBytes < length) {
      return undefined;
    }
    const bytes = this.#take(length);
    return { type: bytes[4] ?? 0, flags: bytes[5] ?? 0, bytes };
  }

  /** Everything not yet given out; the collector is empty afterwards. For the change to a PacketReader. */
  takeRest(): Buffer {
    return this.#take(this.#heldBytes);
  }

  #peek(count: number): Buffer {
    const first = this.#chunks[0];
    if (first !== undefined && first.length >= count) {
      return first;
    }
    const head = Buffer.alloc(count);
    let filled = 0;
    for (const chunk of this.#chunks) {
      filled += chunk.copy(head, filled);
      if (filled === count) {
        break;
      }
    }
    return head;
  }

  #take(count: number): Buffer {
    this.#heldBytes -= count;
    const first = this.#chunks[0];
    if (first !== undefined && first.length > count) {
      this.#chunks[0] = first.subarray(count);
      return first.subarray(0, count);
    }
    const taken: Buffer[] = [];
    let left = count;
    while (left > 0) {
      const chunk = this.#chunks.shift() ?? Buffer.alloc(0);
      if (chunk.length > left) {
        this.#chunks.unshift(chunk.subarray(left));
      }
      taken.push(chunk.subarray(0, left));
      left -= Math.min(left, chunk.length);
    }
    return taken.length === 1 && taken[0] !== undefined ? taken[0] : Buffer.concat(taken, count);
  }
}

/** @throws TnsError packet-unexpected unless the packet has the type wanted */
export function expectType(packet: Packet, type: number, source: TnsSource): void {
  if (packet.type !== type) {
    throw new TnsError('packet-unexpected', source, `packet of type ${packet.type}, expected ${type}`);
  }
}
