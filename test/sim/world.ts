import type { TakeoverError, TakeoverErrorCode } from '../../proxy/takeover/errors.js';
import {
  decodeResume,
  encodeResume,
  frameTypes,
  type LinkLimits,
  protocolVersion,
  type Verdict,
} from '../../shim/link/index.js';
import type { Random } from '../../shim/program/random.js';
import { Application, type Driver, type Image, type Surroundings } from './application.js';
import { Auditor } from './auditor.js';
import { Database } from './database.js';
import { Estate } from './estate.js';
import type { Faults } from './faults.js';
import { Gate } from './gate.js';
import { Holds } from './holds.js';
import type { PipeEvents } from './network.js';
import { Timeline } from './timeline.js';
import { Violation } from './violation.js';
import { controlFrame, headerBytes, text, Wire } from './wire.js';

/** Everything of one run: workloads and their copies, the proxy, the database, and the network between them. */
export class World implements Surroundings {
  readonly timeline = new Timeline();
  readonly random: Random;
  readonly faults: Faults;
  readonly limits: LinkLimits;
  readonly auditor = new Auditor();
  readonly holds = new Holds(this);
  readonly apps: Application[] = [];
  readonly wires: Wire[] = [];
  gate: Gate;
  /** What outlives the workers of the proxy, in runs in which they die. */
  #estate: Estate | undefined;
  isTakingOver = false;
  #notKept = 0;
  /** Nobody is reached until then; both ends speak different versions until then; binds may be put off until then. */
  outageUntilMs = 0;
  skewUntilMs = 0;
  /** The next RESUME is held up. */
  delaysResume = false;
  #delayed: Wire | undefined;
  readonly counts = { cuts: 0, dials: 0, replayedBytes: 0, confirmed: 0, workersDied: 0, sessionsLost: 0, ranges: 0 };
  readonly trace: ((line: string) => void) | undefined;
  #voices = 0;
  #orders = 0;
  #unknown: Database[] = [];
  readonly #wiresOf = new Map<Application, Wire[]>();

  constructor(faults: Faults, random: Random, trace?: (line: string) => void) {
    this.faults = faults;
    this.random = random;
    this.limits = faults.linkLimits;
    this.trace = trace;
    this.#estate = faults.weights.workerDies > 0 ? new Estate() : undefined;
    this.gate = this.#newGate();
    this.startShim();
  }

  say(line: string): void {
    this.trace?.(`${this.timeline.nowMs.toFixed(0).padStart(6)} ${line}`);
  }

  startShim(image?: Image): Application {
    const app = new Application(this, image?.seed ?? this.random.below(0x7fff_ffff), image);
    this.apps.push(app);
    this.say(`${nameOf(app)} starts${image === undefined ? '' : ' from an image'}`);
    if (image === undefined) app.attach();
    else {
      // Connections to other hosts are in no image.
      for (const [index] of app.links.entries()) app.link(index, (socket) => socket.fail(new Error('read ECONNRESET')));
    }
    return app;
  }

  kill(app: Application): void {
    app.dead = true;
    this.say(`${nameOf(app)} is killed`);
    for (const wire of this.wires) {
      if (wire.app !== app) continue;
      wire.down.close();
      wire.up.end();
    }
  }

  restartProxy(): void {
    this.say('the proxy restarts');
    const former = this.gate;
    former.dead = true;
    this.holds.forget();
    this.auditor.endAll('unknown-workload');
    for (const { database } of this.auditor.sessions.values()) database.cut();
    for (const wire of this.wires) {
      if (wire.gate !== former) continue;
      wire.up.close();
      wire.down.end();
    }
    if (this.#estate !== undefined) this.#estate = new Estate();
    this.gate = this.#newGate();
  }

  /** Another worker takes over; its clock is that of the same machine. */
  #workerDied(former: Gate): void {
    this.say('the worker of the proxy dies, and another takes over');
    former.dead = true;
    // The next one may die before it serves; then this is called while it is called.
    const hasServed = !this.isTakingOver;
    this.isTakingOver = true;
    this.#notKept = 0;
    this.#learn();
    this.counts.workersDied += 1;
    this.auditor.workerDied();
    for (const wire of this.wires) {
      if (wire.gate !== former) continue;
      wire.up.close();
      wire.down.end();
    }
    const kept = new Set(this.#estate?.kept.values());
    for (const { database } of this.auditor.sessions.values()) {
      database.orphan();
      if (!kept.has(database)) database.vanish();
    }
    const gate = this.#newGate(former.offsetMs);
    if (!gate.dead) this.gate = gate;
    if (!hasServed) return;
    this.isTakingOver = false;
    this.holds.takeOver(former, this.gate);
  }

  /** A session could not be taken over. One reason is good: its worker died between reading and putting down. */
  #lost(database: Database | undefined, { code, message }: TakeoverError): void {
    const isFounded: Partial<Record<TakeoverErrorCode, boolean>> = {
      'takeover-bytes-lost': database !== undefined && database.delivered < database.speech.said,
      'takeover-connection-lost': database?.isOver ?? false,
      // The worker had put it down and died before the keeper had it: the one it was just busy with.
      'takeover-not-kept': database === undefined && this.#notKept === 0,
    };
    if (code === 'takeover-not-kept') this.#notKept += 1;
    if (isFounded[code] !== true) throw new Violation('not-taken-over', message);
    this.counts.sessionsLost += 1;
    database?.vanish();
  }

  // What ends of connections do -----------------------------------------------------------------------------------

  newInstance(): string {
    this.#voices += 1;
    return `i${this.#voices}`;
  }
  newVoice(): number {
    this.#voices += 1;
    return this.#voices;
  }
  heard(_by: Application, driver: Driver, bytes: Buffer): void {
    this.auditor.driverHears(driver, bytes);
  }

  dial(app: Application, index: number): void {
    this.counts.dials += 1;
    const wire = this.#newWire(app, index);
    const { latencyMs } = this.faults.weather;
    this.timeline.at(this.timeline.nowMs + latencyMs, () => this.#connect(wire, index));
  }

  sent(app: Application, index: number, bytes: Buffer): void {
    const wire = this.#wiresOf.get(app)?.[index];
    if (wire !== undefined) wire.up.write(this.#seenUp(wire, bytes));
  }

  closed(app: Application, index: number, isOrderly: boolean): void {
    const wire = this.#wiresOf.get(app)?.[index];
    if (wire === undefined) return;
    if (!isOrderly) wire.down.close();
    wire.up.end();
  }

  /** A connection of somebody who is no shim: says these bytes. */
  intrude(like: Wire, bytes: Buffer): Wire {
    const wire = this.#newWire(like.app, undefined);
    this.#open(wire);
    wire.up.write(this.#seenUp(wire, bytes));
    return wire;
  }

  /** The last answer that was seen on the way. */
  lastBound(): Wire | undefined {
    return this.wires.findLast(
      (wire) => wire.token !== undefined && wire.index !== undefined && wire.gate === this.gate,
    );
  }
  /** The last RESUME that was seen on the way. */
  lastPresented(): Wire | undefined {
    return this.wires.findLast((wire) => wire.presented !== undefined && wire.gate === this.gate);
  }

  // Faults of connections -----------------------------------------------------------------------------------------

  /** Both ends learn that the connection is broken. */
  cut(wire: Wire): void {
    this.counts.cuts += 1;
    this.say(`cut of a link of ${nameOf(wire.app)}`);
    this.#failNear(wire);
    this.#failFar(wire);
  }
  /** The shim's end learns it; what is under way to the proxy still arrives. */
  cutNear(wire: Wire): void {
    this.counts.cuts += 1;
    this.say(`cut at the near end of a link of ${nameOf(wire.app)}`);
    this.#failNear(wire);
  }
  cutFar(wire: Wire): void {
    this.counts.cuts += 1;
    this.say(`cut at the far end of a link of ${nameOf(wire.app)}`);
    this.#failFar(wire);
  }
  /** Nobody learns anything. */
  silence(wire: Wire): void {
    this.counts.cuts += 1;
    this.say(`silence on a link of ${nameOf(wire.app)}`);
    wire.up.close();
    wire.down.close();
  }

  // Inside --------------------------------------------------------------------------------------------------------

  #newGate(offsetMs = 0): Gate {
    return new Gate(this.timeline, this.random.below(0x7fff_ffff), {
      linkLimits: this.limits,
      budgetMs: this.faults.budgetMs,
      limits: this.faults.proxyLimits,
      afterInput: () => this.holds.check(),
      offsetMs,
      estate: this.#estate,
      stepsMax: this.random.chance(0.1) ? this.random.below(20) : Number.POSITIVE_INFINITY,
      died: (gate) => this.#workerDied(gate),
      lost: (database, error) => this.#lost(database, error),
      openBackend: (events, fate) => {
        const heard = (session: Database, bytes: Buffer): void => this.#databaseHears(session, bytes);
        const landed = (bytes: Buffer): void => {
          if (this.#estate !== undefined) this.#estate.landed = Buffer.from(bytes);
        };
        const database: Database = new Database(events, this.newVoice(), heard, fate, landed);
        this.#unknown.push(database);
        return database;
      },
    });
  }

  /** Which stream a session belongs to only the workload knows. */
  #learn(): void {
    if (this.#unknown.length === 0) return;
    const unknown = new Map(this.#unknown.map((database) => [database.voice, database]));
    this.#unknown = [];
    for (const workload of this.gate.registry.workloads) {
      for (const { stream, view } of workload.sessions()) {
        const database = unknown.get(view.createdMs);
        if (database !== undefined) this.auditor.opened(database, workload.instance, stream);
      }
    }
  }

  #databaseHears(database: Database, bytes: Buffer): void {
    this.#learn();
    if (database.received - database.consumed + bytes.length > this.limits.windowBytes) {
      throw new Violation('memory', 'the proxy has taken more than its window');
    }
    this.auditor.databaseHears(database, bytes);
  }

  #newWire(app: Application, index: number | undefined): Wire {
    const { weather } = this.faults;
    const network = { timeline: this.timeline, random: this.random, weather };
    const near = (happen: (socket: Application['links'][number]['socket']) => void): void => {
      if (index !== undefined) app.link(index, happen);
    };
    const cut = (): void => this.cut(wire);
    const up: PipeEvents = {
      arrived: (bytes) => wire.gate.input(() => wire.far?.receive(bytes)),
      ended: () => wire.gate.input(() => wire.far?.peerEnded()),
      cut,
    };
    const down: PipeEvents = {
      arrived: (bytes) => near((socket) => socket.receive(bytes)),
      ended: () => near((socket) => socket.peerEnded()),
      cut,
    };
    const wire: Wire = new Wire(app, index, this.gate, network, { up, down });
    this.wires.push(wire);
    if (index !== undefined) {
      const wires = this.#wiresOf.get(app) ?? [];
      wires[index] = wire;
      this.#wiresOf.set(app, wires);
    }
    return wire;
  }

  #connect(wire: Wire, index: number): void {
    if (this.timeline.nowMs < this.outageUntilMs) {
      if (this.random.chance(0.5)) return;
      const refused = Object.assign(new Error('connect ECONNREFUSED'), { syscall: 'connect' });
      wire.app.link(index, (socket) => socket.fail(refused));
      return;
    }
    this.#open(wire);
    wire.app.input((app) => {
      const link = app.links[index];
      if (link !== undefined && !link.socket.destroyed) link.connected();
    });
  }

  #open(wire: Wire): void {
    wire.gate.input((gate) => {
      const outside = {
        take: (bytes: Buffer): number => {
          gate.fate.step();
          this.#seenDown(wire, bytes);
          wire.down.write(bytes);
          return bytes.length;
        },
        before: (bytes: Buffer) => {
          this.auditor.current = wire;
          wire.handed += bytes.length;
          this.auditor.handed(wire);
        },
        after: () => {
          this.#learn();
          this.auditor.looked();
        },
        ended: () => wire.down.end(),
        destroyed: () => {
          wire.up.close();
          wire.down.end();
        },
      };
      wire.far = gate.greet(outside, nameOf(wire.app));
    });
  }

  #seenUp(wire: Wire, bytes: Buffer): Buffer {
    const frame = controlFrame(bytes);
    if (frame?.type === frameTypes.confirm) wire.confirmEnd = wire.up.written + bytes.length;
    if (frame?.type !== frameTypes.resume) return bytes;
    const { instance, epoch, token } = frame.fields;
    this.#orders += 1;
    wire.presented = {
      instance: String(instance),
      epoch: Number(epoch),
      token: text(token),
      order: this.#orders,
      bytes,
    };
    this.auditor.presented(wire);
    this.say(`${nameOf(wire.app)} presents ${instance} epoch ${epoch}`);
    if (this.delaysResume && wire.index !== undefined) {
      this.delaysResume = false;
      this.#delayed = wire;
      wire.up.stall(10_000);
    }
    if (this.timeline.nowMs >= this.skewUntilMs) return bytes;
    return encodeResume({ ...decodeResume(bytes.subarray(headerBytes)), version: protocolVersion + 1 });
  }

  #seenDown(wire: Wire, bytes: Buffer): void {
    const frame = controlFrame(bytes);
    if (frame?.type === frameTypes.resumeOk) {
      this.say(`${nameOf(wire.app)} is bound with epoch ${frame.fields.epoch}`);
      if (this.#delayed?.app === wire.app && this.#delayed !== wire) this.#delayed.up.release();
      wire.token = Buffer.from(frame.fields.token as Uint8Array);
      this.auditor.accepted(wire, Number(frame.fields.epoch), text(frame.fields.token));
    } else if (frame?.type === frameTypes.rejected) {
      this.say(`${nameOf(wire.app)} is refused: ${frame.fields.verdict}, ${frame.fields.reason}`);
      // What ran out in this very moment is known from here on.
      this.holds.check();
      this.auditor.refused(wire, frame.fields.verdict as Verdict, this.#mayTryLater);
    }
  }

  get #mayTryLater(): boolean {
    return this.gate.registry.workloads.length >= this.faults.proxyLimits.workloadsMax || this.skewUntilMs > 0;
  }

  #failNear(wire: Wire): void {
    wire.down.close();
    const { index } = wire;
    if (index !== undefined) wire.app.link(index, (socket) => socket.fail(new Error('read ECONNRESET')));
  }
  #failFar(wire: Wire): void {
    wire.up.close();
    wire.gate.input(() => wire.far?.fail(new Error('read ECONNRESET')));
  }
}

export function nameOf(app: Application): string {
  return `shim ${app.voice}`;
}
