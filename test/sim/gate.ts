import { noAudit } from '../../proxy/audit/entry.js';
import type { Backend } from '../../proxy/bridge.js';
import { defaultProxyLimits, type ProxyLimits } from '../../proxy/limits.js';
import { type Activity, plainPolicy } from '../../proxy/policy/rules.js';
import { Reception } from '../../proxy/reception.js';
import { Registry } from '../../proxy/registry.js';
import { noProtection } from '../../proxy/takeover/protection.js';
import type { OpenBackend } from '../../proxy/workload.js';
import { type LinkLimits, tokenBytes } from '../../shim/link/index.js';
import { Random } from '../random.js';
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
  readonly openBackend: (events: Parameters<OpenBackend>[0]) => Backend;
}

/** The proxy, which is the product's but for its sockets and for the database sessions. */
export class Gate extends Process<Gate> {
  readonly registry: Registry;
  /** Its ends of the connections of shims. */
  readonly wires = new Set<SimSocket>();
  readonly #reception: Reception;
  readonly #afterInput: () => void;

  constructor(timeline: Timeline, seed: number, options: GateOptions) {
    super(timeline, seed, false);
    this.#afterInput = options.afterInput;
    const tokens = new Random(seed + 1);
    const limits = { ...defaultProxyLimits, ...options.limits };
    this.registry = new Registry({
      limits,
      linkLimits: options.linkLimits,
      policy: plainPolicy({ budgetMs: options.budgetMs }),
      audit: noAudit,
      protection: noProtection,
      log,
      now: () => this.clock.now(),
      clock: this.clock,
      newToken: () => {
        const token = Buffer.allocUnsafe(tokenBytes);
        for (let i = 0; i < tokenBytes; i += 4) token.writeUInt32BE(Math.floor(tokens.unit() * 0x1_0000_0000), i);
        return token;
      },
      openBackend: (events) => options.openBackend(events),
    });
    this.#reception = new Reception({
      registry: this.registry,
      limits,
      linkLimits: options.linkLimits,
      log,
      clock: this.clock,
    });
  }

  protected get self(): Gate {
    return this;
  }

  override input(apply: (self: Gate) => void): void {
    super.input(apply);
    this.#afterInput();
  }

  greet(outside: Outside, address: string): SimSocket {
    const socket = new SimSocket(this.clock, outside, false);
    this.wires.add(socket);
    this.#reception.greet(socket, address, { kind: 'trusted', by: 'plaintext' });
    return socket;
  }
}
