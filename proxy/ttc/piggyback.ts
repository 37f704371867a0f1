/**
 * What a database tells in passing: server-side piggybacks (message 23), anywhere between the other messages of a response.
 * Layouts: driver, messages/base.js processServerSidePiggyBack.
 */
import { MessageType } from './function.js';
import { BadScalar, ByteReader, OutOfBytes } from './scalar.js';

/** Opcodes (driver: TNS_SERVER_PIGGYBACK_...). */
export const ServerPiggyback = {
  queryCacheInvalidation: 1,
  processId: 2,
  traceEvent: 3,
  sessionReturned: 4,
  sync: 5,
  ltxid: 7,
  replayContext: 8,
  extendedSync: 9,
  sessionSignature: 10,
} as const;

/** Bit of SESSION RETURNED: not the session that the client had before (driver: TNS_SESSGET_SESSION_CHANGED). */
export const sessionChangedFlag = 4;

/** What of it a session's identity is made of. */
export interface ServerNews {
  /** Logical transaction id, for DBMS_APP_CONT.GET_LTXID_OUTCOME. */
  readonly ltxid: Buffer | undefined;
  /** The database's pool has given the client a session. */
  readonly session: { readonly sid: number; readonly serial: number; readonly changed: boolean } | undefined;
}

export const noNews: ServerNews = { ltxid: undefined, session: undefined };

/** Longer ones are none: it is 56 bytes today. */
const ltxidBytesMax = 255;

/**
 * Reads a chain of server-side piggybacks.
 * @returns where it ends, which is `at` when none begins there; a piggyback that is cut off or not known ends it before itself
 */
export function readServerPiggybacks(bytes: Buffer, at: number): { readonly news: ServerNews; readonly end: number } {
  let news = noNews;
  let end = at;
  while (beginsAt(bytes, end)) {
    const reader = new ByteReader(bytes, end + 1);
    try {
      news = { ...news, ...readBody(reader) };
    } catch (error) {
      if (error instanceof OutOfBytes || error instanceof BadScalar) break;
      throw error;
    }
    end = reader.at;
  }
  return { news, end };
}

/** How far before the end of a call a chain of piggybacks may begin. */
const windowBytes = 512;

/** The longest chain that ends exactly at `end`, as one that stands before the message that ends a call. */
export function readServerPiggybacksBefore(bytes: Buffer, end: number): ServerNews {
  const from = Math.max(0, end - windowBytes);
  const first = findServerPiggyback(bytes, from);
  if (first < 0 || first >= end) return noNews;
  const window = bytes.subarray(from, end);
  for (let at = findServerPiggyback(window, 0); at >= 0; at = findServerPiggyback(window, at + 1)) {
    const chain = readServerPiggybacks(window, at);
    if (chain.end === window.length) return chain.news;
  }
  return noNews;
}

/** Where a piggyback may begin, from `from` on; -1 for nowhere. Costs little where there is none. */
export function findServerPiggyback(bytes: Buffer, from: number): number {
  let at = bytes.indexOf(MessageType.serverPiggyback, from);
  while (at >= 0 && !beginsAt(bytes, at)) at = bytes.indexOf(MessageType.serverPiggyback, at + 1);
  return at;
}

const opcodes: ReadonlySet<number> = new Set(Object.values(ServerPiggyback));

function beginsAt(bytes: Buffer, at: number): boolean {
  return bytes[at] === MessageType.serverPiggyback && opcodes.has(bytes[at + 1] ?? 0);
}

/** What of two is known, the later one first. */
export function laterNews(earlier: ServerNews, later: ServerNews): ServerNews {
  if (later === noNews) return earlier;
  return { ltxid: later.ltxid ?? earlier.ltxid, session: later.session ?? earlier.session };
}

function readBody(reader: ByteReader): Partial<ServerNews> {
  const opcode = reader.u8();
  switch (opcode) {
    case ServerPiggyback.ltxid: {
      const ltxid = reader.clrWithLength();
      if (ltxid !== null && ltxid.length > ltxidBytesMax) throw new BadScalar('too long for a logical transaction id');
      return { ltxid: ltxid === null ? undefined : Buffer.from(ltxid) };
    }
    case ServerPiggyback.sessionReturned:
      return { session: readSessionReturned(reader) };
    case ServerPiggyback.queryCacheInvalidation:
    case ServerPiggyback.traceEvent:
      return {};
    case ServerPiggyback.processId: {
      const bytes = reader.ub2();
      reader.skip(1);
      reader.skip(bytes);
      return {};
    }
    case ServerPiggyback.sync:
      skipSync(reader);
      return {};
    case ServerPiggyback.extendedSync:
      skipTypes(reader);
      return {};
    case ServerPiggyback.replayContext:
      skipTypes(reader);
      reader.ub4(); // flags
      reader.ub4(); // error code
      reader.skip(1); // queue
      reader.clrWithLength();
      return {};
    case ServerPiggyback.sessionSignature:
      skipTypes(reader);
      for (let left = 3; left > 0; left--) reader.ub8(); // flags, the client's, the server's
      return {};
    default:
      throw new BadScalar(`server-side piggyback ${opcode}`);
  }
}

function readSessionReturned(reader: ByteReader): NonNullable<ServerNews['session']> {
  skipTypes(reader);
  const pairs = reader.ub2();
  if (pairs > 0) reader.skip(1);
  for (let left = pairs; left > 0; left--) {
    if (reader.ub2() > 0) reader.clr();
    if (reader.ub2() > 0) reader.clr();
    reader.ub2(); // flags
  }
  const flags = reader.ub4();
  const sid = reader.ub4();
  return { sid, serial: reader.ub2(), changed: (flags & sessionChangedFlag) !== 0 };
}

function skipSync(reader: ByteReader): void {
  skipTypes(reader);
  const pairs = reader.ub4();
  reader.skip(1);
  for (let left = pairs; left > 0; left--) {
    if (reader.ub2() > 0) reader.clr();
    if (reader.ub2() > 0) reader.clr();
    reader.ub2(); // keyword
  }
  reader.ub4(); // flags
}

/** Count and length of the data types that the server describes its piggyback with. */
function skipTypes(reader: ByteReader): void {
  reader.ub2();
  reader.skip(1);
}
