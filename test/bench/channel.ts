import { close, type Poll, ready, receive, send } from './kernel.js';

/** All channels of a process read into this: of what comes only the number of bytes and the last one count. */
const into = Buffer.alloc(512 * 1024);

/** One connection of the wire level: says whole messages, and counts the bytes of those that come. */
export class Channel {
  readonly fd: number;
  readonly #poll: Poll;
  /** Bytes of the message that is awaited and have not come. */
  #missing = 0;
  #lastByte: number | undefined;
  /** What the kernel has not taken of a message. */
  #unsent: Buffer | undefined;

  constructor(fd: number, poll: Poll) {
    this.fd = fd;
    this.#poll = poll;
    poll.add(fd, ready.toRead);
  }

  say(message: Buffer): void {
    const sent = send(this.fd, message);
    if (sent === message.length) return;
    this.#unsent = message.subarray(sent);
    this.#poll.change(this.fd, ready.toRead | ready.toWrite);
  }

  /** There is room again. */
  goOn(): void {
    const rest = this.#unsent;
    if (rest === undefined) return;
    const sent = send(this.fd, rest);
    this.#unsent = sent === rest.length ? undefined : rest.subarray(sent);
    if (this.#unsent === undefined) this.#poll.change(this.fd, ready.toRead);
  }

  /** @param lastByte of the message, so that one that has lost its way is found out; undefined where a proxy may change it */
  expect(bytes: number, lastByte?: number): void {
    this.#missing = bytes;
    this.#lastByte = lastByte;
  }

  /**
   * Reads what is there.
   * @param look sees the bytes, valid during the call
   * @throws Error when more comes than a message has, or something else
   */
  hear(look?: (bytes: Buffer) => void): 'nothing' | 'part' | 'whole' | 'closed' {
    const count = receive(this.fd, into);
    if (count === undefined) return 'nothing';
    if (count === 0) return 'closed';
    if (count > this.#missing) throw new Error(`${count} bytes came, only ${this.#missing} were missing`);
    look?.(into.subarray(0, count));
    this.#missing -= count;
    if (this.#missing > 0) return 'part';
    if (this.#lastByte !== undefined && into[count - 1] !== this.#lastByte) throw new Error('a message ends wrongly');
    return 'whole';
  }

  close(): void {
    close(this.fd);
  }
}
