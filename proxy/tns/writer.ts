import { dataHeaderBytes, headerBytes, type LengthForm, PacketType, writeHeader } from './header.js';

/** One packet around a body (what stands behind the eight header bytes). */
export function encodePacket(type: number, flags: number, body: Buffer, form: LengthForm): Buffer {
  const packet = Buffer.alloc(headerBytes + body.length);
  body.copy(packet, headerBytes);
  writeHeader(packet, type, flags, form);
  return packet;
}

/** One DATA packet. */
export function encodeData(payload: Buffer, dataFlags: number, form: LengthForm): Buffer {
  const packet = Buffer.alloc(dataHeaderBytes + payload.length);
  packet.writeUInt16BE(dataFlags, headerBytes);
  payload.copy(packet, dataHeaderBytes);
  writeHeader(packet, PacketType.data, 0, form);
  return packet;
}

/**
 * A payload as DATA packets of at most `sduBytes` each.
 * @param flags data flags of every packet, and those that only the last one carries besides
 */
export function encodeDataSplit(
  payload: Buffer,
  sduBytes: number,
  flags: { readonly all: number; readonly last: number },
  form: LengthForm,
): Buffer[] {
  const room = sduBytes - dataHeaderBytes;
  const packets: Buffer[] = [];
  let at = 0;
  do {
    const end = Math.min(at + room, payload.length);
    const isLast = end === payload.length;
    packets.push(encodeData(payload.subarray(at, end), isLast ? flags.all | flags.last : flags.all, form));
    at = end;
  } while (at < payload.length);
  return packets;
}
