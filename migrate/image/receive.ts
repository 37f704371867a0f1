import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import net, { type Socket } from 'node:net';
import { join } from 'node:path';
import tls from 'node:tls';
import { errorText } from '../../shim/program/errors.js';
import { listenAt } from '../../shim/program/listen.js';
import type { Logger } from '../../shim/program/log.js';
import { type Security, serverTls } from '../../shim/program/security.js';
import { decompress, ownCompressions } from './compress.js';
import { ImageError } from './errors.js';
import { encodeFrame, type Frame, fileHeader, frameKinds, framesOf, hello, parseBody } from './frames.js';
import { imageFilesMax, listenMsMax, silenceMsMax } from './limits.js';
import { chunksOf } from './send.js';

export interface Reception {
  readonly port: number;
  /** Whoever has it may send; it was told over the control port, which knows who asked. */
  readonly ticket: string;
  close(): void;
}

/**
 * Waits for one image, on a port that the kernel chooses. It ends when all has arrived, or nobody has come for a while.
 * @throws {ListenError}
 */
export async function receiveImage(
  directory: string,
  host: string,
  security: Security,
  log: Logger,
): Promise<Reception> {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const ticket = randomBytes(32).toString('hex');
  const secured = serverTls(security, 'image');
  const sockets = new Set<Socket>();
  const take = (socket: Socket) => {
    sockets.add(socket);
    socket.setTimeout(silenceMsMax, () => socket.destroy());
    socket.on('error', () => undefined);
    socket.once('close', () => sockets.delete(socket));
    idle.refresh();
    void new Receiving(directory, socket).run(ticket).then(
      () => server.close(),
      (error: unknown) => log.warn({ err: error }, 'an image has not arrived whole; its source may try again'),
    );
  };
  const server = secured === undefined ? net.createServer(take) : tls.createServer(secured, take);
  const close = () => {
    clearTimeout(idle);
    server.close();
    for (const socket of sockets) socket.destroy();
  };
  const idle = setTimeout(close, listenMsMax);
  server.once('close', () => clearTimeout(idle));
  const port = await listenAt(server, { host, port: 0 });
  return { port, ticket, close };
}

class Receiving {
  readonly #directory: string;
  readonly #socket: Socket;

  constructor(directory: string, socket: Socket) {
    this.#directory = directory;
    this.#socket = socket;
  }

  async run(ticket: string): Promise<void> {
    const frames = framesOf(this.#socket);
    try {
      const { ticket: presented } = parseBody(await next(frames, frameKinds.hello), hello);
      if (!isSame(presented, ticket)) throw new ImageError('image-refused', 'this is no ticket of this image');
      const files = sizesIn(this.#directory);
      this.#socket.write(encodeFrame(frameKinds.have, { files, compressions: ownCompressions }));
      for (;;) {
        const frame = await next(frames);
        if (frame.kind === frameKinds.done) break;
        await this.#file(frame, frames);
      }
      await new Promise<void>((resolve) => this.#socket.end(encodeFrame(frameKinds.received), resolve));
    } catch (error) {
      const code = error instanceof ImageError && error.code === 'image-refused' ? 'image-refused' : 'image-damaged';
      this.#socket.end(encodeFrame(frameKinds.refused, { code, message: errorText(error) }));
      throw error;
    }
  }

  async #file(first: Frame, frames: AsyncGenerator<Frame, void, undefined>): Promise<void> {
    if (first.kind !== frameKinds.file) throw new ImageError('image-refused', `a frame of kind ${first.kind}`);
    const { name, bytes, at, compression } = parseBody(first, fileHeader);
    if (readdirSync(this.#directory).length > imageFilesMax) throw new ImageError('image-refused', 'too many files');
    const path = join(this.#directory, name);
    const file = await open(path, at === 0 ? 'w+' : 'r+', 0o600);
    try {
      const sum = await store(file, at, bytes, frames, (body) => decompress(compression, body));
      if (sum === undefined) return;
      rmSync(path);
      throw new ImageError('image-damaged', `${name}: ${sum}`);
    } finally {
      await file.close();
    }
  }
}

/** @returns what is wrong with it, if anything */
async function store(
  file: FileHandle,
  at: number,
  bytes: number,
  frames: AsyncGenerator<Frame, void, undefined>,
  unpack: (body: Buffer) => Promise<Buffer>,
): Promise<string | undefined> {
  const hash = createHash('sha256');
  if ((await file.stat()).size < at) throw new ImageError('image-refused', 'it begins behind the end of what is here');
  for await (const chunk of chunksOf(file, 0, at)) hash.update(chunk);
  for (let end = at; ; ) {
    const frame = await next(frames);
    if (frame.kind === frameKinds.end) {
      if (end !== bytes) return `${end} of ${bytes} bytes`;
      return hash.digest().equals(frame.body) ? undefined : 'its checksum is another';
    }
    if (frame.kind !== frameKinds.data) throw new ImageError('image-refused', `a frame of kind ${frame.kind}`);
    const chunk = await unpack(frame.body);
    if (end + chunk.length > bytes) throw new ImageError('image-refused', 'a file is longer than was said');
    hash.update(chunk);
    await file.write(chunk, 0, chunk.length, end);
    end += chunk.length;
  }
}

async function next(frames: AsyncGenerator<Frame, void, undefined>, kind?: number): Promise<Frame> {
  const { value } = await frames.next();
  if (value === undefined) throw new ImageError('image-cut', 'the connection was closed');
  if (kind !== undefined && value.kind !== kind) throw new ImageError('image-refused', `a frame of kind ${value.kind}`);
  return value;
}

function isSame(one: string, other: string): boolean {
  const [a, b] = [Buffer.from(one), Buffer.from(other)];
  return a.length === b.length && timingSafeEqual(a, b);
}

function sizesIn(directory: string): Record<string, number> {
  const names = readdirSync(directory);
  return Object.fromEntries(names.map((name) => [name, statSync(join(directory, name)).size]));
}
