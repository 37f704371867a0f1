/**
 * The faults of a proxy that allows them: the engine with its clock, and everybody who has to know. A lease that is not
 * renewed ends by itself, so nothing stays broken when whoever broke it has died.
 */
import type { Cancel } from '../../shim/link/index.js';
import type { AuditActor } from '../audit/entry.js';
import { Acts, type ActsOptions } from './acts.js';
import type { CallRule, FaultRow, FaultRule } from './contract.js';
import { FaultEngine } from './engine.js';
import { FaultError } from './errors.js';

/** What the proxy has to know of a session that a rule may hold. */
export interface Holding {
  /** Rules that stall or delay it now. */
  readonly heldBy: ReadonlySet<string>;
  /** The rule has ended: whatever it holds goes on. */
  ruleEnded(id: string): void;
}

export class Faults {
  readonly engine = new FaultEngine();
  readonly holders = new Set<Holding>();
  readonly acts: Acts;
  readonly #options: ActsOptions;
  #cancel: Cancel | undefined;

  constructor(options: ActsOptions) {
    this.#options = options;
    this.acts = new Acts(options);
  }

  /** @throws {FaultError} fault-not-here, too-many-faults */
  add(rules: readonly FaultRule[], by: AuditActor): { readonly added: string[] } {
    const own = rules.map(ofCalls);
    const { added, ended } = this.engine.add(own, this.#now());
    this.#ended(ended, 'replaced', by);
    for (const fault of added) this.acts.added(fault, by);
    this.#arm();
    return { added };
  }

  /** Without ids: all. */
  remove(ids: readonly string[] | undefined, by: AuditActor): { readonly removed: string[] } {
    const removed = this.engine.remove(ids ?? this.rows().map(({ rule }) => rule.id));
    this.#ended(removed, 'removed', by);
    this.#arm();
    return { removed };
  }

  rows(): FaultRow[] {
    const holding = (id: string) => [...this.holders].filter(({ heldBy }) => heldBy.has(id)).length;
    return this.engine.rows(this.#now(), holding);
  }

  /** All faults end: the proxy stops, or another worker takes over. */
  stop(): void {
    this.#ended(this.engine.remove(this.rows().map(({ rule }) => rule.id)), 'stopped');
    this.#cancel?.();
  }

  #ended(ids: readonly string[], why: string, by?: AuditActor): void {
    for (const fault of ids) {
      for (const holder of this.holders) holder.ruleEnded(fault);
      this.acts.removed(fault, why, by);
    }
  }

  #arm(): void {
    this.#cancel?.();
    const at = this.engine.nextEndMs;
    if (at === undefined) return;
    this.#cancel = this.#options.clock.after(Math.max(1, Math.ceil(at - this.#now())), () => {
      this.#ended(this.engine.expire(this.#now()), 'its lease is over');
      this.#arm();
    });
  }

  #now(): number {
    return this.#options.clock.now();
  }
}

function ofCalls(rule: FaultRule): CallRule {
  if (rule.kind === 'call') return rule;
  const advice = 'a relay does it: holdfast inject serve';
  throw new FaultError('fault-not-here', `${rule.id} is a fault of transport; ${advice}`);
}
