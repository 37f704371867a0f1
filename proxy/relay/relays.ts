/**
 * All relays of a process, and the faults on them: by Toxiproxy's verbs, which live until they are removed, or as rules of transport
 * (inject/contract.ts), which stand on all relays of their leg and live for their lease.
 */
import type { Cancel, Clock } from '../../shim/link/index.js';
import type { Address } from '../../shim/program/address.js';
import type { AuditActor } from '../audit/entry.js';
import { Acts, type ActsOptions } from '../inject/acts.js';
import type { Direction, FaultAct, FaultRow, FaultRule, Leg, TransportRule } from '../inject/contract.js';
import { faultsMax } from '../inject/limits.js';
import { type ActiveToxic, type Stream, streams } from './connection.js';
import { RelayError } from './errors.js';
import { connectionsMax, relaysMax } from './limits.js';
import { Relay } from './relay.js';

export interface RelayFacts {
  readonly name: string;
  readonly listen: Address;
  readonly upstream: Address;
  readonly enabled: boolean;
  readonly leg: Leg | undefined;
}

interface LiveRule {
  readonly rule: TransportRule;
  untilMs: number;
  cancel: Cancel;
}

export class Relays {
  readonly acts: Acts;
  readonly #clock: Clock;
  readonly #relays = new Map<string, Relay>();
  readonly #rules = new Map<string, LiveRule>();
  readonly #acted = new Map<string, number>();

  readonly #connectionsMax: number;

  /** @param options.connectionsMax of each relay */
  constructor(options: ActsOptions & { readonly connectionsMax?: number }) {
    this.acts = new Acts(options);
    this.#connectionsMax = options.connectionsMax ?? connectionsMax;
    this.#clock = options.clock;
  }

  get all(): readonly Relay[] {
    return [...this.#relays.values()];
  }

  /** @throws {RelayError} relay-unknown */
  get(name: string): Relay {
    const relay = this.#relays.get(name);
    if (relay === undefined) throw new RelayError('relay-unknown', 'proxy not found');
    return relay;
  }

  /** @throws {RelayError} relay-exists, relay-too-many, relay-listen-failed */
  async create({ enabled, ...facts }: RelayFacts): Promise<Relay> {
    if (this.#relays.has(facts.name)) throw new RelayError('relay-exists', 'proxy already exists');
    if (this.#relays.size >= relaysMax) throw new RelayError('relay-too-many', `more than ${relaysMax} proxies`);
    const relay = new Relay({
      ...facts,
      connectionsMax: this.#connectionsMax,
      clock: this.#clock,
      acted: (act) => this.#onActed(act),
    });
    this.#relays.set(facts.name, relay);
    try {
      await relay.enable(enabled);
    } catch (error) {
      this.#relays.delete(facts.name);
      throw error;
    }
    for (const { rule } of this.#rules.values()) if (rule.leg === facts.leg) await relay.add(toxicOf(rule));
    return relay;
  }

  /** @throws {RelayError} relay-unknown */
  async delete(name: string): Promise<void> {
    const relay = this.get(name);
    this.#relays.delete(name);
    await relay.close();
  }

  /** @throws {RelayError} relay-unknown, toxic-exists, relay-too-many */
  async addToxic(relay: Relay, toxic: ActiveToxic): Promise<void> {
    await relay.add(toxic);
    this.acts.added(`${relay.name}/${toxic.name}`);
  }

  /** @throws {RelayError} toxic-unknown */
  async removeToxic(relay: Relay, name: string): Promise<void> {
    if (!(await relay.remove(name))) throw new RelayError('toxic-unknown', 'toxic not found');
    this.acts.removed(`${relay.name}/${name}`, 'removed');
  }

  /** Everything is as if there had never been a fault. */
  async reset(): Promise<void> {
    await this.removeRules(undefined, 'reset');
    for (const relay of this.all) {
      for (const name of [...relay.toxics.keys()]) await this.removeToxic(relay, name);
      await relay.enable(true);
    }
  }

  /** Those that are there already, and the same, are renewed. @throws {RelayError} relay-no-leg, relay-bad-request, relay-too-many */
  async addRules(rules: readonly FaultRule[], by?: AuditActor): Promise<string[]> {
    const own = rules.map((rule) => this.#fitting(rule));
    const ids = new Set([...this.#rules.keys(), ...own.map(({ id }) => id)]);
    if (ids.size > faultsMax) throw new RelayError('relay-too-many', `${ids.size} rules, at most ${faultsMax}`);
    const added: string[] = [];
    for (const rule of own) {
      const present = this.#rules.get(rule.id);
      const isSame = present !== undefined && sameButLease(present.rule, rule);
      if (!isSame) {
        await this.removeRules([rule.id], 'replaced', by);
        for (const relay of this.#on(rule.leg)) await relay.add(toxicOf(rule));
        this.acts.added(rule.id, by);
        added.push(rule.id);
      }
      present?.cancel();
      const cancel = this.#clock.after(rule.leaseMs, () => void this.removeRules([rule.id], 'its lease is over'));
      this.#rules.set(rule.id, { rule, untilMs: this.#clock.now() + rule.leaseMs, cancel });
    }
    return added;
  }

  /** Without ids: all. @returns those that were there */
  async removeRules(ids: readonly string[] | undefined, why: string, by?: AuditActor): Promise<string[]> {
    const removed: string[] = [];
    for (const id of ids ?? [...this.#rules.keys()]) {
      const live = this.#rules.get(id);
      if (live === undefined) continue;
      live.cancel();
      this.#rules.delete(id);
      for (const relay of this.#on(live.rule.leg)) await relay.remove(id);
      this.acts.removed(id, why, by);
      this.#acted.delete(id);
      removed.push(id);
    }
    return removed;
  }

  rows(): FaultRow[] {
    const now = this.#clock.now();
    return [...this.#rules.values()].map(({ rule, untilMs }) => {
      const acts = this.#acted.get(rule.id) ?? 0;
      const holding = this.#on(rule.leg).reduce((sum, { connections }) => sum + connections, 0);
      return { rule, matches: acts, acts, holding, leftMs: Math.max(0, Math.round(untilMs - now)) };
    });
  }

  async close(): Promise<void> {
    await this.removeRules(undefined, 'stopped');
    for (const relay of this.all) await this.delete(relay.name);
  }

  #on(leg: Leg): Relay[] {
    return this.all.filter((relay) => relay.leg === leg);
  }

  #fitting(rule: FaultRule): TransportRule {
    if (rule.kind !== 'transport') {
      throw new RelayError(
        'relay-bad-request',
        `${rule.id} is a fault of calls: a proxy with --allow-faults does those`,
      );
    }
    if (this.#on(rule.leg).length > 0) return rule;
    throw new RelayError('relay-no-leg', `${rule.id}: no relay stands on the leg ${rule.leg}`);
  }

  #onActed(act: Omit<FaultAct, 'seq' | 'at'>): void {
    this.#acted.set(act.rule, (this.#acted.get(act.rule) ?? 0) + 1);
    this.acts.acted(act);
  }
}

function toxicOf({ id: name, toxic, direction, probability: toxicity, seed }: TransportRule): ActiveToxic {
  return { name, toxic, streams: streamsOf(direction), toxicity, seed };
}

function streamsOf(direction: Direction): readonly Stream[] {
  if (direction === 'both') return streams;
  return direction === 'to-database' ? ['upstream'] : ['downstream'];
}

function sameButLease(one: TransportRule, other: TransportRule): boolean {
  return JSON.stringify({ ...one, leaseMs: 0 }) === JSON.stringify({ ...other, leaseMs: 0 });
}
