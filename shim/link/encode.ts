import { pack } from 'msgpackr';
import type { EndCode } from './errors.js';
import { endCodes } from './errors.js';
import { type ControlType, type FrameType, frameTypes, headerBytes, type Position, type StreamId } from './frame.js';

/** Bytes of a FIN's payload. */
export const finBytes = 2;

/** Writes a header at `at` and returns the offset behind it. */
export function writeHeader(
  target: Buffer,
  at: number,
  type: FrameType,
  length: number,
  stream: StreamId | 0,
  position: Position,
  ack: Position,
): number {
  target.writeUInt32BE(((type << 24) | length) >>> 0, at);
  target.writeUInt32BE(stream, at + 4);
  writePosition(target, at + 8, position);
  writePosition(target, at + 16, ack);
  return at + headerBytes;
}

/** Writes a whole FIN and returns the offset behind it. */
export function writeFin(
  target: Buffer,
  at: number,
  stream: StreamId,
  position: Position,
  ack: Position,
  code: EndCode,
): number {
  const body = writeHeader(target, at, frameTypes.fin, finBytes, stream, position, ack);
  return target.writeUInt16BE(endCodes[code], body);
}

/** A control frame with its msgpack payload; `payload` undefined for the frames that need none. */
export function encodeControl(type: ControlType, payload?: unknown): Buffer {
  const body = payload === undefined ? Buffer.alloc(0) : pack(payload);
  const frame = Buffer.allocUnsafe(headerBytes + body.length);
  writeHeader(frame, 0, type, body.length, 0, 0, 0);
  body.copy(frame, headerBytes);
  return frame;
}

function writePosition(target: Buffer, at: number, position: Position): void {
  const high = Math.floor(position / 0x1_0000_0000);
  target.writeUInt32BE(high, at);
  target.writeUInt32BE(position - high * 0x1_0000_0000, at + 4);
}
