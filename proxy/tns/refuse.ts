import { TnsError, type TnsSource } from './errors.js';
import { PacketType } from './header.js';
import { limits } from './limits.js';
import { encodeData, encodePacket } from './writer.js';

export interface Refuse {
  readonly userReason: number;
  readonly systemReason: number;
  readonly textBytes: number;
  /** The descriptor text, or undefined when it follows in a DATA packet. */
  readonly text: string | undefined;
}

const dataOffset = 12;

/**
 * Parses a whole REFUSE packet.
 * @throws TnsError field-invalid, connect-data-too-long
 */
export function parseRefuse(packet: Buffer, source: TnsSource): Refuse {
  if (packet.length < dataOffset) {
    throw new TnsError('field-invalid', source, `REFUSE packet of ${packet.length} bytes lacks its fields`);
  }
  const textBytes = packet.readUInt16BE(10);
  if (textBytes > limits.connectDataBytesMax) {
    throw new TnsError('connect-data-too-long', source, `REFUSE text of ${textBytes} bytes`);
  }
  const isOverflow = textBytes > 0 && packet.length === dataOffset;
  return {
    userReason: packet[8] ?? 0,
    systemReason: packet[9] ?? 0,
    textBytes,
    text: isOverflow ? undefined : packet.toString('latin1', dataOffset),
  };
}

/** The TNS number in a REFUSE text, e.g. 12514; undefined when it names none. */
export function refuseError(text: string): number | undefined {
  const match = /\(\s*ERR\s*=\s*(\d+)\s*\)/i.exec(text);
  return match?.[1] === undefined ? undefined : Number(match[1]);
}

/** A REFUSE: one packet, or two when the text is too long to stand inline. */
export function encodeRefuse(text: string, reasons: { user: number; system: number }): Buffer[] {
  const data = Buffer.from(text, 'latin1');
  const isInline = data.length <= limits.inlineConnectDataBytesMax;
  const body = Buffer.alloc(4 + (isInline ? data.length : 0));
  body[0] = reasons.user;
  body[1] = reasons.system;
  body.writeUInt16BE(data.length, 2);
  if (isInline) {
    data.copy(body, 4);
    return [encodePacket(PacketType.refuse, 0, body, 'u16')];
  }
  return [encodePacket(PacketType.refuse, 0, body, 'u16'), encodeData(data, 0, 'u16')];
}
