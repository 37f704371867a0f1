import { noAudit } from '../../proxy/audit/entry.js';
import type { Backend } from '../../proxy/bridge.js';
import { firstOwner } from '../../proxy/keeper/contract.js';
import { defaultProxyLimits, type ProxyLimits } from '../../proxy/limits.js';
import { type Activity, plainPolicy } from '../../proxy/policy/rules.js';
import { Reception } from '../../proxy/reception.js';
import { Registry } from '../../proxy/registry.js';
import type { TakeoverError } from '../../proxy/takeover/errors.js';
import { JournalProtection, noProtection } from '../../proxy/takeover/protection.js';
import { takeOver } from '../../proxy/takeover/takeover.js';
import type { OpenBackend } from '../../proxy/workload.js';
import { type LinkLimits, tokenBytes } from '../../shim/link/index.js';
import { Random } from '../../shim/program/random.js';
import type { Database } from './database.js';
import { type Estate, Fate, WorkerDied } from './estate.js';
import { log } from './log.js';
import { Process } from './process.js';
import type { Outside } from './socket.js';
import { SimSocket } from './socket.js';
import type { Timeline } from './timeline.js';

export interface GateOptions {
  readonly linkLimits: LinkLimits;
  readonly budgetMs: Readonly<Record<Activity, number>>;
  readonly limits: Partial<ProxyLimits>;
  /** Called behind everything that has happened to the proxy. */
  readonly afterInput: () => void;
  readonly openBackend: (events: Parameters<OpenBackend>[0], fate: Fate) => Backend;
  /** What the worker before has left, and this one will leave; undefined: nothing outlives it. */
  readonly estate: Estate | undefined;
  /** How far the clock of the proxy's machine has jumped. */
  readonly offsetMs: number;
  /** So many steps from its beginning it dies. */
  readonly stepsMax: number;
  /** The worker has died. */
  readonly died: (gate: Gate) => void;
  readonly lost: (database: Database | undefined, error: TakeoverError) => void;
}

/** The proxy, which is the product's but for its sockets and for the database sessions. */
export class Gate extends Process<Gate> {
  readonly registry: Registry;
  /** Its ends of the connections of shims. */
  readonly wires = new Set<SimSocket>();
  readonly #reception: Reception;
  readonly #afterInput: () => void;
  readonly #died: (gate: Gate) => void;
  readonly fate = new Fate();

  constructor(timeline: Timeline, seed: number, options: GateOptions) {
    super(timeline, seed, false);
    this.#afterInput = options.afterInput;
    this.#died = options.died;
    this.jump(options.offsetMs);
    const journal = options.estate?.journal(this.fate);
    const channel = options.estate?.channel(this.fate);
    const taken = options.estate && this.#takeOver(options.estate);
    const next = Math.max(firstOwner, taken?.next ?? 0);
    const tokens = new Random(seed + 1);
    const limits = { ...defaultProxyLimits, ...options.limits };
    this.registry = new Registry({
      limits,
      linkLimits: options.linkLimits,
      policy: plainPolicy({ budgetMs: options.budgetMs }),
      audit: noAudit,
      protection: journal && channel ? new JournalProtection(journal, channel, next) : noProtection,
      log,
      now: () => this.clock.now(),
      clock: this.clock,
      newToken: () => {
        const token = Buffer.allocUnsafe(tokenBytes);
        for (let i = 0; i < tokenBytes; i += 4) token.writeUInt32BE(Math.floor(tokens.unit() * 0x1_0000_0000), i);
        return token;
      },
      openBackend: (events) => options.openBackend(events, this.fate),
    });
    this.#reception = new Reception({
      registry: this.registry,
      limits,
      linkLimits: options.linkLimits,
      log,
      clock: this.clock,
    });
    this.fate.dieAfter(options.stepsMax);
    if (taken === undefined || options.estate?.remains.size === 0) return;
    this.input(() => {
      this.registry.takeOver(taken.workloads);
      for (const { session, error } of taken.workloads.flatMap(({ lost }) => lost)) {
        options.lost(options.estate?.kept.get(session.id), error);
      }
      for (const { error } of taken.damaged) options.lost(undefined, error);
      for (const id of taken.unclaimed) channel?.drop(id);
      journal?.inherit();
    });
  }

  protected get self(): Gate {
    return this;
  }

  override input(apply: (self: Gate) => void): void {
    try {
      super.input(apply);
    } catch (error) {
      if (!(error instanceof WorkerDied)) throw error;
      if (!this.dead) this.#died(this);
    }
    this.#afterInput();
  }

  #takeOver(estate: Estate) {
    return takeOver(estate.remains, estate.handles, {
      counters: ({ fd }) => estate.kept.get(fd)?.counters(),
      landed: estate.landed,
      nowMs: this.clock.now(),
      takeUp: (record, { fd }, resendFrom, events) => {
        const database = estate.kept.get(fd);
        if (database === undefined) throw new Error('a handle that nobody has kept');
        database.takeUp(events, this.fate, record, resendFrom);
        // Its end can be read once more.
        if (database.hasEnded && !record.databaseEnded) this.clock.soon(() => events.end());
        return database;
      },
    });
  }

  greet(outside: Outside, address: string): SimSocket {
    const socket = new SimSocket(this.clock, outside, false);
    this.wires.add(socket);
    this.#reception.greet(socket, address, { kind: 'trusted', by: 'plaintext' });
    return socket;
  }
}
