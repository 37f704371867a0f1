import { dataHeaderBytes, headerBytes } from './header.js';

/** Flags at offset 8 of a DATA packet. */
export const DataFlag = {
  endOfFile: 0x0040,
  compressed: 0x0400,
  endOfRequest: 0x0800,
  beginPipeline: 0x1000,
  endOfResponse: 0x2000,
} as const;

/** Native network encryption starts the payload of its negotiation with this (oracle-net facts, 7). */
export const nativeServicesMagic = 0xdeadbeef;

/** Flags of a whole DATA packet. */
export function dataFlagsOf(packet: Buffer): number {
  return packet.readUInt16BE(headerBytes);
}

/** Payload of a whole DATA packet, as a view. */
export function payloadOf(packet: Buffer): Buffer {
  return packet.subarray(dataHeaderBytes);
}

/** True for the first packet of native services (encryption) negotiation, after which TTC is opaque if it is agreed. */
export function isNativeServices(payload: Buffer): boolean {
  return payload.length >= 4 && payload.readUInt32BE(0) === nativeServicesMagic;
}
