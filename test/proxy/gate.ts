import { randomBytes, randomUUID } from 'node:crypto';
import net, { type AddressInfo, type Socket } from 'node:net';
import tls from 'node:tls';
import { pino } from 'pino';
import { type Audit, noAudit } from '../../proxy/audit/entry.js';
import { BackendError } from '../../proxy/backend/errors.js';
import type { BackendEvents, SessionView } from '../../proxy/backend/session.js';
import type { Backend } from '../../proxy/bridge.js';
import { defaultProxyLimits, type ProxyLimits } from '../../proxy/limits.js';
import { LinkListener, type LinkListenerOptions } from '../../proxy/listener.js';
import { type HoldPolicy, plainPolicy } from '../../proxy/policy/rules.js';
import { Registry } from '../../proxy/registry.js';
import { noProtection } from '../../proxy/takeover/protection.js';
import { SessionTracker } from '../../proxy/track/session.js';
import { Dialer } from '../../shim/dialer.js';
import type { Clock } from '../../shim/link/index.js';
import { decodeResumeOk, defaultLimits, frameTypes, type LinkLimits, tokenBytes } from '../../shim/link/index.js';
import { systemClock } from '../../shim/link/socket.js';
import { DriverListener } from '../../shim/listener.js';
import { clientTls, type Security } from '../../shim/program/security.js';

const log = pino({ level: 'silent' });
const plaintext: Security = { kind: 'plaintext' };

/** A database side in memory: keeps what it is given, says what the test makes it say. */
export class MemoryDatabase implements Backend {
  readonly heard: Buffer[] = [];
  ended = false;
  destroyed = false;
  paused = false;
  /** False: keeps bytes without having consumed them, like a database that does not read. */
  reads = true;
  /** What describe says of a transaction. */
  transaction: 'none' | 'open' = 'none';
  callsInFlight = 0;
  readonly events: BackendEvents;
  #received = 0;
  #closed = false;

  constructor(events: BackendEvents) {
    this.events = events;
  }

  get text(): string {
    return Buffer.concat(this.heard).toString();
  }
  say(text: string | Buffer): void {
    this.events.data(Buffer.from(text));
  }

  /** The database ends the session, and nobody has asked it to. */
  die(): void {
    this.#closed = true;
    this.events.closed(new BackendError('database-ended', 'the database ended the session'));
  }

  write(view: Buffer): void {
    this.heard.push(Buffer.from(view));
    this.#received += view.length;
    if (this.reads) this.events.consumed(this.#received);
  }
  gather(): void {}
  flush(): boolean {
    return false;
  }
  end(): void {
    this.ended = true;
    this.events.end();
    process.nextTick(() => this.events.closed(undefined));
  }
  pause(): void {
    this.paused = true;
  }
  resume(): void {
    this.paused = false;
  }
  destroy(): void {
    if (this.destroyed) return;
    this.destroyed = true;
    process.nextTick(() => this.events.closed(undefined));
  }
  record(): undefined {}
  get keepable(): undefined {
    return undefined;
  }
  describe(): SessionView {
    const track = new SessionTracker().view();
    return {
      state: this.#closed ? 'closed' : 'open',
      database: { host: 'memory', port: 1, localAddress: undefined, localPort: undefined },
      createdMs: 0,
      positions: { received: this.#received, consumed: this.reads ? this.#received : 0, delivered: 0 },
      driverEnded: this.ended,
      databaseEnded: this.ended,
      paused: this.paused,
      track: {
        ...track,
        calls: { ...track.calls, inFlight: this.callsInFlight },
        transaction: this.transaction === 'open' ? { kind: 'open', sinceMs: 0 } : { kind: 'none' },
      },
    };
  }
}

export interface GateOptions {
  readonly limits?: Partial<ProxyLimits>;
  readonly linkLimits?: Partial<LinkLimits>;
  readonly policy?: HoldPolicy;
  readonly clock?: Clock;
  readonly audit?: Audit;
  readonly security?: Security;
  /** Of a proxy with several workers; and what becomes of links of the others'. */
  readonly worker?: Required<Pick<LinkListenerOptions, 'slot' | 'pass'>>;
}

/** A proxy on loopback, with databases in memory. */
export class Gate {
  readonly databases: MemoryDatabase[] = [];
  readonly registry: Registry;
  readonly linkLimits: LinkLimits;
  readonly #listener: LinkListener;
  port = 0;

  constructor(options: GateOptions = {}) {
    this.linkLimits = { ...defaultLimits, ...options.linkLimits };
    const limits = { ...defaultProxyLimits, ...options.limits };
    this.registry = new Registry({
      limits,
      linkLimits: this.linkLimits,
      policy: options.policy ?? plainPolicy(),
      audit: options.audit ?? noAudit,
      protection: noProtection,
      clock: options.clock ?? systemClock,
      log,
      now: () => performance.now(),
      newToken: () => randomBytes(tokenBytes),
      openBackend: (events) => {
        const database = new MemoryDatabase(events);
        this.databases.push(database);
        return database;
      },
    });
    this.#listener = new LinkListener({
      registry: this.registry,
      limits,
      linkLimits: this.linkLimits,
      security: options.security ?? plaintext,
      log,
      ...options.worker,
    });
  }

  async start(): Promise<this> {
    this.port = await this.#listener.listen('127.0.0.1', 0);
    return this;
  }
  async stop(): Promise<void> {
    this.registry.stop();
    await this.#listener.close();
  }
}

/** A shim on loopback. `wires` are its sockets to the proxy, newest last, `resumes` the first thing said on each. */
export class TestShim {
  readonly dialer: Dialer;
  readonly wires: Socket[] = [];
  readonly resumes: Buffer[] = [];
  /** Token of the last bind, read off the wire. */
  token: Buffer = Buffer.alloc(0);
  readonly #drivers: DriverListener;
  port = 0;

  constructor(
    target: { port: number },
    options: {
      workload?: string;
      linkLimits?: Partial<LinkLimits>;
      connectWaitMs?: number;
      security?: Security;
    } = {},
  ) {
    this.#drivers = new DriverListener({ connectWaitMs: options.connectWaitMs ?? 10_000, lingerMs: 200 }, log);
    this.dialer = new Dialer({
      workload: options.workload ?? 'w',
      newInstance: randomUUID,
      target: { host: '127.0.0.1', port: target.port },
      connect: (to, connected) => {
        const secured = clientTls(options.security ?? plaintext, 'link', { role: 'proxy' });
        const socket =
          secured === undefined
            ? net.connect(to).once('connect', connected)
            : tls.connect({ ...to, ...secured }).once('secureConnect', connected);
        this.wires.push(socket);
        this.#watch(socket);
        return socket;
      },
      limits: { ...defaultLimits, retryMs: 5, retryMsMax: 50, ...options.linkLimits },
      log,
      events: this.#drivers.events,
    });
  }

  async start(): Promise<this> {
    this.port = await this.#drivers.listen('127.0.0.1', 0, this.dialer);
    return this;
  }
  #watch(socket: Socket): void {
    const write = socket.write.bind(socket) as Socket['write'];
    socket.write = ((chunk: Buffer, ...rest: []) => {
      if (chunk[0] === frameTypes.resume) this.resumes.push(chunk);
      return write(chunk, ...rest);
    }) as Socket['write'];
    socket.once('data', (chunk: Buffer) => {
      const length = chunk.readUIntBE(1, 3);
      if (chunk[0] === frameTypes.resumeOk) this.token = decodeResumeOk(chunk.subarray(24, 24 + length)).token;
    });
  }

  /** Breaks the present link the hard way. */
  cut(): void {
    const wire = this.wires.at(-1);
    // Node.js does not reset TLS sockets.
    if (wire instanceof tls.TLSSocket) wire.destroy(new Error('cut'));
    else wire?.resetAndDestroy();
  }
  async stop(): Promise<void> {
    await this.dialer.stop();
    await this.#drivers.close();
  }
}

/** A driver: one connection, what it heard, how it ended. */
export class TestDriver {
  readonly socket: Socket;
  readonly closed: Promise<string>;
  heard = '';

  constructor(port: number) {
    this.socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    let how = 'closed';
    this.socket.on('data', (chunk) => {
      this.heard += chunk.toString();
    });
    this.socket.on('end', () => this.socket.end());
    this.socket.on('error', (error: NodeJS.ErrnoException) => {
      how = error.code ?? 'error';
    });
    this.closed = new Promise((resolve) => this.socket.once('close', () => resolve(how)));
  }
}

/** Waits for a condition, looking again after every turn of the event loop; the test's own time limit bounds it. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

export function portOf(server: net.Server): number {
  return (server.address() as AddressInfo).port;
}
