/**
 * The faults of a proxy that allows them: the engine with its clock, the audit log, and those who watch. A lease that is not
 * renewed ends by itself, so nothing stays broken when whoever broke it has died.
 */
import { randomUUID } from 'node:crypto';
import type { Cancel, Clock } from '../../shim/link/index.js';
import type { Audit, AuditActor } from '../audit/entry.js';
import type { CallRule, FaultAct, FaultRow, FaultRule } from './contract.js';
import { FaultEngine } from './engine.js';
import { FaultError } from './errors.js';
import { actsKept, actsPerAnswerMax } from './limits.js';

/** What the proxy has to know of a session that a rule may hold. */
export interface Holding {
  /** Rules that stall or delay it now. */
  readonly heldBy: ReadonlySet<string>;
  /** The rule has ended: whatever it holds goes on. */
  ruleEnded(id: string): void;
}

export interface FaultsOptions {
  readonly audit: Pick<Audit, 'record'>;
  readonly clock: Clock;
}

export class Faults {
  readonly engine = new FaultEngine();
  readonly holders = new Set<Holding>();
  /** Another one after the worker was replaced: its acts are counted from 1 again. */
  readonly run = randomUUID();
  readonly #options: FaultsOptions;
  readonly #acts: FaultAct[] = [];
  readonly #waiting = new Set<() => void>();
  #seq = 0;
  #cancel: Cancel | undefined;

  constructor(options: FaultsOptions) {
    this.#options = options;
  }

  /** @throws {FaultError} fault-not-here, too-many-faults */
  add(rules: readonly FaultRule[], by: AuditActor): { readonly added: string[] } {
    const own = rules.map(ofCalls);
    const { added, ended } = this.engine.add(own, this.#now());
    this.#ended(ended, 'replaced', by);
    for (const fault of added) this.#options.audit.record({ event: 'fault-added', fault, by });
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

  acted(act: Omit<FaultAct, 'seq' | 'at'>): void {
    this.#seq += 1;
    this.#acts.push({ seq: this.#seq, at: new Date().toISOString(), ...act });
    if (this.#acts.length > actsKept) this.#acts.shift();
    const { rule: fault, workload, instance, ...rest } = act;
    const life = { ...(workload === undefined ? {} : { workload }), ...(instance === undefined ? {} : { instance }) };
    this.#options.audit.record({ event: 'fault', ...life, fault, act: { seq: this.#seq, ...rest } });
    for (const wake of this.#waiting) wake();
  }

  /** Acts behind `after`; with none yet it waits for one, or until `waitMs` are over. */
  async watch(after: number, waitMs: number): Promise<{ run: string; acts: FaultAct[]; missed: number }> {
    if (this.#seq <= after && waitMs > 0) await this.#nextAct(waitMs);
    const first = this.#acts[0]?.seq ?? this.#seq + 1;
    const acts = this.#acts.filter(({ seq }) => seq > after).slice(0, actsPerAnswerMax);
    return { run: this.run, acts, missed: Math.max(0, first - 1 - after) };
  }

  /** All faults end: the proxy stops, or another worker takes over. */
  stop(): void {
    this.#ended(this.engine.remove(this.rows().map(({ rule }) => rule.id)), 'stopped');
    this.#cancel?.();
  }

  #nextAct(waitMs: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        cancel();
        this.#waiting.delete(wake);
        resolve();
      };
      const cancel = this.#options.clock.after(waitMs, wake);
      this.#waiting.add(wake);
    });
  }

  #ended(ids: readonly string[], why: string, by?: AuditActor): void {
    for (const fault of ids) {
      for (const holder of this.holders) holder.ruleEnded(fault);
      this.#options.audit.record({ event: 'fault-removed', fault, why, ...(by === undefined ? {} : { by }) });
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
