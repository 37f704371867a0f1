import { TnsError, type TnsSource } from './errors.js';
import { PacketFlag, PacketType, writeHeader } from './header.js';
import { limits } from './limits.js';
import { encodeData } from './writer.js';

/** CONNECT option and ACCEPT option: can receive attention, which means out-of-band breaks. */
export const optionAttention = 0x0400;
/** CONNECT flags2 and ACCEPT flags2: test the out-of-band path right after ACCEPT. */
export const flagCheckOutOfBand = 0x01;

/* Absolute offsets in the packet (driver: sqlnet/constants.js, NSPCN...). */
const at = {
  version: 8,
  versionLowest: 10,
  options: 12,
  sdu: 14,
  tdu: 16,
  characteristics: 18,
  one: 22,
  dataLength: 24,
  dataOffset: 26,
  servicesFlags0: 32,
  servicesFlags1: 33,
  largeSdu: 58,
  largeTdu: 62,
  compression: 66,
  flags2: 70,
} as const;
/** Where connect data starts in a packet that has all fields; older clients have it at 70, 58 or 34, with fewer fields. */
const fullLayoutBytes = 74;
const leastBytes = 28;
/** Of the field for compression; the two bytes behind it have no known use. */
const compressionBytes = 2;

export interface Connect {
  readonly version: number;
  readonly versionLowest: number;
  readonly options: number;
  /** The 32-bit field where the layout has it, otherwise the 16-bit one. */
  readonly sduBytes: number;
  readonly tduBytes: number;
  /** 0 where the layout has no such field. */
  readonly flags2: number;
  readonly connectDataBytes: number;
  /** The descriptor, or undefined when it follows in a DATA packet. */
  readonly connectData: string | undefined;
}

/**
 * Parses a whole CONNECT packet.
 * @throws TnsError field-invalid, connect-data-too-long
 */
export function parseConnect(packet: Buffer, source: TnsSource): Connect {
  if (packet.length < leastBytes) {
    throw new TnsError('field-invalid', source, `CONNECT packet of ${packet.length} bytes lacks its fields`);
  }
  const dataLength = packet.readUInt16BE(at.dataLength);
  const dataOffset = packet.readUInt16BE(at.dataOffset);
  if (dataLength > limits.connectDataBytesMax) {
    throw new TnsError('connect-data-too-long', source, `connect data of ${dataLength} bytes`);
  }
  const isInline = dataLength > 0 && packet.length >= dataOffset + dataLength;
  if (dataOffset < leastBytes || (dataLength > 0 && !isInline && packet.length > dataOffset)) {
    throw new TnsError('field-invalid', source, `connect data at ${dataOffset} does not fit ${packet.length} bytes`);
  }
  const hasLarge = hasField(packet, at.largeTdu + 4);
  return {
    version: packet.readUInt16BE(at.version),
    versionLowest: packet.readUInt16BE(at.versionLowest),
    options: packet.readUInt16BE(at.options),
    sduBytes: hasLarge ? packet.readUInt32BE(at.largeSdu) : packet.readUInt16BE(at.sdu),
    tduBytes: hasLarge ? packet.readUInt32BE(at.largeTdu) : packet.readUInt16BE(at.tdu),
    flags2: hasField(packet, fullLayoutBytes) ? packet.readUInt32BE(at.flags2) : 0,
    connectDataBytes: dataLength,
    connectData: isInline || dataLength === 0 ? text(packet, dataOffset, dataLength) : undefined,
  };
}

/**
 * A copy of a CONNECT packet that no longer offers what does not go through a proxy:
 * - out-of-band breaks: no proxy can carry the urgent byte, and a server that waits for it hangs the login (oracle-net facts, 3);
 * - network compression: of a compressed call nobody can say whether it left a transaction open. Both bytes are cleared, as
 *   in the CONNECT of a driver that compresses nothing (driver: NSPCNCFL, on/off bit and list of schemes).
 */
export function connectWithoutOffers(packet: Buffer): Buffer {
  const copy = Buffer.from(packet);
  copy.writeUInt16BE(copy.readUInt16BE(at.options) & ~optionAttention, at.options);
  if (hasField(copy, at.compression + compressionBytes)) copy.writeUInt16BE(0, at.compression);
  // Where connect data starts at 70 (12c clients) these four bytes are descriptor text.
  if (hasField(copy, fullLayoutBytes)) {
    copy.writeUInt32BE((copy.readUInt32BE(at.flags2) & ~flagCheckOutOfBand) >>> 0, at.flags2);
  }
  return copy;
}

/**
 * The packets that repeat a CONNECT with other connect data: one, or two when the data is too long to stand inline.
 * @param packet the client's CONNECT, whose other fields are kept
 * @param options.redirected sets the flag that says "because of a REDIRECT"
 */
export function connectWithData(packet: Buffer, connectData: string, options: { redirected: boolean }): Buffer[] {
  const data = Buffer.from(connectData, 'latin1');
  const offset = packet.readUInt16BE(at.dataOffset);
  const isInline = data.length <= limits.inlineConnectDataBytesMax;
  const copy = Buffer.alloc(offset + (isInline ? data.length : 0));
  packet.copy(copy, 0, 0, offset);
  copy.writeUInt16BE(data.length, at.dataLength);
  const flags = (packet[5] ?? 0) | (options.redirected ? PacketFlag.redirected : 0);
  writeHeader(copy, PacketType.connect, flags, 'u16');
  if (isInline) {
    data.copy(copy, offset);
    return [copy];
  }
  return [copy, encodeData(data, 0, 'u16')];
}

/** Fields for a CONNECT of one's own. */
export interface ConnectFields {
  readonly version: number;
  readonly versionLowest: number;
  readonly options: number;
  readonly sduBytes: number;
  readonly tduBytes: number;
  readonly flags2: number;
  /** Offer of network compression, as it stands in the field; none when left out. */
  readonly compression?: number;
}

/** A CONNECT in today's layout: one packet, or two when the connect data is too long to stand inline. */
export function encodeConnect(fields: ConnectFields, connectData: string): Buffer[] {
  const packet = Buffer.alloc(fullLayoutBytes);
  packet.writeUInt16BE(fields.version, at.version);
  packet.writeUInt16BE(fields.versionLowest, at.versionLowest);
  packet.writeUInt16BE(fields.options, at.options);
  packet.writeUInt16BE(Math.min(fields.sduBytes, 0xffff), at.sdu);
  packet.writeUInt16BE(Math.min(fields.tduBytes, 0xffff), at.tdu);
  packet.writeUInt16BE(0x4f98, at.characteristics);
  packet.writeUInt16BE(1, at.one);
  packet.writeUInt16BE(fullLayoutBytes, at.dataOffset);
  // No native services: 0x04 disabled, 0x80 supports security renegotiation.
  packet[at.servicesFlags0] = 0x84;
  packet[at.servicesFlags1] = 0x84;
  packet.writeUInt32BE(fields.sduBytes, at.largeSdu);
  packet.writeUInt32BE(fields.tduBytes, at.largeTdu);
  packet.writeUInt16BE(fields.compression ?? 0, at.compression);
  packet.writeUInt32BE(fields.flags2, at.flags2);
  return connectWithData(packet, connectData, { redirected: false });
}

/** True when the fields up to `end` are fields: connect data does not start before. */
function hasField(packet: Buffer, end: number): boolean {
  return packet.length >= end && packet.readUInt16BE(at.dataOffset) >= end;
}

function text(packet: Buffer, offset: number, length: number): string {
  return packet.toString('latin1', offset, offset + length);
}
