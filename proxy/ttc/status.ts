import { fieldVersions, type TtcCapabilities } from './capabilities.js';
import { Cursor } from './cursor.js';
import { MessageType } from './function.js';
import { limits } from './limits.js';
import {
  findServerPiggyback,
  laterNews,
  noNews,
  readServerPiggybacks,
  readServerPiggybacksBefore,
  type ServerNews,
} from './piggyback.js';

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
      /** What the server's piggybacks around the message told. */
      readonly news: ServerNews;
    }
  /** No ERROR or STATUS message ends here: the response goes on, or it is one this code does not know. */
  | { readonly kind: 'none' };

/**
 * Reads how a call ended from the last bytes of its response. Whatever stands before (rows, descriptions, LOB data) is not
 * parsed: an ERROR (4) or STATUS (9) message is found as the one that, parsed strictly, ends exactly where the response
 * does, but for server-side piggybacks (23) and a closing END OF RESPONSE (29).
 *
 * An ERROR is preferred to a STATUS inside it: the four bytes of a STATUS can appear in the numbers at the end of an ERROR,
 * the forty or more fields of an ERROR do not appear by chance. When several ERROR candidates disagree about the
 * transaction it is reported as undefined, never guessed.
 *
 * @param tail the last bytes, up to `limits.responseTailBytesMax`; all of the response when it is shorter
 */
export function readEndOfCall(tail: Buffer, capabilities: TtcCapabilities): EndOfCall {
  const cursor = new Cursor(tail);
  const errors = candidates(cursor, tail, MessageType.error, 0, readError, capabilities);
  const known = conclude(tail, errors, capabilities);
  if (known !== undefined) return known;
  // A STATUS can only be the last few bytes, with piggybacks behind it some more.
  const news = findServerPiggyback(tail, Math.max(0, tail.length - newsBytesMax));
  const from = Math.max(0, (news < 0 ? tail.length : news) - statusBytesMax - 1);
  const statuses = candidates(cursor, tail, MessageType.status, from, readStatus, capabilities);
  return conclude(tail, statuses, capabilities) ?? { kind: 'none' };
}

/** Type byte, UB4, UB2. */
const statusBytesMax = 1 + 5 + 3;

/** Piggybacks behind the message that ends a call. */
const newsBytesMax = 256;

/** Most replies are shorter than this; that much memory stays between calls. */
const tailKeptBytes = 256;

/** The fields of an ERROR or STATUS message that are used. */
interface CallEnd {
  readonly callStatus: number;
  readonly errorNumber: number;
}

const noEnd: CallEnd = { callStatus: 0, errorNumber: 0 };

/** Reads a STATUS message behind its type byte: UB4 call status, UB2 end-to-end sequence number. */
function readStatus(cursor: Cursor): CallEnd {
  const callStatus = cursor.ub(4);
  cursor.ub(2);
  return { callStatus, errorNumber: 0 };
}

/** Reads an ERROR message behind its type byte (driver: messages/base.js processErrorInfo). */
function readError(cursor: Cursor, capabilities: TtcCapabilities): CallEnd {
  const callStatus = cursor.ub(4);
  cursor.ub(2); // end-to-end sequence number
  cursor.ub(4); // current row number
  cursor.ub(2); // error number, 16 bits
  // Most places that hold the type byte by chance are found out by now.
  if (cursor.failed) return noEnd;
  cursor.ub(2); // array element error
  cursor.ub(2); // array element error
  cursor.ub(2); // cursor id
  cursor.skipSigned(2); // error position
  cursor.skip(6); // SQL type, fatal, flags, user cursor options, UPI parameter, warning flag
  skipRowId(cursor);
  cursor.ub(4); // operating system error
  cursor.skip(2); // statement error, call number
  cursor.ub(2); // padding
  cursor.ub(4); // successful iterations
  cursor.skipClrWithLength(); // logical rowid
  skipBatchErrors(cursor);
  const errorNumber = cursor.ub(4);
  cursor.ub(8); // row count
  if (capabilities.fieldVersion >= fieldVersions.v20_1) {
    cursor.ub(4); // SQL type
    cursor.ub(4); // server checksum
  }
  if (errorNumber !== 0) cursor.skipClr(); // message
  return { callStatus, errorNumber };
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
function skipRowId(cursor: Cursor): void {
  cursor.ub(4);
  cursor.ub(2);
  cursor.skip(1);
  cursor.ub(4);
  cursor.ub(2);
}

function skipBatchErrors(cursor: Cursor): void {
  skipPacked(cursor, cursor.ub(2), 2); // codes
  skipPacked(cursor, cursor.ub(4), 4); // offsets
  const messages = cursor.ub(2);
  if (messages > 0) cursor.skip(1);
  for (let left = messages; left > 0 && !cursor.failed; left--) {
    cursor.ub(2);
    cursor.skipClr();
    cursor.skip(2);
  }
}

/** An array: a byte, then the elements; after byte 254 each has a length of its own and an end marker follows. */
function skipPacked(cursor: Cursor, count: number, elementBytesMax: 2 | 4): void {
  if (count === 0) return;
  const isChunked = cursor.u8() === 254;
  for (let left = count; left > 0 && !cursor.failed; left--) {
    if (isChunked) cursor.ub(4);
    cursor.ub(elementBytesMax);
  }
  if (isChunked) cursor.skip(1);
}

/** A message that may be the one that ended the call. */
interface Candidate extends CallEnd {
  readonly at: number;
  readonly newsBehind: ServerNews;
}

const none: readonly Candidate[] = [];

/** Up to so many bytes are looked through here: a call of the runtime costs as much. */
const bytesSearchedHere = 32;

function indexOf(bytes: Buffer, byte: number, from: number): number {
  if (bytes.length - from > bytesSearchedHere) return bytes.indexOf(byte, from);
  for (let at = from; at < bytes.length; at += 1) if (bytes[at] === byte) return at;
  return -1;
}

/** All messages of a type that end where the response ends. */
function candidates(
  cursor: Cursor,
  tail: Buffer,
  type: number,
  from: number,
  read: (cursor: Cursor, capabilities: TtcCapabilities) => CallEnd,
  capabilities: TtcCapabilities,
): readonly Candidate[] {
  let found: Candidate[] | undefined;
  for (let at = indexOf(tail, type, from); at >= 0; at = indexOf(tail, type, at + 1)) {
    cursor.moveTo(at + 1);
    const { callStatus, errorNumber } = read(cursor, capabilities);
    if (cursor.failed) continue;
    const behind = tail[cursor.at] === MessageType.serverPiggyback ? readServerPiggybacks(tail, cursor.at) : undefined;
    const end = behind?.end ?? cursor.at;
    const left = tail.length - end;
    if (left > 1 || (left === 1 && tail[end] !== MessageType.endOfResponse)) continue;
    found ??= [];
    found.push({ callStatus, errorNumber, at, newsBehind: behind?.news ?? noNews });
  }
  return found ?? none;
}

function conclude(
  tail: Buffer,
  candidates: readonly Candidate[],
  capabilities: TtcCapabilities,
): EndOfCall | undefined {
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
    news: laterNews(readServerPiggybacksBefore(tail, first.at), first.newsBehind),
  };
}

function isOpen(message: CallEnd): boolean {
  return (message.callStatus & CallStatusBit.transactionInProgress) !== 0;
}
