/**
 * Memory that outlives the process: a file of a memory file system, mapped. What the kernel has written into it on behalf of a
 * process is there for the next one, however this one ends.
 */
import { closeSync, ftruncateSync, openSync } from 'node:fs';
import { getSystemErrorName } from 'node:util';
import koffi, { type KoffiFunc } from 'koffi';

const libc = koffi.load(null);
const mmap: KoffiFunc<
  (address: null, length: number, protection: number, flags: number, fd: number, offset: number) => unknown
> = libc.func('void *mmap(void *address, size_t length, int protection, int flags, int fd, int64_t offset)');

const munmap: KoffiFunc<(address: unknown, length: number) => number> = libc.func(
  'int munmap(void *address, size_t length)',
);
const allocate: KoffiFunc<(fd: number, offset: number, length: number) => number> = libc.func(
  'int posix_fallocate(int fd, int64_t offset, int64_t length)',
);

const readAndWrite = 3;
const mapShared = 1;
/** MAP_FAILED, as an address. */
const failed = 2n ** 64n - 1n;

export interface Mapping {
  readonly bytes: Buffer;
  /** After it any touch of `bytes` ends the process. */
  unmap(): void;
}

/**
 * Maps a file from its beginning, all of it taken from the file system now: where there is no space this fails, and not some
 * later store, which would be a SIGBUS.
 * @throws when that is not possible
 */
export function mapFile(file: number, length: number): Mapping {
  ftruncateSync(file, length);
  const error = allocate(file, 0, length);
  if (error !== 0) throw new Error(`${getSystemErrorName(-error)}: no ${length} bytes for a file`);
  const address = mmap(null, length, readAndWrite, mapShared, file, 0);
  if (koffi.address(address) === failed) {
    throw new Error(`${getSystemErrorName(-koffi.errno())}: ${length} bytes of a file cannot be mapped`);
  }
  return { bytes: Buffer.from(koffi.view(address, length)), unmap: () => void munmap(address, length) };
}

/**
 * Maps a file, which is made when there is none. The memory is never given back: it is for the whole life of a process.
 * @throws when that is not possible
 */
export function sharedMemory(path: string, bytes: number): Buffer {
  const file = openSync(path, 'a+', 0o600);
  try {
    return mapFile(file, bytes).bytes;
  } finally {
    closeSync(file);
  }
}
