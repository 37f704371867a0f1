import {
  type CapabilityBytes,
  fieldVersions,
  offeredCapabilities,
  type Reading,
  reading,
  readNulText,
  skipDataTypes,
  type TtcCapabilities,
} from './capabilities.js';
import { FunctionCode, MessageType, readFunctionHeader, readText } from './function.js';
import { BadScalar, type ByteReader } from './scalar.js';

/** Key/value pairs of a login message, e.g. `AUTH_SESSION_ID` or `AUTH_PROGRAM_NM`. */
export type LoginPairs = ReadonlyMap<string, string>;

/** A login function of a client: first or second phase. */
export interface LoginRequest {
  readonly phase: 'one' | 'two';
  readonly sequence: number;
  readonly user: string;
  readonly mode: number;
  readonly pairs: LoginPairs;
}

export interface FastAuthRequest {
  readonly driver: string;
  readonly client: CapabilityBytes;
  readonly login: LoginRequest;
}

/** More pairs than this are not a login. */
const pairsMax = 256;

/**
 * Reads a fast auth request (message 34): protocol, data types and the first phase of authentication in one
 * (driver: messages/fastAuth.js).
 */
export function readFastAuthRequest(payload: Buffer): Reading<FastAuthRequest> {
  return reading(payload, (reader) => {
    if (reader.u8() !== MessageType.fastAuth) {
      throw new BadScalar('not a fast auth message');
    }
    reader.skip(3);
    if (reader.u8() !== MessageType.protocol) {
      throw new BadScalar('fast auth without a protocol message');
    }
    readNulText(reader); // protocol versions, one byte each
    const driver = readNulText(reader);
    reader.skip(5);
    const fieldVersion = reader.u8();
    const client = skipDataTypes(reader);
    return { driver, client, login: readLogin(reader, { ...offeredCapabilities(client), fieldVersion }) };
  });
}

/** Reads a login function (118 or 115) that stands at the start of a request. */
export function readLoginRequest(payload: Buffer, capabilities: TtcCapabilities): Reading<LoginRequest> {
  return reading(payload, (reader) => readLogin(reader, capabilities));
}

/**
 * Reads the key/value pairs of a server's answer to a login phase: PARAMETER (8), possibly behind other messages, in the
 * variable-length integers of thin drivers or in the fixed little-endian ones that OCI clients negotiate. It looks for the
 * keys instead of parsing what stands before them, so that an unknown message in front does not hide SID and serial#.
 *
 * @param payload of the whole response
 */
export function readLoginReply(payload: Buffer, keys: readonly string[]): LoginPairs {
  const pairs = new Map<string, string>();
  for (const key of keys) {
    const value = findValue(payload, key);
    if (value !== undefined) {
      pairs.set(key, value);
    }
  }
  return pairs;
}

function readLogin(reader: ByteReader, capabilities: TtcCapabilities): LoginRequest {
  if (reader.u8() !== MessageType.function) {
    throw new BadScalar('not a login function');
  }
  const code = reader.u8();
  if (code !== FunctionCode.authPhaseOne && code !== FunctionCode.authPhaseTwo) {
    throw new BadScalar(`function ${code} is not a login`);
  }
  const { sequence } = readFunctionHeader(reader, capabilities);
  const hasUser = reader.u8() !== 0;
  const userBytes = reader.ub4();
  const mode = reader.ub4();
  reader.skip(1);
  const count = reader.ub4();
  reader.skip(2);
  const user = hasUser && userBytes > 0 ? readText(reader, userBytes, capabilities) : '';
  return {
    phase: code === FunctionCode.authPhaseOne ? 'one' : 'two',
    sequence,
    user,
    mode,
    pairs: readPairs(reader, count),
  };
}

/** UB4 and CLR of the key, UB4 and CLR of the value, UB4 flags (driver: writeKeyValue). */
function readPairs(reader: ByteReader, count: number): LoginPairs {
  if (count > pairsMax) {
    throw new BadScalar(`${count} key/value pairs`);
  }
  const pairs = new Map<string, string>();
  for (let left = count; left > 0; left--) {
    const key = reader.clrWithLength()?.toString('utf8') ?? '';
    pairs.set(key, reader.clrWithLength()?.toString('utf8') ?? '');
    reader.ub4();
  }
  return pairs;
}

/** The value behind `length byte, key`, or undefined. */
function findValue(payload: Buffer, key: string): string | undefined {
  const needle = Buffer.concat([Buffer.from([key.length]), Buffer.from(key, 'latin1')]);
  for (let at = payload.indexOf(needle); at >= 0; at = payload.indexOf(needle, at + 1)) {
    const value = readValue(payload, at + needle.length);
    if (value !== undefined) {
      return value;
    }
  }
  return undefined;
}

function readValue(payload: Buffer, at: number): string | undefined {
  const variable = reading(payload.subarray(at), (reader) => {
    const declared = reader.ub4();
    const bytes = declared === 0 ? Buffer.alloc(0) : (reader.clr() ?? Buffer.alloc(0));
    if (bytes.length !== declared) {
      throw new BadScalar('length and value disagree');
    }
    return bytes.toString('utf8');
  });
  if (variable.kind === 'read') {
    return variable.value;
  }
  // Fixed form: four bytes little-endian, then a length byte and the bytes.
  if (payload.length < at + 5) {
    return undefined;
  }
  const declared = payload.readUInt32LE(at);
  const end = at + 5 + declared;
  return payload[at + 4] === declared && end <= payload.length ? payload.toString('utf8', at + 5, end) : undefined;
}

/** The version a fast auth request's login is written in, for writers of such requests. */
export const fastAuthFieldVersion = fieldVersions.v19_1ext1;
