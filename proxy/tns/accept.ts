import { flagCheckOutOfBand, optionAttention } from './connect.js';
import { TnsError, type TnsSource } from './errors.js';
import { headerBytes, type LengthForm, largeSduVersion, lengthFormOf, PacketType } from './header.js';
import { limits } from './limits.js';
import { encodePacket } from './writer.js';

/** Bits of flags2 (driver: sqlnet/constants.js). */
export const AcceptFlag = {
  checkOutOfBand: flagCheckOutOfBand,
  endOfResponse: 0x0200_0000,
  fastAuth: 0x1000_0000,
} as const;

/* Absolute offsets (driver: NSPAC...). */
const at = {
  version: 8,
  options: 10,
  sdu: 12,
  tdu: 14,
  one: 16,
  dataOffset: 20,
  servicesFlags0: 22,
  servicesFlags1: 23,
  largeSdu: 32,
  largeTdu: 36,
  compression: 40,
  flags2: 41,
  uuid: 45,
} as const;
const leastBytes = 24;
const flags2End = 45;
const uuidEnd = 61;
/** Versions: flags2 since 318, end of response since 319 (driver: TNS_VERSION_MIN_...). */
const flags2Version = 318;
const endOfResponseVersion = 319;
const servicesDisabled = 0x04;
const noServices = 0x08;
const servicesRequired = 0x10;
const compressionOn = 0x80;

export interface Accept {
  readonly version: number;
  readonly options: number;
  readonly sduBytes: number;
  readonly tduBytes: number;
  /** 0 where the packet has none: version below 318, or a short packet. */
  readonly flags2: number;
  /** Length field of every packet behind this one, both directions. */
  readonly lengthForm: LengthForm;
  /** DATA packets carry the end-of-response flag. */
  readonly endOfResponse: boolean;
  readonly fastAuth: boolean;
  /** Native services (encryption, checksums) will be negotiated: what follows may become opaque. */
  readonly nativeServices: boolean;
  /** Payloads may be compressed, and then are opaque. */
  readonly compression: boolean;
}

/**
 * Parses a whole ACCEPT packet; 24 to 32 bytes from old servers are legal.
 * @throws TnsError field-invalid
 */
export function parseAccept(packet: Buffer, source: TnsSource): Accept {
  if (packet.length < leastBytes) {
    throw new TnsError('field-invalid', source, `ACCEPT packet of ${packet.length} bytes lacks its fields`);
  }
  const version = packet.readUInt16BE(at.version);
  const isLarge = version >= largeSduVersion && packet.length >= at.compression;
  const flags2 = version >= flags2Version && packet.length >= flags2End ? packet.readUInt32BE(at.flags2) : 0;
  const flags0 = packet[at.servicesFlags0] ?? 0;
  const flags1 = packet[at.servicesFlags1] ?? 0;
  return {
    version,
    options: packet.readUInt16BE(at.options),
    sduBytes: isLarge ? packet.readUInt32BE(at.largeSdu) : packet.readUInt16BE(at.sdu),
    tduBytes: isLarge ? packet.readUInt32BE(at.largeTdu) : packet.readUInt16BE(at.tdu),
    flags2,
    lengthForm: lengthFormOf(version),
    endOfResponse: version >= endOfResponseVersion && (flags2 & AcceptFlag.endOfResponse) !== 0,
    fastAuth: (flags2 & AcceptFlag.fastAuth) !== 0,
    nativeServices: (flags1 & noServices) === 0 && (flags0 & servicesDisabled) === 0,
    compression: isLarge && ((packet[at.compression] ?? 0) & compressionOn) !== 0,
  };
}

/** Says a whole ACCEPT packet that the database takes no session without native services (NA flag "required")? */
export function requiresNativeServices(packet: Buffer): boolean {
  return ((packet[at.servicesFlags0] ?? 0) & servicesRequired) !== 0;
}

/** A copy of an ACCEPT packet without the bits that agree to out-of-band breaks (see connectWithoutOffers). */
export function acceptWithoutOutOfBand(packet: Buffer): Buffer {
  const copy = Buffer.from(packet);
  if (copy.length >= at.options + 2) {
    copy.writeUInt16BE(copy.readUInt16BE(at.options) & ~optionAttention, at.options);
  }
  if (copy.length >= flags2End && copy.readUInt16BE(at.version) >= flags2Version) {
    copy.writeUInt32BE((copy.readUInt32BE(at.flags2) & ~AcceptFlag.checkOutOfBand) >>> 0, at.flags2);
  }
  return copy;
}

/** Fields for an ACCEPT of one's own, without native services. */
export interface AcceptFields {
  readonly version: number;
  readonly options: number;
  readonly sduBytes: number;
  readonly tduBytes: number;
  readonly flags2: number;
  /** Identifies the connection; sent since version 319. */
  readonly uuid: Buffer;
}

/** An ACCEPT in the layout of its version: up to 40 bytes of fields, compression, flags2, UUID. */
export function encodeAccept(fields: AcceptFields): Buffer {
  const end = acceptLength(fields.version);
  const packet = Buffer.alloc(end);
  packet.writeUInt16BE(fields.version, at.version);
  packet.writeUInt16BE(fields.options, at.options);
  packet.writeUInt16BE(Math.min(fields.sduBytes, 0xffff), at.sdu);
  packet.writeUInt16BE(Math.min(fields.tduBytes, 0xffff), at.tdu);
  packet.writeUInt16BE(1, at.one);
  packet.writeUInt16BE(end, at.dataOffset);
  packet[at.servicesFlags0] = servicesDisabled;
  packet[at.servicesFlags1] = noServices;
  if (fields.version >= largeSduVersion) {
    packet.writeUInt32BE(fields.sduBytes, at.largeSdu);
    packet.writeUInt32BE(fields.tduBytes, at.largeTdu);
  }
  if (fields.version >= flags2Version) {
    packet.writeUInt32BE(fields.flags2 >>> 0, at.flags2);
  }
  if (fields.version >= endOfResponseVersion) {
    fields.uuid.copy(packet, at.uuid, 0, uuidEnd - at.uuid);
  }
  return encodePacket(PacketType.accept, 0, packet.subarray(headerBytes), 'u16');
}

/** The SDU both ends can live with. */
export function negotiateSdu(wantedBytes: number, ownBytesMax: number): number {
  return Math.max(limits.sduBytesMin, Math.min(wantedBytes, ownBytesMax));
}

function acceptLength(version: number): number {
  if (version >= endOfResponseVersion) {
    return uuidEnd;
  }
  if (version >= flags2Version) {
    return flags2End;
  }
  return version >= largeSduVersion ? at.flags2 : at.largeSdu;
}
