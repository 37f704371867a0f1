import { TnsError, type TnsSource } from './errors.js';

/** Packet types; a number not listed passes through as it is. */
export const PacketType = {
  connect: 1,
  accept: 2,
  ack: 3,
  refuse: 4,
  redirect: 5,
  data: 6,
  null: 7,
  abort: 9,
  resend: 11,
  marker: 12,
  attention: 13,
  control: 14,
  dataDescriptor: 15,
} as const;

/** Flags in byte 5 of every packet. */
export const PacketFlag = {
  /** A REDIRECT whose data is `address NUL connect-data`. */
  redirectSeparated: 0x02,
  /** A CONNECT sent because of a REDIRECT. */
  redirected: 0x04,
  /** A RESEND that asks for a new TLS handshake first. */
  tlsRenegotiate: 0x08,
} as const;

/** Length field: 16 bits up to and including ACCEPT and for versions below 315, 32 bits after it. */
export type LengthForm = 'u16' | 'u32';

export const headerBytes = 8;
/** Header of a DATA packet: its two bytes of data flags count as header here. */
export const dataHeaderBytes = 10;
/** The first version with 32-bit lengths (12.1). */
export const largeSduVersion = 315;

export function lengthFormOf(version: number): LengthForm {
  return version >= largeSduVersion ? 'u32' : 'u16';
}

/**
 * Reads and checks the declared length at `offset`; eight bytes must be there.
 * @throws TnsError packet-too-short, packet-too-long
 */
export function readLength(
  bytes: Buffer,
  offset: number,
  form: LengthForm,
  packetBytesMax: number,
  source: TnsSource,
): number {
  const length = form === 'u32' ? bytes.readUInt32BE(offset) : bytes.readUInt16BE(offset);
  const least = bytes[offset + 4] === PacketType.data ? dataHeaderBytes : headerBytes;
  if (length < least) {
    throw new TnsError('packet-too-short', source, `packet declares ${length} bytes, its header alone has ${least}`);
  }
  if (length > packetBytesMax) {
    throw new TnsError('packet-too-long', source, `packet declares ${length} bytes, the limit is ${packetBytesMax}`);
  }
  return length;
}

/** Writes the eight header bytes of a whole packet; the length is the buffer's. */
export function writeHeader(packet: Buffer, type: number, flags: number, form: LengthForm): void {
  if (form === 'u32') {
    packet.writeUInt32BE(packet.length, 0);
  } else {
    packet.writeUInt16BE(packet.length, 0);
    packet.writeUInt16BE(0, 2);
  }
  packet[4] = type;
  packet[5] = flags;
  packet.writeUInt16BE(0, 6);
}
