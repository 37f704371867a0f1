/**
 * Memory that outlives the process: a file of a memory file system, mapped. What the kernel has written into it on behalf of a
 * process is there for the next one, however this one ends.
 */
import { closeSync, ftruncateSync, openSync } from 'node:fs';
import koffi, { type KoffiFunc } from 'koffi';

const libc = koffi.load(null);
const mmap: KoffiFunc<
  (address: null, length: number, protection: number, flags: number, fd: number, offset: number) => unknown
> = libc.func('void *mmap(void *address, size_t length, int protection, int flags, int fd, int64_t offset)');

const readAndWrite = 3;
const mapShared = 1;
/** MAP_FAILED, as an address. */
const failed = 2n ** 64n - 1n;

/**
 * Maps a file, which is made when there is none. The memory is never given back: it is for the whole life of a process.
 * @throws when that is not possible
 */
export function sharedMemory(path: string, bytes: number): Buffer {
  const file = openSync(path, 'a+', 0o600);
  try {
    ftruncateSync(file, bytes);
    const address = mmap(null, bytes, readAndWrite, mapShared, file, 0);
    if (koffi.address(address) === failed) throw new Error(`${path} cannot be mapped: error ${koffi.errno()}`);
    return Buffer.from(koffi.view(address, bytes));
  } finally {
    closeSync(file);
  }
}
