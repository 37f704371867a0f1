import type { Cancel, Clock, Resume, Verdict } from '../shim/link/index.js';
import { type LinkSocket, systemClock } from '../shim/link/socket.js';
import { type HoldBudgets, holdBudgetMs } from './hold.js';
import type { ProxyLimits } from './limits.js';
import { type Memory, openMemory } from './memory.js';
import { Workload, type WorkloadParts } from './workload.js';

export interface RegistryOptions extends Omit<WorkloadParts, 'memory'> {
  readonly limits: ProxyLimits;
  readonly budgets: HoldBudgets;
  /** Timers of the holds; the runtime's when left out. */
  readonly clock?: Clock;
}

export interface Refusal {
  readonly verdict: Verdict;
  readonly reason: string;
}

/** When the hold of a workload runs out. */
export interface Hold {
  readonly untilMs: number;
  readonly budgetMs: number;
}

/** All workloads of the proxy, by name and instance: a restarted shim of the same name is another workload. */
export class Registry {
  readonly #options: RegistryOptions;
  readonly #workloads = new Map<string, Workload>();
  readonly #holds = new Map<Workload, Hold & { readonly cancel: Cancel }>();
  /** Why workloads ended, for shims that come back late. In order of age. */
  readonly #epitaphs = new Map<string, Verdict>();
  /** What is kept for all of them. */
  readonly memory: Memory;
  #stopping = false;

  constructor(options: RegistryOptions) {
    this.#options = options;
    this.memory = openMemory(options.limits, options.clock ?? systemClock);
  }

  get workloads(): readonly Workload[] {
    return [...this.#workloads.values()];
  }

  holdOf(workload: Workload): Hold | undefined {
    return this.#holds.get(workload);
  }

  /** @returns the workload that is now served by `socket`, or the verdict */
  bind(resume: Resume, socket: LinkSocket, address: string): Workload | Refusal {
    if (this.#stopping) return { verdict: 'try-later', reason: 'the proxy is stopping' };
    const key = keyOf(resume.workload, resume.instance);
    const known = this.#workloads.get(key);
    if (known === undefined) {
      const refusal = this.#mayBegin(resume, key);
      if (refusal !== undefined) return refusal;
    }
    const { workload: name, instance } = resume;
    const workload = known ?? new Workload({ ...this.#options, memory: this.memory, name, instance });
    const refused = workload.bind(resume, socket, address);
    if (refused !== undefined) return refused;
    this.#workloads.set(key, workload);
    this.#endHold(workload);
    return workload;
  }

  /** The connection that served the workload is gone: its sessions are held for as long as their budget allows. */
  release(workload: Workload, socket: LinkSocket, why: string): void {
    if (!workload.release(socket, why)) return;
    const sessions = workload.sessions().map(({ view }) => view.track);
    const budgetMs = holdBudgetMs(sessions, this.#options.budgets);
    const { now, clock = systemClock } = this.#options;
    const cancel = clock.after(budgetMs, () => this.#expire(workload));
    this.#holds.set(workload, { untilMs: now() + budgetMs, budgetMs, cancel });
  }

  /** The shim has said goodbye: the application is gone, nobody will come back. */
  goodbye(workload: Workload): void {
    workload.end('shutdown');
    this.#forget(workload);
  }

  /** Ends everything; used when the proxy stops. */
  stop(): void {
    this.#stopping = true;
    for (const workload of this.workloads) {
      workload.end('shutdown');
      this.#forget(workload);
    }
  }

  #mayBegin(resume: Resume, key: string): Refusal | undefined {
    const epitaph = this.#epitaphs.get(key);
    if (epitaph !== undefined) return { verdict: epitaph, reason: 'the sessions of this workload have been ended' };
    if (resume.epoch > 0) return { verdict: 'unknown-workload', reason: 'this workload is not held here' };
    if (this.#workloads.size < this.#options.limits.workloadsMax) return undefined;
    return { verdict: 'try-later', reason: `limit of ${this.#options.limits.workloadsMax} workloads reached` };
  }

  #expire(workload: Workload): void {
    const hold = this.#holds.get(workload);
    this.#options.log.warn({ workload: workload.name, budgetMs: hold?.budgetMs }, 'hold expired');
    workload.end('hold-expired');
    this.#forget(workload, 'hold-expired');
  }

  #forget(workload: Workload, epitaph?: Verdict): void {
    this.#endHold(workload);
    const key = keyOf(workload.name, workload.instance);
    this.#workloads.delete(key);
    if (epitaph !== undefined) this.#epitaphs.set(key, epitaph);
    for (const oldest of this.#epitaphs.keys()) {
      if (this.#epitaphs.size <= this.#options.limits.epitaphsMax) break;
      this.#epitaphs.delete(oldest);
    }
  }

  #endHold(workload: Workload): void {
    this.#holds.get(workload)?.cancel();
    this.#holds.delete(workload);
  }
}

function keyOf(name: string, instance: string): string {
  return `${name}\n${instance}`;
}
