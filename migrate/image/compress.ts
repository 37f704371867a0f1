import { promisify } from 'node:util';
import zlib from 'node:zlib';
import { ImageError } from './errors.js';
import { type Compression, compressions } from './frames.js';
import { chunkBytes } from './limits.js';

type Work = (bytes: Buffer, options: object, done: (error: Error | null, result: Buffer) => void) => void;

/** Node.js has zstd since 22.15; its declarations here are of 20. */
function optionalWork(name: string): Work | undefined {
  const found: unknown = Reflect.get(zlib, name);
  return typeof found === 'function' ? (found as Work) : undefined;
}

const zstd = { pack: optionalWork('zstdCompress'), unpack: optionalWork('zstdDecompress') };

/** Those this process has, the better one first. */
export const ownCompressions: readonly Compression[] = compressions.filter(
  (each) => each !== 'zstd' || (zstd.pack !== undefined && zstd.unpack !== undefined),
);

/** Level 1: memory pages shrink well at any level, and the application waits. */
export function compress(how: Compression, bytes: Buffer): Promise<Buffer> {
  if (how === 'zstd' && zstd.pack !== undefined) return promisify(zstd.pack)(bytes, {});
  return promisify(zlib.gzip as Work)(bytes, { level: 1 });
}

/** @throws {ImageError} image-damaged */
export async function decompress(how: Compression, bytes: Buffer): Promise<Buffer> {
  const work = how === 'zstd' ? zstd.unpack : (zlib.gunzip as Work);
  if (work === undefined) throw new ImageError('image-refused', `there is no ${how} here`);
  try {
    return await promisify(work)(bytes, { maxOutputLength: chunkBytes });
  } catch (cause) {
    throw new ImageError('image-damaged', 'a chunk cannot be decompressed', { cause });
  }
}
