/**
 * Sockets that read into memory which is used again. By itself Node.js makes a buffer for each read: 64 KiB outside of the
 * runtime's heap, cut down to what came. That was the most of what its garbage collector had to do (docs/performance.md).
 */
import { type OnReadOpts, Socket } from 'node:net';
import { writeNow } from './writing.js';

/** Most bytes of one read. */
export const readBytes = 64 * 1024;

/**
 * Options of a socket that tells what it has read as `data`: a view, valid until the next read into the same memory. Such a
 * socket also reads nothing while it is paused; by itself Node.js reads on, into its own memory, up to a limit.
 * @param memory of `readBytes`; a function is asked before each read
 */
export function readingInto(memory: Buffer | (() => Buffer), socket: () => Socket): { readonly onread: OnReadOpts } {
  const callback = (bytes: number, buffer: Uint8Array): boolean => socket().emit('data', buffer.subarray(0, bytes));
  return { onread: { buffer: memory, callback } };
}

/** Memory of a socket whose reader may keep what it was given: then the next read goes elsewhere. */
export class Landing {
  #memory: Buffer = Buffer.allocUnsafeSlow(readBytes);
  #isKept = false;

  /** What was read last stays as it is. */
  readonly keep = (): void => {
    this.#isKept = true;
  };

  readonly next = (): Buffer => {
    if (this.#isKept) this.#memory = Buffer.allocUnsafeSlow(readBytes);
    this.#isKept = false;
    return this.#memory;
  };
}

/** A socket that an accepted one was made anew as. */
export class AcceptedSocket extends Socket {
  /** As `writeNow`. */
  writeNow(bytes: Buffer): number {
    return writeNow(this, bytes);
  }
}

/**
 * The same connection as another socket, which reads as told: the sockets of a server, which is to have `pauseOnConnect`, cannot be
 * given such options. What was accepted is of no use from then on, and is kept by nobody; its server counts the other one.
 * Node.js does not document handle and server of a socket: the test shows that this version has them.
 * @param memory as of `readingInto`
 */
export function readAnew(accepted: Socket, memory: Parameters<typeof readingInto>[0]): AcceptedSocket {
  const inside: { _handle?: unknown; _server?: unknown } & Pick<Socket, 'allowHalfOpen'> = accepted;
  const { allowHalfOpen, _handle: handle, _server } = inside;
  const options = { handle, allowHalfOpen, readable: true, writable: true };
  inside._handle = null;
  inside._server = null;
  const socket: AcceptedSocket = new AcceptedSocket({ ...options, ...readingInto(memory, () => socket) });
  return Object.assign(socket, { _server });
}
