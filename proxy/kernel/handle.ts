/**
 * The two things Node.js knows of a socket and does not document: its handle, which child processes can be given, and the
 * descriptor in it. All that depends on this is here.
 */
import { type OnReadOpts, type Server, Socket } from 'node:net';

/** libuv's handle of a socket or a listening socket. While nobody reads from it, it only keeps the descriptor open. */
export interface NativeHandle {
  /** -1 when it is closed. */
  readonly fd: number;
  close(): void;
}

/** @returns undefined when it is closed, or not open yet */
export function handleOf(socket: Socket | Server): NativeHandle | undefined {
  const handle: unknown = '_handle' in socket ? socket._handle : undefined;
  return isHandle(handle) && handle.fd >= 0 ? handle : undefined;
}

export function isHandle(value: unknown): value is NativeHandle {
  return (
    typeof value === 'object' && value !== null && 'fd' in value && typeof value.fd === 'number' && 'close' in value
  );
}

/**
 * A socket on a handle that another process has opened; reads nothing before `resume`.
 * @param more further options of `net.Socket`
 */
export function socketOn(
  handle: NativeHandle,
  more: { readonly onread?: OnReadOpts; readonly allowHalfOpen?: boolean } = {},
): Socket {
  const options = { allowHalfOpen: true, ...more, handle, pauseOnCreate: true, readable: true, writable: true };
  return new Socket(options);
}

/**
 * Takes no byte more from the kernel, so that another process can go on with the socket. `pause` would not do: it lets the
 * runtime read ahead.
 * @returns the handle, to be given away; undefined when the socket is closed
 */
export function stopReading(socket: Socket): NativeHandle | undefined {
  const handle = handleOf(socket);
  if (handle === undefined || !('readStop' in handle) || typeof handle.readStop !== 'function') return undefined;
  handle.readStop();
  return handle;
}

/** A handle on a descriptor that this process was started with. @throws when it is no socket */
export function handleOn(fd: number): NativeHandle {
  const handle = handleOf(new Socket({ fd, readable: false, writable: false }));
  if (handle === undefined) throw new Error(`descriptor ${fd} is not open`);
  return handle;
}
