import { fieldVersions, type TtcCapabilities } from './capabilities.js';
import { limits } from './limits.js';
import { BadScalar, ByteReader, OutOfBytes } from './scalar.js';

/** First byte of a TTC message (driver: TNS_MSG_TYPE_...). */
export const MessageType = {
  protocol: 1,
  dataTypes: 2,
  function: 3,
  error: 4,
  rowHeader: 6,
  rowData: 7,
  parameter: 8,
  status: 9,
  ioVector: 11,
  lobData: 14,
  warning: 15,
  describe: 16,
  piggyback: 17,
  flushOutBinds: 19,
  bitVector: 21,
  serverPiggyback: 23,
  oneWay: 26,
  implicitResultSet: 27,
  renegotiate: 28,
  endOfResponse: 29,
  token: 33,
  fastAuth: 34,
} as const;

/** Functions a client calls (driver: TNS_FUNC_...). */
export const FunctionCode = {
  reExecute: 4,
  fetch: 5,
  logoff: 9,
  commit: 14,
  rollback: 15,
  version: 59,
  reExecuteAndFetch: 78,
  execute: 94,
  lobOperation: 96,
  transactionSwitch: 103,
  transactionChangeState: 104,
  closeCursors: 105,
  authPhaseTwo: 115,
  authPhaseOne: 118,
  cancelCursors: 120,
  subscribe: 125,
  directPathPrepare: 128,
  directPathLoadStream: 129,
  directPathOperation: 130,
  setEndToEnd: 135,
  ping: 147,
  setSchema: 152,
  applicationContext: 154,
  sessionGet: 162,
  sessionRelease: 163,
  sessionState: 176,
  notify: 187,
  pipelineBegin: 199,
  pipelineEnd: 200,
  alterSession: 204,
  endUserSecurityContext: 205,
} as const;

/** Bits of SESSION_STATE (176): the pool took or gave back a connection. */
export const SessionStateFlag = { requestBegin: 0x04, requestEnd: 0x08, explicitBoundary: 0x40 } as const;

/** What the first bytes of a request say. */
export type RequestHead =
  /** Capabilities and the first phase of authentication in one; a reply follows. */
  | { readonly kind: 'fast-auth' }
  /** Protocol negotiation, data types negotiation: replies follow, without an end-of-response flag. */
  | { readonly kind: 'negotiation'; readonly message: 'protocol' | 'data-types' }
  | {
      readonly kind: 'call';
      readonly functionCode: number;
      /** Function codes of the piggybacks in front, in order. They get no reply of their own. */
      readonly piggybacks: readonly number[];
      /** No reply follows. */
      readonly oneWay: boolean;
      /** Flags of SESSION_STATE piggybacks, or 0. */
      readonly sessionState: number;
    }
  /** The client's go-ahead inside a response; the same response goes on. */
  | { readonly kind: 'flush-out-binds' }
  | { readonly kind: 'need-more' }
  /** Not readable: the call is of unknown kind, and whether a reply follows is unknown. */
  | { readonly kind: 'unknown'; readonly reason: string };

/**
 * Reads the head of a request: walks the chain of piggybacks to the function behind them.
 *
 * @param head payload of the request's DATA packets from its first byte, as far as collected; give more of it after
 *   `need-more`, until `limits.requestHeadBytesMax`, beyond which the answer is `unknown`
 */
export function readRequestHead(head: Buffer, capabilities: TtcCapabilities): RequestHead {
  try {
    return walk(new ByteReader(head), capabilities);
  } catch (error) {
    if (error instanceof OutOfBytes) {
      return head.length >= limits.requestHeadBytesMax
        ? { kind: 'unknown', reason: 'the function lies behind more piggyback bytes than are kept' }
        : { kind: 'need-more' };
    }
    if (error instanceof BadScalar) {
      return { kind: 'unknown', reason: error.message };
    }
    throw error;
  }
}

/** What stands behind the function code. */
export interface FunctionHeader {
  readonly sequence: number;
  /** Since 23.1: by it the answer to a pipelined call is known; 0 for none. */
  readonly token: number;
}

export function readFunctionHeader(reader: ByteReader, capabilities: TtcCapabilities): FunctionHeader {
  const sequence = reader.u8();
  return { sequence, token: capabilities.fieldVersion >= fieldVersions.v23_1ext1 ? reader.ub8() : 0 };
}

/** A text whose length was given before. */
export function readText(reader: ByteReader, lengthBytes: number, { plainTexts }: TtcCapabilities): string {
  return plainTexts ? reader.bytes(lengthBytes).toString('utf8') : reader.text();
}

const functionNames: ReadonlyMap<number, string> = new Map(
  Object.entries(FunctionCode).map(([name, code]) => [code, name] as const),
);

/** `commit`, `fetch`, ... for logs and reports; `function 77` for one that is not listed. */
export function functionName(code: number): string {
  return functionNames.get(code) ?? `function ${code}`;
}

function walk(reader: ByteReader, capabilities: TtcCapabilities): RequestHead {
  const piggybacks: number[] = [];
  let sessionState = 0;
  for (;;) {
    const type = reader.u8();
    switch (type) {
      case MessageType.function:
      case MessageType.oneWay:
        return {
          kind: 'call',
          functionCode: reader.u8(),
          piggybacks,
          oneWay: type === MessageType.oneWay,
          sessionState,
        };
      case MessageType.piggyback: {
        const code = reader.u8();
        if (piggybacks.push(code) > limits.piggybacksMax) {
          return { kind: 'unknown', reason: `more than ${limits.piggybacksMax} piggybacks` };
        }
        readFunctionHeader(reader, capabilities);
        sessionState |= skipPiggyback(reader, code, capabilities);
        break;
      }
      case MessageType.fastAuth:
        return { kind: 'fast-auth' };
      case MessageType.protocol:
        return { kind: 'negotiation', message: 'protocol' };
      case MessageType.dataTypes:
        return { kind: 'negotiation', message: 'data-types' };
      case MessageType.flushOutBinds:
        return { kind: 'flush-out-binds' };
      default:
        return { kind: 'unknown', reason: `message type ${type} in a request` };
    }
  }
}

/** Skips a piggyback's body; the result is its SESSION_STATE flags, 0 for all others. */
type SkipBody = (reader: ByteReader, capabilities: TtcCapabilities) => number;

/**
 * Skips the body of a piggyback, behind its function header.
 * @returns the flags of a SESSION_STATE piggyback, 0 for all others
 * @throws OutOfBytes; BadScalar also for a piggyback whose layout is not known
 */
export function skipPiggyback(reader: ByteReader, code: number, capabilities: TtcCapabilities): number {
  const skip = piggybackBodies.get(code);
  if (skip === undefined) {
    throw new BadScalar(`piggyback ${functionName(code)} has no known length`);
  }
  return skip(reader, capabilities);
}

/* Layouts: driver, messages/base.js write...Piggyback; SESSION_STATE: python-oracledb messages/base.pyx. */
const piggybackBodies: ReadonlyMap<number, SkipBody> = new Map<number, SkipBody>([
  [FunctionCode.closeCursors, skipCursors],
  [FunctionCode.cancelCursors, skipCursors],
  [FunctionCode.setSchema, skipSchema],
  [FunctionCode.setEndToEnd, skipEndToEnd],
  [FunctionCode.applicationContext, skipApplicationContext],
  [FunctionCode.pipelineBegin, skipPipelineBegin],
  [FunctionCode.alterSession, skipAlterSession],
  [FunctionCode.endUserSecurityContext, skipSecurityContext],
  [FunctionCode.sessionState, skipSessionState],
  [FunctionCode.lobOperation, skipFreeTemporaryLobs],
  [FunctionCode.transactionSwitch, skipTransactionSwitch],
]);

function skipCursors(reader: ByteReader): number {
  reader.skip(1);
  for (let count = reader.ub4(); count > 0; count--) {
    reader.ub4();
  }
  return 0;
}

function skipSchema(reader: ByteReader, capabilities: TtcCapabilities): number {
  reader.skip(1);
  skipText(reader, reader.ub4(), capabilities);
  return 0;
}

function skipEndToEnd(reader: ByteReader, capabilities: TtcCapabilities): number {
  reader.skip(2);
  reader.ub4();
  const lengths = [
    pointerWithLength(reader), // client identifier
    pointerWithLength(reader), // module
    pointerWithLength(reader), // action
    pointerWithLength(reader), // execution context
  ];
  reader.skip(1);
  reader.ub4();
  lengths.push(pointerWithLength(reader)); // client info
  pointerWithLength(reader); // cideci
  reader.skip(1);
  reader.ub4();
  lengths.push(pointerWithLength(reader)); // database operation
  for (const length of lengths) skipText(reader, length, capabilities);
  return 0;
}

function pointerWithLength(reader: ByteReader): number {
  reader.skip(1);
  return reader.ub4();
}

function skipText(reader: ByteReader, lengthBytes: number, capabilities: TtcCapabilities): void {
  if (lengthBytes > 0) readText(reader, lengthBytes, capabilities);
}

function skipApplicationContext(reader: ByteReader, capabilities: TtcCapabilities): number {
  const namespaceBytes = reader.u8() !== 0 ? reader.ub4() : 0;
  reader.skip(1);
  const pairs = reader.ub4();
  reader.ub2();
  reader.skip(1);
  readText(reader, namespaceBytes, capabilities);
  for (let left = pairs; left > 0; left--) {
    skipKeyValue(reader);
  }
  return 0;
}

function skipKeyValue(reader: ByteReader): void {
  reader.clrWithLength();
  reader.clrWithLength();
  reader.ub4();
}

function skipPipelineBegin(reader: ByteReader): number {
  reader.ub2();
  reader.skip(2);
  return 0;
}

function skipAlterSession(reader: ByteReader): number {
  reader.ub4();
  reader.skip(1);
  for (let left = reader.ub4(); left > 0; left--) {
    skipKeyValue(reader);
  }
  return 0;
}

function skipSecurityContext(reader: ByteReader): number {
  reader.ub4();
  reader.skip(1);
  for (let left = reader.ub4(); left > 0; left--) {
    reader.ub4();
    reader.clrWithLength();
    reader.clrWithLength();
    reader.clrWithLength();
  }
  return 0;
}

function skipSessionState(reader: ByteReader): number {
  const state = reader.ub8();
  return state > 0xffff_ffff ? 0 : state >>> 0;
}

function skipFreeTemporaryLobs(reader: ByteReader): number {
  reader.skip(1);
  const locatorBytes = reader.ub4();
  skipPointersWithLength(reader, 1);
  reader.ub4();
  reader.ub4();
  reader.skip(3);
  reader.ub4();
  reader.skip(1);
  reader.ub4();
  reader.ub8();
  reader.ub8();
  reader.skip(1);
  skipPointersWithLength(reader, 3);
  reader.skip(locatorBytes);
  return 0;
}

function skipTransactionSwitch(reader: ByteReader): number {
  reader.ub4();
  reader.skip(1);
  const contextBytes = reader.ub4();
  reader.ub4();
  reader.ub4();
  reader.ub4();
  reader.skip(1);
  const xidBytes = reader.ub4();
  reader.ub4();
  reader.ub4();
  reader.skip(3);
  reader.skip(1);
  const internalNameBytes = reader.ub4();
  reader.skip(1);
  const externalNameBytes = reader.ub4();
  reader.skip(contextBytes + xidBytes);
  reader.ub4();
  reader.skip(internalNameBytes + externalNameBytes);
  return 0;
}

function skipPointersWithLength(reader: ByteReader, count: number): void {
  for (let left = count; left > 0; left--) {
    reader.skip(1);
    reader.ub4();
  }
}
