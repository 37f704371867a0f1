/**
 * For which workload a link comes, told from its first bytes, before TLS and before any of it is believed. Total: a hash, "more
 * bytes", or "it does not say"; whoever does not say is left to the worker that has accepted it, which knows how to refuse.
 *
 * With TLS the first record is a whole ClientHello (RFC 8446 4.1.2, 5.1); OpenSSL does not spread one of a few KiB over several
 * records, and one that is spread does not say. Without TLS it is the RESUME frame (shim/link/frame.ts), in which the name
 * of the workload is one of the first fields, before the streams, which may be many.
 */
import { frameTypes, headerBytes } from '../../shim/link/index.js';
import { hashOfServerName, workloadHash } from '../../shim/program/server-name.js';

export type Hello =
  /** Not decided: come again when there are so many bytes, from the first on. */
  | { readonly kind: 'more'; readonly bytes: number }
  | { readonly kind: 'hash'; readonly hash: number }
  | { readonly kind: 'unsaid' };

const more = (bytes: number): Hello => ({ kind: 'more', bytes });
const unsaid: Hello = { kind: 'unsaid' };

const recordHeaderBytes = 5;
const recordBytesMax = 2 ** 14;
const handshakeRecord = 22;
const clientHello = 1;
/** Version and random of a ClientHello. */
const fixedBytes = 2 + 32;
const serverNameExtension = 0;
const hostName = 0;

/** Of a RESUME so much is looked at: two fields, and the longest name. */
const resumeBytesMax = 1024;

/** @param bytes all that has come so far */
export function readHello(bytes: Buffer, isTls: boolean): Hello {
  return isTls ? readClientHello(bytes) : readResumeStart(bytes);
}

function readClientHello(bytes: Buffer): Hello {
  if (bytes.length > 0 && bytes[0] !== handshakeRecord) return unsaid;
  if (bytes.length < recordHeaderBytes) return more(recordHeaderBytes);
  const length = bytes.readUInt16BE(3);
  if (length > recordBytesMax) return unsaid;
  if (bytes.length < recordHeaderBytes + length) return more(recordHeaderBytes + length);
  const hash = hashOfServerName(serverName(bytes.subarray(recordHeaderBytes, recordHeaderBytes + length)));
  return hash === undefined ? unsaid : { kind: 'hash', hash };
}

/** Empty when there is none. */
function serverName(record: Buffer): string {
  const reader = new Reader(record);
  if (reader.count(1) !== clientHello) return '';
  const hello = new Reader(reader.take(reader.count(3)));
  hello.take(fixedBytes);
  hello.take(hello.count(1));
  hello.take(hello.count(2));
  hello.take(hello.count(1));
  const extensions = new Reader(hello.take(hello.count(2)));
  while (extensions.left > 0) {
    const type = extensions.count(2);
    const body = extensions.take(extensions.count(2));
    if (type === serverNameExtension) return firstHostName(body);
  }
  return '';
}

function firstHostName(list: Buffer): string {
  const reader = new Reader(list);
  reader.count(2);
  if (reader.count(1) !== hostName) return '';
  return reader.take(reader.count(2)).toString('latin1');
}

function readResumeStart(bytes: Buffer): Hello {
  if (bytes.length > 0 && bytes[0] !== frameTypes.resume) return unsaid;
  if (bytes.length < headerBytes) return more(headerBytes);
  const end = headerBytes + Math.min(bytes.readUIntBE(1, 3), resumeBytesMax);
  if (bytes.length < end) return more(end);
  const workload = workloadIn(bytes.subarray(headerBytes, end));
  return workload === undefined ? unsaid : { kind: 'hash', hash: workloadHash(workload) };
}

/** The value of `workload` in the beginning of a map of msgpack. */
function workloadIn(payload: Buffer): string | undefined {
  const reader = new Reader(payload);
  const first = reader.count(1);
  const fields = first === 0xde ? reader.count(2) : (first & 0xf0) === 0x80 ? first & 0x0f : 0;
  for (let field = 0; field < fields; field++) {
    const key = readValue(reader);
    const value = readValue(reader);
    if (key === undefined || value === undefined) return undefined;
    if (key === 'workload') return typeof value === 'string' && value !== '' ? value : undefined;
  }
  return undefined;
}

/** Texts and small numbers, which is all that stands before it; undefined for anything else, and at the end. */
function readValue(reader: Reader): string | number | undefined {
  if (reader.left === 0) return undefined;
  const type = reader.count(1);
  if (type < 0x80) return type;
  if ((type & 0xe0) === 0xa0) return reader.text(type & 0x1f);
  switch (type) {
    case 0xd9:
      return reader.text(reader.count(1));
    case 0xda:
      return reader.text(reader.count(2));
    default:
      return undefined;
  }
}

/** Reads forward. What would lie behind the end is 0, and empty: lengths of 0 then lead nowhere. */
class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  count(bytes: number): number {
    const taken = this.take(bytes);
    return taken.length === 0 ? 0 : taken.readUIntBE(0, bytes);
  }

  text(bytes: number): string | undefined {
    const taken = this.take(bytes);
    return taken.length === bytes ? taken.toString() : undefined;
  }

  /** All of these bytes, or none. */
  take(bytes: number): Buffer {
    const end = this.#at + bytes;
    if (end > this.#bytes.length) {
      this.#at = this.#bytes.length;
      return Buffer.alloc(0);
    }
    const taken = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return taken;
  }
}
