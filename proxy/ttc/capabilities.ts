import { BadScalar, ByteReader, OutOfBytes } from './scalar.js';

/** Versions of TTC at which fields were added (driver: TNS_CCAP_FIELD_VERSION_...). */
export const fieldVersions = {
  v11_2: 6,
  v12_1: 7,
  v12_2: 8,
  v12_2ext1: 9,
  v18_1ext1: 11,
  v19_1: 12,
  /** What a fast auth request is written in, before the server's version is known. */
  v19_1ext1: 13,
  v20_1: 14,
  v21_1: 16,
  v23_1: 17,
  v23_1ext1: 18,
  v23_1ext3: 20,
  v23_4: 24,
} as const;

/** Index of a byte in the compile time and runtime capabilities, and its bits (driver: TNS_CCAP_..., TNS_RCAP_...). */
export const Capability = {
  fieldVersion: 7,
  ttc1: 15,
  oci2: 31,
  ttc3: 37,
  ttc4: 40,
  ttc5: 44,
} as const;
export const CapabilityBit = {
  /** ttc1: ERROR and STATUS carry the end-of-call status. */
  endOfCallStatus: 0x01,
  /** oci2: sessions come from a pool of the database. */
  drcp: 0x10,
  /** ttc3: the logical transaction id is told. */
  ltxid: 0x08,
  /** ttc4 */
  inbandNotification: 0x04,
  endOfResponse: 0x20,
  /** ttc5: calls of a pipeline are numbered by tokens, which their answers repeat. */
  tokens: 0x02,
  pipelining: 0x04,
  sessionless: 0x20,
} as const;
/** Runtime capability 1: the data types message carries a time zone. */
export const runtimeTimeZone = { index: 1, bit: 0x01, bytes: 11 } as const;

/** How columns and binds are described (python-oracledb: TNS_DATA_TYPE_OAC9). */
const descriptionType = 39;

/** Encoding flags of the data types message (driver: TNS_ENCODING_CONV_LENGTH): texts have a length of their own, as CLR. */
const encodingConvertsLength = 0x02;

/** What both ends agreed on, as far as reading calls needs it. */
export interface TtcCapabilities {
  readonly fieldVersion: number;
  /** The end-of-call status tells the truth about transactions. Without it the transaction state is unknown. */
  readonly endOfCallStatus: boolean;
  /** The client understands END OF RESPONSE; a server that offers it in ACCEPT sends it to no other (JDBC is one). */
  readonly endOfResponse: boolean;
  /** The client writes texts of a known length without a length of their own: JDBC, when both ends use the same character set. */
  readonly plainTexts: boolean;
  /** In descriptions of columns and binds the scale of numbers and times is a UB2: JDBC and go-ora ask for that. */
  readonly wideScales: boolean;
}

/** Compile time and runtime capabilities of one end, as bytes. */
export interface CapabilityBytes {
  readonly compile: Buffer;
  readonly runtime: Buffer;
  /** Of a client: it did not set `encodingConvertsLength`. */
  readonly plainTexts?: boolean;
  /** Of a client: it has descriptions (type 39) converted to a later type. */
  readonly wideScales?: boolean;
}

/** What one end offers. */
export function offeredCapabilities({
  compile,
  plainTexts = false,
  wideScales = false,
}: CapabilityBytes): TtcCapabilities {
  return {
    fieldVersion: compile[Capability.fieldVersion] ?? 0,
    endOfCallStatus: ((compile[Capability.ttc1] ?? 0) & CapabilityBit.endOfCallStatus) !== 0,
    endOfResponse: ((compile[Capability.ttc4] ?? 0) & CapabilityBit.endOfResponse) !== 0,
    plainTexts,
    wideScales,
  };
}

/** What holds when each end has told the other what it offers. */
export function agreedCapabilities(client: TtcCapabilities, server: TtcCapabilities): TtcCapabilities {
  return {
    fieldVersion: Math.min(client.fieldVersion, server.fieldVersion),
    endOfCallStatus: client.endOfCallStatus && server.endOfCallStatus,
    endOfResponse: client.endOfResponse,
    plainTexts: client.plainTexts,
    wideScales: client.wideScales,
  };
}

/** What holds when each end has told the other its capabilities. */
export function negotiateCapabilities(client: CapabilityBytes, server: CapabilityBytes): TtcCapabilities {
  return agreedCapabilities(offeredCapabilities(client), offeredCapabilities(server));
}

/** A reading of a login message: its content, or why there is none. */
export type Reading<T> =
  | { readonly kind: 'read'; readonly value: T }
  | { readonly kind: 'need-more' }
  | { readonly kind: 'unknown'; readonly reason: string };

/** Runs a strict parse; running out of bytes and bad scalars become results. */
export function reading<T>(bytes: Buffer, parse: (reader: ByteReader) => T): Reading<T> {
  try {
    return { kind: 'read', value: parse(new ByteReader(bytes)) };
  } catch (error) {
    if (error instanceof OutOfBytes) {
      return { kind: 'need-more' };
    }
    if (error instanceof BadScalar) {
      return { kind: 'unknown', reason: error.message };
    }
    throw error;
  }
}

/** The server's answer to protocol negotiation. */
export interface ProtocolReply extends CapabilityBytes {
  readonly banner: string;
  readonly characterSet: number;
}

/**
 * Reads a PROTOCOL message of the server: all of the answer in a slow login, the first message of the answer to a fast
 * auth request (driver: messages/protocol.js).
 */
export function readProtocolReply(payload: Buffer): Reading<ProtocolReply> {
  return reading(payload, (reader) => {
    if (reader.u8() !== 1) {
      throw new BadScalar('not a protocol message');
    }
    reader.skip(2);
    const banner = readNulText(reader);
    const characterSet = reader.u16le();
    reader.skip(1);
    reader.skip(reader.u16le() * 5);
    reader.skip(reader.u16());
    const compile = Buffer.from(reader.clr() ?? []);
    const runtime = Buffer.from(reader.clr() ?? []);
    return { banner, characterSet, compile, runtime };
  });
}

/** Reads the client's DATA TYPES message (slow login) for the client's capabilities. */
export function readDataTypesRequest(payload: Buffer): Reading<CapabilityBytes> {
  return reading(payload, skipDataTypes);
}

/** Reads a DATA TYPES message of a client up to its end, leaving the reader behind it. */
export function skipDataTypes(reader: ByteReader): CapabilityBytes {
  if (reader.u8() !== 2) {
    throw new BadScalar('not a data types message');
  }
  reader.skip(4); // character sets
  const plainTexts = (reader.u8() & encodingConvertsLength) === 0;
  const compile = Buffer.from(reader.clr() ?? []);
  const runtime = Buffer.from(reader.clr() ?? []);
  if (((runtime[runtimeTimeZone.index] ?? 0) & runtimeTimeZone.bit) !== 0) {
    reader.skip(runtimeTimeZone.bytes);
  }
  let wideScales = false;
  for (let type = reader.u16(); type !== 0; type = reader.u16()) {
    // type, converted type, representation, 0; without a conversion the type stands alone
    const converted = reader.u16();
    if (converted !== 0) reader.skip(4);
    // Types 120 and 646 are the later ones (python-oracledb: TNS_DATA_TYPE_OAC9, OAC122 and OAC).
    if (type === descriptionType) wideScales = converted > descriptionType;
  }
  return { compile, runtime, plainTexts, wideScales };
}

/** Reads text up to its NUL. */
export function readNulText(reader: ByteReader): string {
  const bytes: number[] = [];
  for (let byte = reader.u8(); byte !== 0; byte = reader.u8()) {
    bytes.push(byte);
  }
  return Buffer.from(bytes).toString('latin1');
}
