/** The other end of a notification socket, as a service manager has it: a real one, read through libc. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import koffi, { type KoffiFunc } from 'koffi';
import { openDatagrams, unixAddress } from '../../../proxy/kernel/unix-datagram.js';

const libc = koffi.load(null);
const bind: KoffiFunc<(fd: number, address: Buffer, length: number) => number> = libc.func(
  'int bind(int fd, const void *address, uint32_t length)',
);
const close: KoffiFunc<(fd: number) => number> = libc.func('int close(int fd)');
koffi.struct('test_iovec', { base: 'void *', length: 'size_t' });
koffi.struct('test_msghdr', {
  name: 'void *',
  nameLength: 'uint32_t',
  parts: 'test_iovec *',
  partsLength: 'size_t',
  control: 'void *',
  controlLength: 'size_t',
  flags: 'int',
});
const recvmsg: KoffiFunc<(fd: number, message: object, flags: number) => number> = libc.func(
  'intptr_t recvmsg(int fd, _Inout_ test_msghdr *message, int flags)',
);

const msgDontwait = 0x40;
const waitMsMax = 30_000;

export interface Notification {
  readonly text: string;
  /** A descriptor of this process, now. */
  readonly fd: number | undefined;
}

export class NotifySocket {
  readonly #directory: string | undefined;
  readonly #fd: number;
  /** As it stands in NOTIFY_SOCKET. */
  readonly path: string;

  /** @param path left out: a file in a directory of its own */
  constructor(path?: string) {
    this.#directory = path === undefined ? mkdtempSync(join(tmpdir(), 'hf-notify-')) : undefined;
    this.path = path ?? join(this.#directory ?? '', 'notify');
    this.#fd = openDatagrams();
    const address = unixAddress(this.path);
    if (address === undefined || bind(this.#fd, address, address.length) !== 0) {
      throw new Error(`${this.path} cannot be listened on`);
    }
  }

  /** @returns undefined when nothing has come */
  receive(): Notification | undefined {
    const bytes = Buffer.alloc(4_096);
    const control = Buffer.alloc(64);
    const message = {
      name: null,
      nameLength: 0,
      parts: [{ base: bytes, length: bytes.length }],
      partsLength: 1,
      control,
      controlLength: control.length,
      flags: 0,
    };
    const length = recvmsg(this.#fd, message, msgDontwait);
    if (length < 0) return undefined;
    const fd = message.controlLength > 16 ? control.readInt32LE(16) : undefined;
    return { text: bytes.toString('utf8', 0, length), fd };
  }

  async next(): Promise<Notification> {
    const deadlineMs = performance.now() + waitMsMax;
    for (;;) {
      const received = this.receive();
      if (received !== undefined) return received;
      if (performance.now() > deadlineMs) throw new Error(`nothing was said within ${waitMsMax} ms`);
      await setTimeout(5);
    }
  }

  close(): void {
    close(this.#fd);
    if (this.#directory !== undefined) rmSync(this.#directory, { recursive: true });
  }
}
