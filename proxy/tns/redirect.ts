import { TnsError, type TnsSource } from './errors.js';
import { PacketFlag, PacketType } from './header.js';
import { limits } from './limits.js';
import { encodeData, encodePacket } from './writer.js';

export interface Redirect {
  readonly dataBytes: number;
  /** The data, or undefined when it follows in a DATA packet. */
  readonly data: Buffer | undefined;
}

/** Where a REDIRECT sends the client, and with which connect data if not its own. */
export interface RedirectTarget {
  readonly address: string;
  readonly connectData: string | undefined;
}

const dataOffset = 10;

/**
 * Parses a whole REDIRECT packet.
 * @throws TnsError field-invalid, connect-data-too-long
 */
export function parseRedirect(packet: Buffer, source: TnsSource): Redirect {
  if (packet.length < dataOffset) {
    throw new TnsError('field-invalid', source, `REDIRECT packet of ${packet.length} bytes lacks its fields`);
  }
  const dataBytes = packet.readUInt16BE(8);
  if (dataBytes > limits.connectDataBytesMax) {
    throw new TnsError('connect-data-too-long', source, `REDIRECT data of ${dataBytes} bytes`);
  }
  const isOverflow = dataBytes > 0 && packet.length === dataOffset;
  return { dataBytes, data: isOverflow ? undefined : packet.subarray(dataOffset) };
}

/**
 * Splits REDIRECT data.
 * @param packetFlags flags of the REDIRECT packet itself, also when the data came in a DATA packet
 */
export function redirectTarget(packetFlags: number, data: Buffer): RedirectTarget {
  const text = data.toString('latin1');
  const end = (packetFlags & PacketFlag.redirectSeparated) === 0 ? -1 : text.indexOf('\0');
  return end < 0
    ? { address: text, connectData: undefined }
    : { address: text.slice(0, end), connectData: text.slice(end + 1) };
}

/** A REDIRECT: one packet, or two when `overflow` asks for the data in a DATA packet of its own. */
export function encodeRedirect(target: RedirectTarget, options: { overflow: boolean }): Buffer[] {
  const isSeparated = target.connectData !== undefined;
  const data = Buffer.from(isSeparated ? `${target.address}\0${target.connectData}` : target.address, 'latin1');
  const body = Buffer.alloc(2 + (options.overflow ? 0 : data.length));
  body.writeUInt16BE(data.length, 0);
  const flags = isSeparated ? PacketFlag.redirectSeparated : 0;
  if (!options.overflow) {
    data.copy(body, 2);
    return [encodePacket(PacketType.redirect, flags, body, 'u16')];
  }
  return [encodePacket(PacketType.redirect, flags, body, 'u16'), encodeData(data, 0, 'u16')];
}
