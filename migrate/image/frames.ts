/**
 * What goes over the connection between two agents. Pure.
 *
 *     source                        target
 *     hello {ticket}          ──►
 *                             ◄──   have {files: name → bytes, compressions}
 *     file {name, bytes, at, compression}, data*, end (SHA-256 of the whole file)     for each file
 *     done                    ──►
 *                             ◄──   received, or refused {code, message} at any time
 *
 * A frame is a length (32 bits), a kind (8 bits) and as many bytes. After a cut the next connection begins anew with hello;
 * what `have` tells is not sent again, and the checksum covers it all the same.
 */
import { z } from 'zod';
import { ImageError } from './errors.js';
import { frameBytesMax } from './limits.js';

export const frameKinds = { hello: 1, have: 2, file: 3, data: 4, end: 5, done: 6, received: 7, refused: 8 } as const;
export type FrameKind = (typeof frameKinds)[keyof typeof frameKinds];

export const compressions = ['zstd', 'gzip'] as const;
export type Compression = (typeof compressions)[number];

export const hello = z.object({ ticket: z.string() });
export const have = z.object({
  files: z.record(z.string(), z.number()),
  compressions: z.array(z.string()),
});
export const fileHeader = z.object({
  /** A plain name: an image is one directory without others in it. */
  name: z.string().regex(/^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$/),
  bytes: z.number().int().min(0),
  at: z.number().int().min(0),
  compression: z.enum(compressions),
});
export const refusal = z.object({ code: z.enum(['image-damaged', 'image-refused']), message: z.string() });

export interface Frame {
  readonly kind: number;
  readonly body: Buffer;
}

const headBytes = 5;

export function encodeFrame(kind: FrameKind, body: Buffer | object = Buffer.alloc(0)): Buffer {
  const bytes = Buffer.isBuffer(body) ? body : Buffer.from(JSON.stringify(body));
  const head = Buffer.alloc(headBytes);
  head.writeUInt32BE(bytes.length, 0);
  head.writeUInt8(kind, 4);
  return Buffer.concat([head, bytes]);
}

/** @throws {ImageError} image-refused */
export function parseBody<T>({ body }: Frame, schema: z.ZodType<T>): T {
  try {
    return schema.parse(JSON.parse(body.toString()));
  } catch (cause) {
    throw new ImageError('image-refused', 'a frame is not what its kind says', { cause });
  }
}

/** Whole frames of the bytes of a socket. @throws {ImageError} image-refused for one that is too long, image-cut at an end inside */
export async function* framesOf(chunks: AsyncIterable<Buffer>): AsyncGenerator<Frame, void, undefined> {
  let parts: Buffer[] = [];
  let bytes = 0;
  let needed = headBytes;
  for await (const chunk of chunks) {
    parts.push(chunk);
    bytes += chunk.length;
    while (bytes >= needed) {
      const all = parts.length === 1 ? (parts[0] ?? chunk) : Buffer.concat(parts);
      const length = all.readUInt32BE(0);
      if (length > frameBytesMax) throw new ImageError('image-refused', `a frame of ${length} bytes is too long`);
      needed = headBytes + length;
      parts = [all];
      if (bytes < needed) break;
      yield { kind: all.readUInt8(4), body: all.subarray(headBytes, needed) };
      parts = [all.subarray(needed)];
      bytes -= needed;
      needed = headBytes;
    }
  }
  if (bytes > 0) throw new ImageError('image-cut', 'the connection ended inside a frame');
}
