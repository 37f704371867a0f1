import { randomUUID } from 'node:crypto';
import type { Clock } from '../../shim/link/index.js';
import type { Audit, AuditActor } from '../audit/entry.js';
import type { FaultAct } from './contract.js';
import { actsKept, actsPerAnswerMax } from './limits.js';

export interface ActsOptions {
  readonly audit: Pick<Audit, 'record'>;
  readonly clock: Clock;
}

/** That faults were asked for, have acted and have ended: for the audit log, and for those who watch. */
export class Acts {
  /** Another one for another life of this process: its acts are counted from 1 again. */
  readonly run = randomUUID();
  readonly #options: ActsOptions;
  readonly #acts: FaultAct[] = [];
  readonly #waiting = new Set<() => void>();
  #seq = 0;

  constructor(options: ActsOptions) {
    this.#options = options;
  }

  added(fault: string, by?: AuditActor): void {
    this.#options.audit.record({ event: 'fault-added', fault, ...(by === undefined ? {} : { by }) });
  }

  removed(fault: string, why: string, by?: AuditActor): void {
    this.#options.audit.record({ event: 'fault-removed', fault, why, ...(by === undefined ? {} : { by }) });
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
}
