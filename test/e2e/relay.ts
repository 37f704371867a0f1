import { connect, createServer, type Server, type Socket } from 'node:net';
import { freePort } from '../../fixtures/lab/ports.js';

/** A piece of network that can break: passes TCP connections on, and cuts them all at once. */
export class Relay {
  readonly address: string;
  /** Bytes, of both directions, that pass before the next cut. */
  bytesUntilCut = Number.POSITIVE_INFINITY;
  cuts = 0;
  /** Like a switch that boots: whoever comes is cut off at once. */
  isDown = false;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** Says how many bytes pass after a cut until the next. */
  readonly #next: () => number;

  private constructor(server: Server, address: string, next: () => number) {
    this.#server = server;
    this.address = address;
    this.#next = next;
  }

  /**
   * @param next bytes until the next cut, asked for after each; left out, nothing is cut by itself
   * @param from address that the next connection seems to come from; left out, all come from one
   */
  static async open(
    target: string,
    next: () => number = () => Number.POSITIVE_INFINITY,
    from: () => string | undefined = () => undefined,
  ): Promise<Relay> {
    const [host, port] = target.split(':');
    const at = await freePort('127.0.0.1');
    const server = createServer((near) => {
      if (relay.isDown) {
        near.resetAndDestroy();
        return;
      }
      const localAddress = from();
      const options = { host: host ?? '', port: Number(port) };
      const far = connect(localAddress === undefined ? options : { ...options, localAddress });
      relay.#pass(near, far);
      relay.#pass(far, near);
    });
    const relay = new Relay(server, `127.0.0.1:${at}`, next);
    await new Promise<void>((resolve) => server.listen(at, '127.0.0.1', 4_096, resolve));
    return relay;
  }

  /** Both ends of every connection get a reset; what was under way is gone. */
  cut(): void {
    this.cuts += 1;
    this.bytesUntilCut = this.#next();
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #pass(from: Socket, to: Socket): void {
    this.#sockets.add(from);
    from.setNoDelay(true);
    from.on('data', (bytes: Buffer) => {
      if (bytes.length >= this.bytesUntilCut) {
        to.write(bytes.subarray(0, this.bytesUntilCut));
        this.cut();
        return;
      }
      this.bytesUntilCut -= bytes.length;
      if (!to.write(bytes)) from.pause();
    });
    from.on('drain', () => to.resume());
    from.on('end', () => to.end());
    // Always followed by 'close'.
    from.on('error', () => undefined);
    from.on('close', () => {
      this.#sockets.delete(from);
      to.destroy();
    });
  }
}
