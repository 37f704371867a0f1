import { fieldVersions, type TtcCapabilities } from './capabilities.js';
import { MessageType } from './function.js';
import { limits } from './limits.js';
import { BadScalar, ByteReader, OutOfBytes } from './scalar.js';

/** Bits of the end-of-call status (driver: TNS_EOCS_FLAGS_...). */
export const CallStatusBit = {
  transactionInProgress: 0x0000_0002,
  sessionRelease: 0x0000_8000,
} as const;

/** How a call ended. */
export type EndOfCall =
  | {
      readonly kind: 'known';
      readonly callStatus: number;
      /** Undefined when the ends did not agree on sending it, or candidates disagree. */
      readonly transactionOpen: boolean | undefined;
      /** The server took the session back (DRCP): SID and serial# must be learnt again. */
      readonly sessionReleased: boolean;
      /** The ORA number; 0 for success, 1403 at the end of a fetch. */
      readonly errorNumber: number;
    }
  /** No ERROR or STATUS message ends here: the response goes on, or it is one this code does not know. */
  | { readonly kind: 'none' };

/**
 * Reads how a call ended from the last bytes of its response. Whatever stands before (rows, descriptions, LOB data) is not
 * parsed: an ERROR (4) or STATUS (9) message is found as the one that, parsed strictly, ends exactly where the response
 * does, but for a closing END OF RESPONSE (29).
 *
 * An ERROR is preferred to a STATUS inside it: the four bytes of a STATUS can appear in the numbers at the end of an ERROR,
 * the forty or more fields of an ERROR do not appear by chance. When several ERROR candidates disagree about the
 * transaction it is reported as undefined, never guessed.
 *
 * @param tail the last bytes, up to `limits.responseTailBytesMax`; all of the response when it is shorter
 */
export function readEndOfCall(tail: Buffer, capabilities: TtcCapabilities): EndOfCall {
  const errors: ErrorMessage[] = [];
  const statuses: ErrorMessage[] = [];
  for (let at = 0; at < tail.length; at++) {
    const type = tail[at];
    if (type === MessageType.error) {
      collect(errors, () => readError(new ByteReader(tail, at + 1), capabilities), tail);
    } else if (type === MessageType.status) {
      collect(statuses, () => readStatus(new ByteReader(tail, at + 1)), tail);
    }
  }
  return conclude(errors, capabilities) ?? conclude(statuses, capabilities) ?? { kind: 'none' };
}

/** Most replies are shorter than this; that much memory stays between calls. */
const tailKeptBytes = 256;

/** The fields of an ERROR or STATUS message that are used. */
export interface ErrorMessage {
  readonly callStatus: number;
  readonly errorNumber: number;
  /** Offset behind the message. */
  readonly end: number;
}

/** Reads a STATUS message behind its type byte: UB4 call status, UB2 end-to-end sequence number. */
export function readStatus(reader: ByteReader): ErrorMessage {
  const callStatus = reader.ub4();
  reader.ub2();
  return { callStatus, errorNumber: 0, end: reader.at };
}

/**
 * Reads an ERROR message behind its type byte (driver: messages/base.js processErrorInfo).
 * @throws OutOfBytes, BadScalar
 */
export function readError(reader: ByteReader, capabilities: TtcCapabilities): ErrorMessage {
  const callStatus = reader.ub4();
  reader.ub2(); // end-to-end sequence number
  reader.ub4(); // current row number
  reader.ub2(); // error number, 16 bits
  reader.ub2(); // array element error
  reader.ub2(); // array element error
  reader.ub2(); // cursor id
  reader.sb2(); // error position
  reader.skip(6); // SQL type, fatal, flags, user cursor options, UPI parameter, warning flag
  skipRowId(reader);
  reader.ub4(); // operating system error
  reader.skip(2); // statement error, call number
  reader.ub2(); // padding
  reader.ub4(); // successful iterations
  reader.clrWithLength(); // logical rowid
  skipBatchErrors(reader);
  const errorNumber = reader.ub4();
  reader.ub8(); // row count
  if (capabilities.fieldVersion >= fieldVersions.v20_1) {
    reader.ub4(); // SQL type
    reader.ub4(); // server checksum
  }
  if (errorNumber !== 0) {
    reader.clr(); // message
  }
  return { callStatus, errorNumber, end: reader.at };
}

/**
 * The last bytes of a response, in bounded memory; views are copied. Its memory grows with the response and is given back
 * by `clear`, so that an idle session costs nothing here.
 */
export class ResponseTail {
  readonly #bytesMax: number;
  #bytes = Buffer.alloc(0);
  #held = 0;

  constructor(bytesMax: number = limits.responseTailBytesMax) {
    this.#bytesMax = bytesMax;
  }

  push(view: Buffer): void {
    const kept = view.length > this.#bytesMax ? view.subarray(view.length - this.#bytesMax) : view;
    if (this.#held + kept.length > this.#bytes.length) {
      this.#makeRoom(kept.length);
    }
    kept.copy(this.#bytes, this.#held);
    this.#held += kept.length;
  }

  /** At most `bytesMax` bytes, as a view that the next push overwrites. */
  view(): Buffer {
    return this.#bytes.subarray(Math.max(0, this.#held - this.#bytesMax), this.#held);
  }

  clear(): void {
    this.#held = 0;
    if (this.#bytes.length > tailKeptBytes) {
      this.#bytes = Buffer.alloc(0);
    }
  }

  /** Twice the window at most: half of it is moved to the front when it is full. */
  #makeRoom(count: number): void {
    const keep = this.view();
    const wanted = Math.min(this.#bytesMax * 2, Math.max(tailKeptBytes, (keep.length + count) * 2));
    const target = wanted > this.#bytes.length ? Buffer.allocUnsafeSlow(wanted) : this.#bytes;
    // copy moves correctly when source and target overlap
    this.#held = keep.copy(target, 0);
    this.#bytes = target;
  }
}

/** UB4, UB2, a byte, UB4, UB2 (driver: readRowID). */
function skipRowId(reader: ByteReader): void {
  reader.ub4();
  reader.ub2();
  reader.skip(1);
  reader.ub4();
  reader.ub2();
}

function skipBatchErrors(reader: ByteReader): void {
  const codes = reader.ub2();
  skipPacked(reader, codes, () => reader.ub2());
  const offsets = reader.ub4();
  skipPacked(reader, offsets, () => reader.ub4());
  const messages = reader.ub2();
  if (messages > 0) {
    reader.skip(1);
    for (let left = messages; left > 0; left--) {
      reader.ub2();
      reader.clr();
      reader.skip(2);
    }
  }
}

/** An array: a byte, then the elements; after byte 254 each has a length of its own and an end marker follows. */
function skipPacked(reader: ByteReader, count: number, skipElement: () => void): void {
  if (count === 0) {
    return;
  }
  const isChunked = reader.u8() === 254;
  for (let left = count; left > 0; left--) {
    if (isChunked) {
      reader.ub4();
    }
    skipElement();
  }
  if (isChunked) {
    reader.skip(1);
  }
}

function collect(into: ErrorMessage[], parse: () => ErrorMessage, tail: Buffer): void {
  try {
    const message = parse();
    const left = tail.length - message.end;
    if (left === 0 || (left === 1 && tail[message.end] === MessageType.endOfResponse)) {
      into.push(message);
    }
  } catch (error) {
    if (!(error instanceof OutOfBytes) && !(error instanceof BadScalar)) {
      throw error;
    }
  }
}

function conclude(candidates: readonly ErrorMessage[], capabilities: TtcCapabilities): EndOfCall | undefined {
  const [first] = candidates;
  if (first === undefined) {
    return undefined;
  }
  const open = isOpen(first);
  const agreed = capabilities.endOfCallStatus && candidates.every((candidate) => isOpen(candidate) === open);
  return {
    kind: 'known',
    callStatus: first.callStatus,
    transactionOpen: agreed ? open : undefined,
    sessionReleased: (first.callStatus & CallStatusBit.sessionRelease) !== 0,
    errorNumber: first.errorNumber,
  };
}

function isOpen(message: ErrorMessage): boolean {
  return (message.callStatus & CallStatusBit.transactionInProgress) !== 0;
}
