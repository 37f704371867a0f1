/** Bytes of both sides of a session, built without the codecs under test. */

export interface Step {
  readonly from: 'driver' | 'database';
  readonly bytes: Buffer;
}

const endOfRequest = 0x0800;
const endOfResponse = 0x2000;

export function bytes(...parts: readonly (number | string | Buffer)[]): Buffer {
  return Buffer.concat(
    parts.map((part) => {
      if (typeof part === 'number') return Buffer.from([part]);
      return typeof part === 'string' ? Buffer.from(part, 'latin1') : part;
    }),
  );
}

/** A packet behind ACCEPT of version 315 or later. */
export function packet(type: number, body: Buffer): Buffer {
  const header = Buffer.from([0, 0, 0, 0, type, 0, 0, 0]);
  header.writeUInt32BE(8 + body.length, 0);
  return Buffer.concat([header, body]);
}

export function data(payload: Buffer, flags: number): Buffer {
  return packet(6, bytes(flags >> 8, flags & 0xff, payload));
}

export const marker = (kind: 1 | 2 | 3): Buffer => packet(12, bytes(1, 0, kind));

/** UB4 and the like: a length byte, then the bytes. */
export function ub(value: number): Buffer {
  if (value === 0) return bytes(0);
  const digits = value.toString(16);
  const raw = Buffer.from(digits.length % 2 === 0 ? digits : `0${digits}`, 'hex');
  return bytes(raw.length, raw);
}

export const clr = (value: string | Buffer): Buffer => bytes(value.length, value);
const pair = (key: string, value: string): Buffer =>
  bytes(ub(key.length), clr(key), ub(value.length), clr(value), ub(0));

export interface Dialect {
  readonly fieldVersion: number;
  /** Requests and responses are marked at their end. */
  readonly marked: boolean;
  /** ACCEPT offers marks; they are not used when the driver does not know them. */
  readonly offered?: boolean;
}

/** Version 24 (23ai) is the first with marked responses, 18 the first with tokens. */
export const today: Dialect = { fieldVersion: 24, marked: true };
export const release19: Dialect = { fieldVersion: 12, marked: false };
/** JDBC speaks the newest version and knows no marks. */
export const jdbc: Dialect = { fieldVersion: 24, marked: false, offered: true };

function capabilities(dialect: Dialect): Buffer {
  const compile = Buffer.alloc(53);
  compile[7] = dialect.fieldVersion;
  compile[15] = 0x01;
  compile[40] = dialect.marked ? 0x20 : 0;
  return compile;
}

/** The steps of one dialect. */
export function speaker(dialect: Dialect) {
  const token = dialect.fieldVersion >= 18 ? bytes(0) : Buffer.alloc(0);
  const request = (payload: Buffer, flags = 0): Step => ({
    from: 'driver',
    bytes: data(payload, flags | (dialect.marked ? endOfRequest : 0)),
  });
  const reply = (payload: Buffer): Step => ({
    from: 'database',
    bytes: dialect.marked ? data(bytes(payload, 29), endOfResponse) : data(payload, 0),
  });
  const header = (type: number, code: number): Buffer => bytes(type, code, 7, token);
  const functionCall = (code: number, rest: Buffer = Buffer.alloc(0), flags = 0): Step =>
    request(bytes(header(3, code), rest), flags);
  const status = (callStatus: number): Buffer => bytes(9, ub(callStatus), ub(1));
  /** ERROR: between call status and error number stand 27 bytes of fields that may all be zero. */
  const error = (callStatus: number, number = 0, text = ''): Buffer =>
    bytes(
      4,
      ub(callStatus),
      Buffer.alloc(27),
      ub(number),
      ub(300),
      dialect.fieldVersion >= 14 ? Buffer.alloc(2) : Buffer.alloc(0),
      number === 0 ? Buffer.alloc(0) : clr(text),
    );
  return {
    token,
    request,
    reply,
    header,
    functionCall,
    status,
    error,
    login: login(dialect, { request, reply, header, status }),
  };
}

/** Protocol and data types negotiation, then both phases of authentication: the slow login. */
function login(
  dialect: Dialect,
  say: {
    request(payload: Buffer): Step;
    reply(payload: Buffer): Step;
    header(type: number, code: number): Buffer;
    status(callStatus: number): Buffer;
  },
): Step[] {
  const compile = capabilities(dialect);
  const protocolReply = bytes(1, 6, 0, 'fixture\0', 0x69, 3, 0, 0, 0, 0, 0, clr(compile), clr(bytes(2, 0)));
  const auth = (code: number, pairs: readonly Buffer[]): Buffer =>
    bytes(say.header(3, code), 1, ub(3), ub(0x101), 1, ub(pairs.length), 1, 1, clr('app'), ...pairs);
  const parameters = (pairs: readonly Buffer[]): Buffer => bytes(8, ub(pairs.length), ...pairs, say.status(0));
  return [
    say.request(bytes(1, 6, 0, 'node-oracledb\0')),
    // Replies of the negotiation are not marked.
    { from: 'database', bytes: data(protocolReply, 0) },
    say.request(bytes(2, Buffer.alloc(4), 3, clr(compile), clr(bytes(2, 0)), 0, 0)),
    { from: 'database', bytes: data(bytes(2, 0, 0), 0) },
    say.request(
      auth(118, [pair('AUTH_PROGRAM_NM', 'orders.js'), pair('AUTH_MACHINE', 'node-a'), pair('AUTH_PID', '77')]),
    ),
    say.reply(parameters([pair('AUTH_SESSKEY', 'c0ffee'), pair('AUTH_VFR_DATA', 'c0ffee')])),
    say.request(
      auth(115, [pair('AUTH_SESSKEY', 'secret'), pair('SESSION_CLIENT_DRIVER_NAME', 'node-oracledb : 26.0.0 thn')]),
    ),
    say.reply(
      parameters([
        pair('AUTH_SESSION_ID', '42'),
        pair('AUTH_SERIAL_NUM', '4711'),
        pair('AUTH_SC_SERVICE_NAME', 'orders'),
        pair('AUTH_SC_INSTANCE_NAME', 'ORCL1'),
      ]),
    ),
  ];
}
