import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { type FileHandle, open, readdir, stat } from 'node:fs/promises';
import net, { type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import tls from 'node:tls';
import type { Address } from '../../shim/program/address.js';
import { errorCode, errorText } from '../../shim/program/errors.js';
import { clientTls, type Security } from '../../shim/program/security.js';
import { compress, ownCompressions } from './compress.js';
import { ImageError } from './errors.js';
import { type Compression, encodeFrame, type Frame, frameKinds, framesOf, have, parseBody, refusal } from './frames.js';
import { attemptsMax, chunkBytes, pauseMs, silenceMsMax } from './limits.js';

export interface Destination {
  readonly address: Address;
  readonly ticket: string;
  readonly security: Security;
  /** Name of the node that must be at the other side. */
  readonly node: string;
  /** Told of bytes of the image that are on their way or there, and of all. */
  readonly progress?: (done: number, total: number) => void;
}

export interface Sent {
  readonly files: number;
  readonly bytes: number;
  /** On the wire, over all connections. */
  readonly wireBytes: number;
  readonly connections: number;
}

/**
 * Sends all files of a directory. A connection that is cut is made again, and goes on where the other side is.
 * @throws {ImageError} what the last of several attempts ended with, or image-refused at once
 */
export async function sendImage(directory: string, to: Destination): Promise<Sent> {
  const names = (await readdir(directory)).toSorted();
  let wireBytes = 0;
  for (let attempt = 1; ; attempt += 1) {
    const sending = new Sending(directory, to);
    try {
      const bytes = await sending.run(names);
      return { files: names.length, bytes, wireBytes: wireBytes + sending.wireBytes, connections: attempt };
    } catch (error) {
      wireBytes += sending.wireBytes;
      if (errorCode(error) === 'image-refused' || attempt >= attemptsMax) throw error;
      await pause(pauseMs * attempt);
    } finally {
      sending.close();
    }
  }
}

class Sending {
  wireBytes = 0;
  readonly #directory: string;
  readonly #to: Destination;
  readonly #ended = new AbortController();
  readonly #socket: Socket;

  constructor(directory: string, to: Destination) {
    this.#directory = directory;
    this.#to = to;
    const { host, port } = to.address;
    const secured = clientTls(to.security, 'image', { role: 'agent', name: to.node });
    this.#socket = secured === undefined ? net.connect({ host, port }) : tls.connect({ host, port, ...secured });
    this.#socket.setTimeout(silenceMsMax, () => this.#socket.destroy(new Error(`silent for ${silenceMsMax} ms`)));
    this.#socket.on('error', () => undefined);
    this.#socket.once('close', () => this.#ended.abort());
  }

  close(): void {
    this.#socket.destroy();
  }

  /** @returns the bytes of all files */
  async run(names: readonly string[]): Promise<number> {
    try {
      const frames = framesOf(this.#socket);
      await this.#write(encodeFrame(frameKinds.hello, { ticket: this.#to.ticket }));
      const there = parseBody(await expect(frames, frameKinds.have), have);
      const compression = ownCompressions.find((each) => there.compressions.includes(each));
      if (compression === undefined) throw new ImageError('image-refused', 'no compression that both sides have');
      const sizes = await Promise.all(names.map(async (name) => (await stat(join(this.#directory, name))).size));
      const total = sizes.reduce((sum, size) => sum + size, 0);
      let bytes = 0;
      for (const name of names) {
        bytes += await this.#sendFile(name, there.files[name] ?? 0, compression);
        this.#to.progress?.(bytes, total);
      }
      await this.#write(encodeFrame(frameKinds.done));
      await expect(frames, frameKinds.received);
      return bytes;
    } catch (cause) {
      if (cause instanceof ImageError) throw cause;
      const { host, port } = this.#to.address;
      throw new ImageError('image-cut', `the connection to ${host}:${port} broke: ${errorText(cause)}`, { cause });
    }
  }

  /** What is there already is read for the checksum only. */
  async #sendFile(name: string, there: number, compression: Compression): Promise<number> {
    const path = join(this.#directory, name);
    const { size } = await stat(path);
    const at = Math.min(there, size);
    await this.#write(encodeFrame(frameKinds.file, { name, bytes: size, at, compression }));
    const hash = createHash('sha256');
    const file = await open(path);
    try {
      for await (const chunk of chunksOf(file, 0, at)) hash.update(chunk);
      for await (const chunk of chunksOf(file, at, size)) {
        hash.update(chunk);
        await this.#write(encodeFrame(frameKinds.data, await compress(compression, chunk)));
      }
    } finally {
      await file.close();
    }
    await this.#write(encodeFrame(frameKinds.end, hash.digest()));
    return size;
  }

  async #write(bytes: Buffer): Promise<void> {
    this.wireBytes += bytes.length;
    if (this.#ended.signal.aborted) throw new Error('closed');
    if (!this.#socket.write(bytes)) await once(this.#socket, 'drain', { signal: this.#ended.signal });
  }
}

async function expect(frames: AsyncGenerator<Frame, void, undefined>, kind: number): Promise<Frame> {
  const { value } = await frames.next();
  if (value === undefined) throw new ImageError('image-cut', 'the connection was closed');
  if (value.kind === kind) return value;
  if (value.kind !== frameKinds.refused) throw new ImageError('image-refused', `an answer of kind ${value.kind}`);
  const { code, message } = parseBody(value, refusal);
  throw new ImageError(code, message);
}

/** Bytes of a file from one position to another. */
export async function* chunksOf(file: FileHandle, from: number, to: number): AsyncGenerator<Buffer, void, undefined> {
  for (let at = from; at < to; ) {
    const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(Math.min(chunkBytes, to - at)), 0, undefined, at);
    if (bytesRead === 0) throw new Error('a file has become shorter');
    yield buffer.subarray(0, bytesRead);
    at += bytesRead;
  }
}
