import { finBytes } from './encode.js';
import { type EndCode, endCodeOf, LinkError } from './errors.js';
import { type ControlType, frameTypes, headerBytes, type Position, type StreamId } from './frame.js';

/** Receives what a chunk of bytes contained, in order. Views are valid during the call and as long as the chunk is. */
export interface FrameSink {
  open(stream: StreamId): void;
  /** A part of a DATA frame; long frames come in the pieces in which they arrived. */
  data(stream: StreamId, position: Position, bytes: Buffer): void;
  ack(stream: StreamId, position: Position): void;
  fin(stream: StreamId, position: Position, code: EndCode): void;
  heartbeat(): void;
  control(type: ControlType, payload: Buffer): void;
}

/** Bounds the decoder checks before it keeps a byte. */
export interface DecodeLimits {
  readonly frameBytesMax: number;
  readonly controlBytesMax: number;
}

/**
 * Bytes in, frames out. Data is passed through as views; only a header cut by a chunk boundary and the payload of
 * control frames and FINs are collected. Throws LinkError on the first byte that makes no sense; the link is severed
 * then, and a new decoder made for the next one.
 */
export class Decoder {
  readonly #limits: DecodeLimits;
  readonly #header = Buffer.alloc(headerBytes);
  #headerFilled = 0;
  #type = 0;
  #stream = 0 as StreamId;
  #position: Position = 0;
  #remaining = 0;
  /** Collected payload of a control frame or FIN; undefined while data passes through. */
  #body: Buffer | undefined;
  #bodyFilled = 0;

  constructor(limits: DecodeLimits) {
    this.#limits = limits;
  }

  /** Bytes kept between calls: bounded by the header and the longest control frame. */
  get keptBytes(): number {
    return this.#headerFilled + this.#bodyFilled;
  }

  push(chunk: Buffer, sink: FrameSink): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#remaining > 0) at = this.#payload(chunk, at, sink);
      else if (this.#headerFilled === 0 && chunk.length - at >= headerBytes) {
        this.#begin(chunk, at, sink);
        at += headerBytes;
      } else {
        const taken = chunk.copy(this.#header, this.#headerFilled, at, at + headerBytes - this.#headerFilled);
        at += taken;
        this.#headerFilled += taken;
        if (this.#headerFilled < headerBytes) return;
        this.#headerFilled = 0;
        this.#begin(this.#header, 0, sink);
      }
    }
  }

  #begin(source: Buffer, at: number, sink: FrameSink): void {
    const first = source.readUInt32BE(at);
    const type = first >>> 24;
    const length = first & 0xff_ff_ff;
    const stream = source.readUInt32BE(at + 4) as StreamId;
    const position = readPosition(source, at + 8);
    const ack = readPosition(source, at + 16);
    this.#type = type;
    this.#stream = stream;
    this.#position = position;
    this.#remaining = length;
    switch (type) {
      case frameTypes.data:
        if (length === 0) throw malformed('DATA without data');
        if (length > this.#limits.frameBytesMax) throw tooLong('DATA', length, this.#limits.frameBytesMax);
        sink.ack(stream, ack);
        return;
      case frameTypes.ack:
        if (length !== 0) throw malformed('ACK with a payload');
        sink.ack(stream, ack);
        return;
      case frameTypes.open:
        if (length !== 0) throw malformed('OPEN with a payload');
        sink.open(stream);
        return;
      case frameTypes.fin:
        if (length !== finBytes) throw malformed(`FIN with ${length} bytes of payload`);
        sink.ack(stream, ack);
        this.#collect(length);
        return;
      case frameTypes.heartbeat:
        if (length !== 0) throw malformed('heartbeat with a payload');
        sink.heartbeat();
        return;
      case frameTypes.resume:
      case frameTypes.resumeOk:
      case frameTypes.rejected:
      case frameTypes.confirm:
      case frameTypes.detach:
      case frameTypes.goodbye:
        if (length > this.#limits.controlBytesMax) throw tooLong('control frame', length, this.#limits.controlBytesMax);
        if (length === 0) sink.control(type, empty);
        else this.#collect(length);
        return;
      default:
        throw new LinkError('link-frame-unknown', `frame type ${type} is not known`);
    }
  }

  #collect(length: number): void {
    this.#body = Buffer.allocUnsafe(length);
    this.#bodyFilled = 0;
  }

  #payload(chunk: Buffer, at: number, sink: FrameSink): number {
    const taken = Math.min(this.#remaining, chunk.length - at);
    this.#remaining -= taken;
    if (this.#body === undefined) {
      const position = this.#position;
      this.#position += taken;
      sink.data(this.#stream, position, chunk.subarray(at, at + taken));
      return at + taken;
    }
    chunk.copy(this.#body, this.#bodyFilled, at, at + taken);
    this.#bodyFilled += taken;
    if (this.#remaining === 0) {
      const body = this.#body;
      this.#body = undefined;
      this.#bodyFilled = 0;
      if (this.#type === frameTypes.fin) sink.fin(this.#stream, this.#position, endCodeOf(body.readUInt16BE(0)));
      else sink.control(this.#type as ControlType, body);
    }
    return at + taken;
  }
}

const empty = Buffer.alloc(0);

function readPosition(source: Buffer, at: number): Position {
  const high = source.readUInt32BE(at);
  // Beyond 2^53 doubles skip integers; a position there is a broken peer, not a long session.
  if (high > 0x1f_ff_ff) throw new LinkError('link-position-too-large', 'position beyond 2^53');
  return high * 0x1_0000_0000 + source.readUInt32BE(at + 4);
}

function malformed(what: string): LinkError {
  return new LinkError('link-frame-malformed', what);
}

function tooLong(what: string, length: number, limit: number): LinkError {
  return new LinkError('link-frame-too-long', `${what} of ${length} bytes, limit ${limit}`);
}
