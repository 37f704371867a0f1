import { createServer, type Server } from 'node:net';
import type { Logger } from 'pino';
import type { Dialer } from './dialer.js';
import { type DriverLimits, Drivers } from './drivers.js';
import { listenAt } from './program/listen.js';
import { readAnew, readBytes } from './program/reading.js';

/** All reads go there, one at a time; the link copies what it stores. */
const landing = Buffer.allocUnsafeSlow(readBytes);

/** Where drivers connect. */
export class DriverListener {
  readonly #drivers: Drivers;
  readonly #server: Server;
  #dialer: Dialer | undefined;

  constructor(limits: DriverLimits, log: Logger) {
    this.#drivers = new Drivers(limits, log);
    // Half-open: a driver that has said its last word may still be owed an answer.
    this.#server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
      if (this.#dialer === undefined) socket.destroy();
      else this.#drivers.accept(readAnew(socket, landing), this.#dialer);
    });
  }

  get connections(): number {
    return this.#drivers.count;
  }

  /** Events of the link, for the dialer. */
  get events(): Drivers['events'] {
    return this.#drivers.events;
  }

  /** @returns the port it listens on @throws {ListenError} address-in-use, bad-address */
  async listen(host: string, port: number, dialer: Dialer): Promise<number> {
    this.#dialer = dialer;
    return listenAt(this.#server, { host, port, backlog: 1024 });
  }

  async close(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
      this.events.lost('shutdown');
    });
  }
}
