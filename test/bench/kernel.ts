/**
 * Sockets and epoll as libc has them, called from JavaScript without libuv between: a load generator and an answering server
 * that take little more of a processor than the same in C would, and need no compiler where they run.
 *
 * What was rejected: Node.js' own sockets cost more for each request than the proxies that are measured; a program in C or Go
 * has to be built, and not everybody who runs the benchmark has what builds it.
 */
import koffi, { type KoffiFunc } from 'koffi';

const libc = koffi.load(null);
const socketCall: KoffiFunc<(domain: number, type: number, protocol: number) => number> = libc.func(
  'int socket(int domain, int type, int protocol)',
);
const connectCall: KoffiFunc<(fd: number, address: Buffer, length: number) => number> = libc.func(
  'int connect(int fd, const void *address, uint32_t length)',
);
const bindCall: KoffiFunc<(fd: number, address: Buffer, length: number) => number> = libc.func(
  'int bind(int fd, const void *address, uint32_t length)',
);
const listenCall: KoffiFunc<(fd: number, backlog: number) => number> = libc.func('int listen(int fd, int backlog)');
const acceptCall: KoffiFunc<(fd: number, address: null, length: null, flags: number) => number> = libc.func(
  'int accept4(int fd, void *address, void *length, int flags)',
);
const optionCall: KoffiFunc<(fd: number, level: number, name: number, value: Buffer, length: number) => number> =
  libc.func('int setsockopt(int fd, int level, int name, const void *value, uint32_t length)');
const sendCall: KoffiFunc<(fd: number, bytes: Buffer, length: number, flags: number) => number> = libc.func(
  'int64_t send(int fd, const void *bytes, size_t length, int flags)',
);
const receiveCall: KoffiFunc<(fd: number, bytes: Buffer, length: number, flags: number) => number> = libc.func(
  'int64_t recv(int fd, void *bytes, size_t length, int flags)',
);
const closeCall: KoffiFunc<(fd: number) => number> = libc.func('int close(int fd)');
const createCall: KoffiFunc<(flags: number) => number> = libc.func('int epoll_create1(int flags)');
const controlCall: KoffiFunc<(poll: number, verb: number, fd: number, event: Buffer) => number> = libc.func(
  'int epoll_ctl(int poll, int verb, int fd, void *event)',
);
const waitCall: KoffiFunc<(poll: number, events: Buffer, most: number, timeoutMs: number) => number> = libc.func(
  'int epoll_wait(int poll, void *events, int most, int timeoutMs)',
);

const inet = 2;
const stream = 1;
const nonBlocking = 0x800;
const socketLevel = 1;
const reuseAddress = 2;
const tcpLevel = 6;
const noDelay = 1;
const noSignal = 0x4000;
const backlogMax = 4096;
const { EAGAIN, ECONNRESET, EINTR, EPIPE } = koffi.os.errno;

/** On x86 struct epoll_event is packed (sys/epoll.h). */
const isPacked = process.arch === 'x64' || process.arch === 'ia32';
const eventBytes = isPacked ? 12 : 16;
const dataOffset = isPacked ? 4 : 8;
const eventsMax = 512;

/** What epoll tells of a descriptor. */
export const ready = { toRead: 0x001, toWrite: 0x004 } as const;

export class SystemCallError extends Error {
  constructor(call: string) {
    super(`${call} failed with errno ${koffi.errno()}`);
  }
}

/** The descriptors that have something to read, or room to write. */
export class Poll {
  readonly #fd = checked('epoll_create1', createCall(0));
  readonly #event = Buffer.alloc(eventBytes);
  readonly #events = Buffer.alloc(eventBytes * eventsMax);

  add(fd: number, interest: number): void {
    this.#control(1, fd, interest);
  }

  change(fd: number, interest: number): void {
    this.#control(3, fd, interest);
  }

  /** @returns how many are ready: `fd` and `state` tell of each until the next wait */
  wait(timeoutMs: number): number {
    const count = waitCall(this.#fd, this.#events, eventsMax, timeoutMs);
    return count < 0 && koffi.errno() === EINTR ? 0 : checked('epoll_wait', count);
  }

  fd(index: number): number {
    return this.#events.readInt32LE(index * eventBytes + dataOffset);
  }

  state(index: number): number {
    return this.#events.readUInt32LE(index * eventBytes);
  }

  #control(verb: number, fd: number, interest: number): void {
    this.#event.writeUInt32LE(interest, 0);
    this.#event.writeInt32LE(fd, dataOffset);
    checked('epoll_ctl', controlCall(this.#fd, verb, fd, this.#event));
  }
}

/** @returns a listening socket of 127.0.0.1 */
export function listen(port: number): number {
  const fd = checked('socket', socketCall(inet, stream | nonBlocking, 0));
  setOption(fd, socketLevel, reuseAddress);
  checked('bind', bindCall(fd, loopback(port), 16));
  checked('listen', listenCall(fd, backlogMax));
  return fd;
}

/** @returns undefined when nobody is waiting */
export function accept(listening: number): number | undefined {
  const fd = acceptCall(listening, null, null, nonBlocking);
  if (fd < 0 && koffi.errno() === EAGAIN) return undefined;
  checked('accept4', fd);
  setOption(fd, tcpLevel, noDelay);
  return fd;
}

/** Waits for the connection; then the socket waits for nothing any more. */
export function dial(port: number): number {
  const fd = checked('socket', socketCall(inet, stream, 0));
  checked('connect', connectCall(fd, loopback(port), 16));
  setOption(fd, tcpLevel, noDelay);
  return fd;
}

/** @returns bytes that the kernel took, 0 when it has no room; all when there is nobody any more, which reading tells */
export function send(fd: number, bytes: Buffer): number {
  const sent = sendCall(fd, bytes, bytes.length, noSignal | dontWait);
  if (sent >= 0) return sent;
  const errno = koffi.errno();
  if (errno === EPIPE || errno === ECONNRESET) return bytes.length;
  return errno === EAGAIN ? 0 : checked('send', sent);
}

/** @returns bytes read, 0 when the peer has closed or is gone, undefined when there is nothing to read */
export function receive(fd: number, into: Buffer): number | undefined {
  const count = receiveCall(fd, into, into.length, dontWait);
  if (count >= 0) return count;
  const errno = koffi.errno();
  if (errno === ECONNRESET) return 0;
  return errno === EAGAIN ? undefined : checked('recv', count);
}

export function close(fd: number): void {
  checked('close', closeCall(fd));
}

const dontWait = 0x40;

function setOption(fd: number, level: number, name: number): void {
  const on = Buffer.alloc(4);
  on.writeInt32LE(1, 0);
  checked('setsockopt', optionCall(fd, level, name, on, on.length));
}

/** struct sockaddr_in of 127.0.0.1 */
function loopback(port: number): Buffer {
  const address = Buffer.alloc(16);
  address.writeUInt16LE(inet, 0);
  address.writeUInt16BE(port, 2);
  address.writeUInt32BE(0x7f_00_00_01, 4);
  return address;
}

function checked(call: string, result: number): number {
  if (result < 0) throw new SystemCallError(call);
  return result;
}
