/**
 * Writes past the runtime's stream. Its `write` makes a request for each call, fills in the state of the stream twice, and tells that it
 * is done at the end of the turn: half to one microsecond of the five to six that the kernel needs with it (250 bytes, loopback,
 * docs/performance.md), and the same again where it calls back.
 */
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import koffi, { type KoffiFunc } from 'koffi';

/** send(2). Only as much as there is room for, and an error instead of a signal: the values are those of Linux. */
const send: KoffiFunc<(fd: number, bytes: Buffer, length: number, flags: number) => number> = koffi
  .load(null)
  .func('intptr_t send(int fd, const void *bytes, size_t length, int flags)');
const msgDontwait = 0x40;
const msgNosignal = 0x4000;

/**
 * Gives bytes to the kernel at once, if nothing that was written before waits in the socket. The rest is for `socket.write`, which
 * also finds out, and tells as ever, what is wrong with a socket that takes none. `socket.bytesWritten` knows nothing of them.
 * @returns how many the kernel has taken, from 0 on
 */
export function writeNow(socket: Socket, bytes: Buffer): number {
  if (!socket.writable || socket.writableLength > 0 || socket.writableCorked > 0) return 0;
  // The descriptor of a TLS connection is that of the connection below it.
  if (socket instanceof TLSSocket || process.platform !== 'linux') return 0;
  const fd = descriptorOf(socket);
  return fd < 0 ? 0 : Math.max(0, send(fd, bytes, bytes.length, msgDontwait | msgNosignal));
}

/** Asked anew each time: a number kept longer than the socket is that of another one. Node.js does not document it. */
function descriptorOf(socket: Socket): number {
  const { _handle: handle }: { _handle?: { readonly fd?: unknown } | null } & Pick<Socket, 'writable'> = socket;
  return typeof handle?.fd === 'number' ? handle.fd : -1;
}
