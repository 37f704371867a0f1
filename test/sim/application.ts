import { Dialer } from '../../shim/dialer.js';
import { Drivers } from '../../shim/drivers.js';
import type { Link, LinkLimits } from '../../shim/link/index.js';
import type { Faults } from './faults.js';
import { log } from './log.js';
import { Speech } from './pattern.js';
import { type Input, Process } from './process.js';
import { SimSocket } from './socket.js';
import type { Timeline } from './timeline.js';

/** An application gives up to reconnect when it has had so many connections. */
const driversMax = 10;
/** Bytes a driver's kernel keeps when the driver does not read. */
const kernelBytes = 64;

/** One connection of the application to its shim, and what the application has said and heard on it. */
export class Driver {
  readonly socket: SimSocket;
  readonly speech = new Speech();
  /** Names the stream at the proxy; undefined when the shim turned the driver away. */
  key: string | undefined;
  heard = 0;
  /** Heard by the kernel, not by the driver. */
  #kept = 0;
  reads = true;
  /** It has said its last word; it has broken off. */
  hasEnded = false;
  hasReset = false;
  /** It has seen the end of the answers, or of the connection. */
  sawEnd = false;
  readonly #host: Application;

  constructor(host: Application) {
    this.#host = host;
    this.socket = new SimSocket(
      host.clock,
      { take: (b) => this.#take(b), ended: () => this.#end(), destroyed: () => this.#end() },
      true,
    );
  }

  say(voice: number, count: number): void {
    if (this.hasEnded || this.hasReset || this.socket.destroyed) return;
    this.socket.receive(this.speech.say(voice, count));
  }
  end(): void {
    if (this.hasEnded || this.hasReset) return;
    this.hasEnded = true;
    this.socket.peerEnded();
  }
  reset(): void {
    if (this.hasReset || this.socket.destroyed) return;
    this.hasReset = true;
    this.socket.fail(new Error('read ECONNRESET'));
  }
  setReads(reads: boolean): void {
    this.reads = reads;
    if (!reads) return;
    this.#kept = 0;
    this.socket.drain();
  }

  #take(bytes: Buffer): number {
    const taken = this.reads ? bytes.length : Math.min(bytes.length, kernelBytes - this.#kept);
    if (taken === 0) return 0;
    if (!this.reads) this.#kept += taken;
    this.#host.heard(this, bytes.subarray(0, taken));
    this.heard += taken;
    return taken;
  }
  #end(): void {
    if (this.sawEnd) return;
    this.sawEnd = true;
    if (!this.hasEnded && !this.hasReset) this.#host.reconnect();
  }
}

/** What the application's side asks of the rest of the world. */
export interface Surroundings {
  readonly timeline: Timeline;
  readonly limits: LinkLimits;
  readonly faults: Pick<Faults, 'hasImages'>;
  /** A name that no shim has had: the kernel's randomness is in no image. */
  newInstance(): string;
  /** A number that no voice has had. */
  newVoice(): number;
  dial(from: Application, index: number): void;
  sent(from: Application, index: number, bytes: Buffer): void;
  closed(from: Application, index: number, isOrderly: boolean): void;
  heard(by: Application, driver: Driver, bytes: Buffer): void;
}

/** A workload at one moment: what has happened to it until then. */
export interface Image {
  readonly seed: number;
  readonly inputs: readonly Input<Application>[];
  /** Names that it had made for itself. */
  readonly instances: readonly string[];
  readonly startedMs: number;
}

/** A workload: the application with its driver connections, and its shim, which is the product's. */
export class Application extends Process<Application> {
  readonly dialer: Dialer;
  readonly drivers: Driver[] = [];
  /** Its ends of the connections to the proxy, and what to call when one is there. */
  readonly links: { readonly socket: SimSocket; readonly connected: () => void }[] = [];
  readonly seed: number;
  /** What it says from now on is told from what its copies say. */
  readonly voice: number;
  readonly instances: string[] = [];
  readonly startedMs: number;
  /** It has been told to end: nobody makes an image of it any more. */
  isStopping = false;
  readonly #surroundings: Surroundings;
  readonly #drivers: Drivers;
  #instancesTaken = 0;
  #opened: { link: Link; count: number } | undefined;

  constructor(surroundings: Surroundings, seed: number, image?: Image) {
    super(surroundings.timeline, seed, surroundings.faults.hasImages);
    this.#surroundings = surroundings;
    this.seed = seed;
    this.voice = surroundings.newVoice();
    this.startedMs = image?.startedMs ?? surroundings.timeline.nowMs;
    if (image !== undefined) {
      this.beginReplay(image.startedMs);
      this.instances.push(...image.instances);
    }
    this.#drivers = new Drivers({ connectWaitMs: 60_000, lingerMs: 200 }, log, this.clock);
    this.dialer = new Dialer({
      workload: 'w',
      newInstance: () => this.#newInstance(),
      target: { host: 'proxy', port: 1 },
      connect: (_target, connected) => this.#connect(connected),
      limits: surroundings.limits,
      log,
      clock: this.clock,
      events: this.#drivers.events,
    });
    if (image !== undefined) this.replay(image.inputs);
  }

  protected get self(): Application {
    return this;
  }

  image(): Image {
    const { seed, startedMs } = this;
    return { seed, startedMs, inputs: [...(this.log ?? [])], instances: [...this.instances] };
  }

  attach(): void {
    this.input((self) => void self.dialer.attach().catch(() => undefined));
  }
  detach(): void {
    this.input((self) => void self.dialer.detach());
  }
  stop(): void {
    this.isStopping = true;
    this.input((self) => {
      void self.dialer.stop();
      self.#drivers.events.lost('shutdown');
    });
  }
  connectDriver(): void {
    this.input((self) => self.#accept());
  }
  /** Something a driver does. */
  driver(index: number, act: (driver: Driver) => void): void {
    this.input((self) => {
      const driver = self.drivers[index];
      if (driver !== undefined) act(driver);
    });
  }
  /** Something that happens to one of its ends of a connection. */
  link(index: number, happen: (socket: SimSocket) => void): void {
    this.input((self) => {
      const link = self.links[index];
      if (link !== undefined) happen(link.socket);
    });
  }

  /** A pool whose connection has gone makes another at once. */
  reconnect(): void {
    if (this.drivers.length < driversMax) this.clock.soon(() => this.#accept());
  }

  heard(driver: Driver, bytes: Buffer): void {
    if (!this.replaying) this.#surroundings.heard(this, driver, bytes);
  }

  #newInstance(): string {
    const known = this.instances[this.#instancesTaken];
    this.#instancesTaken += 1;
    if (known !== undefined) return known;
    const fresh = this.#surroundings.newInstance();
    this.instances.push(fresh);
    return fresh;
  }

  #accept(): void {
    const { link } = this.dialer;
    const driver = new Driver(this);
    this.drivers.push(driver);
    this.#drivers.accept(driver.socket, this.dialer);
    if (driver.socket.destroyed) return;
    if (this.#opened?.link !== link) this.#opened = { link, count: 0 };
    this.#opened.count += 1;
    driver.key = `${this.dialer.instance}/${this.#opened.count}`;
  }

  #connect(connected: () => void): SimSocket {
    const index = this.links.length;
    const outside = {
      take: (bytes: Buffer): number => {
        if (!this.replaying) this.#surroundings.sent(this, index, bytes);
        return bytes.length;
      },
      ended: () => this.#closed(index, true),
      destroyed: () => this.#closed(index, false),
    };
    const socket = new SimSocket(this.clock, outside, false);
    this.links.push({ socket, connected });
    if (!this.replaying) this.#surroundings.dial(this, index);
    return socket;
  }

  #closed(index: number, isOrderly: boolean): void {
    if (!this.replaying) this.#surroundings.closed(this, index, isOrderly);
  }
}
