import type { FaultRule } from '../../proxy/inject/contract.js';
import type { FaultTarget } from '../inject/targets.js';
import { whoAsks } from '../operator.js';

/** What a rehearsal needs of whoever makes faults. */
export type FaultMaker = Pick<FaultTarget, 'add' | 'remove'>;

/** Leases are renewed several times before they are over. */
export const renewMsMax = 5_000;

/** Keeps rules alive until they are removed. When this process dies they end by themselves. */
export class Injector {
  readonly #proxy: FaultMaker;
  readonly #relay: FaultMaker | undefined;
  readonly #rules = new Map<string, FaultRule>();
  readonly #renewal: NodeJS.Timeout;
  #failure: unknown;

  constructor(proxy: FaultMaker, relay: FaultMaker | undefined) {
    this.#proxy = proxy;
    this.#relay = relay;
    this.#renewal = setInterval(() => {
      this.add([...this.#rules.values()]).catch((error: unknown) => {
        this.#failure = error;
      });
    }, renewMsMax);
  }

  /** A lease that could not be renewed; the proxy may be between two workers, so it counts only when it stays so. */
  get failure(): unknown {
    return this.#failure;
  }

  /** @throws {ControlError} faults-not-allowed, and what else a proxy or relay answers */
  async add(rules: readonly FaultRule[]): Promise<void> {
    for (const rule of rules) this.#rules.set(rule.id, rule);
    for (const [target, own] of this.#byTarget(rules)) await target.add(own, whoAsks());
    this.#failure = undefined;
  }

  async remove(ids: readonly string[]): Promise<void> {
    const rules = ids.flatMap((id) => this.#rules.get(id) ?? []);
    for (const id of ids) this.#rules.delete(id);
    for (const [target, own] of this.#byTarget(rules)) {
      await target.remove(
        own.map(({ id }) => id),
        whoAsks(),
      );
    }
  }

  async close(): Promise<void> {
    clearInterval(this.#renewal);
    await this.remove([...this.#rules.keys()]);
  }

  #byTarget(rules: readonly FaultRule[]): readonly (readonly [FaultMaker, readonly FaultRule[]])[] {
    const targets = new Map<FaultMaker, FaultRule[]>();
    for (const rule of rules) {
      const target = rule.kind === 'call' ? this.#proxy : this.#relay;
      if (target === undefined) throw new Error(`${rule.id} is a fault of transport, and there is no relay`);
      targets.set(target, [...(targets.get(target) ?? []), rule]);
    }
    return [...targets];
  }
}
