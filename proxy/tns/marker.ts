import { TnsError, type TnsSource } from './errors.js';
import { type LengthForm, PacketType } from './header.js';
import { encodePacket } from './writer.js';

/** Break and reset (driver: NIQBMARK, NIQRMARK, NIQIMARK). */
export type MarkerKind = 'break' | 'reset' | 'interrupt' | 'attention' | 'unknown';

const typeOneByte = 1;
const typeAttention = 2;
const markerBytes = { break: 1, reset: 2, interrupt: 3 } as const;
const markerPacketBytes = 11;

/**
 * What a whole MARKER packet says. A marker of type 0 (no data byte) is a break (driver: NSPMKTD0 sets isBreak).
 * @throws TnsError field-invalid
 */
export function parseMarker(packet: Buffer, source: TnsSource): MarkerKind {
  const type = packet[8];
  if (type === undefined) {
    throw new TnsError('field-invalid', source, `MARKER packet of ${packet.length} bytes has no type`);
  }
  if (type === typeAttention) {
    return 'attention';
  }
  if (type === 0) {
    return 'break';
  }
  const data = packet[markerPacketBytes - 1];
  if (type !== typeOneByte || data === undefined) {
    return 'unknown';
  }
  for (const [kind, byte] of Object.entries(markerBytes)) {
    if (byte === data) {
      return kind as MarkerKind;
    }
  }
  return 'unknown';
}

export function encodeMarker(kind: keyof typeof markerBytes, form: LengthForm): Buffer {
  return encodePacket(PacketType.marker, 0, Buffer.from([typeOneByte, 0, markerBytes[kind]]), form);
}
