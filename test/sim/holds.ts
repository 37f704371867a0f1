import type { Activity } from '../../proxy/policy/rules.js';
import type { Workload, WorkloadState } from '../../proxy/workload.js';
import type { Database } from './database.js';
import type { Gate } from './gate.js';
import { Violation } from './violation.js';
import type { World } from './world.js';

/**
 * A hold that was seen goes on, also when the former worker was just ending it. A bind that it was just making it has put down, or
 * has not: then the hold goes on too.
 */
function goesOn(watched: Watched, { state }: Workload, { state: next }: Workload): boolean {
  if (state.kind === 'bound') return next.kind === 'held' && next.sinceMs < state.attachment.boundAtMs;
  return state.kind === 'ended' || state === watched.state;
}

interface Term {
  readonly activity: Activity;
  readonly sinceMs: number;
  readonly before: Term | undefined;
}

/** One bind or hold of a workload. */
interface Watched {
  readonly state: WorkloadState;
  readonly sinceMs: number;
  /** What each session is doing, and since when, at the earliest since the beginning of the hold. */
  readonly doing: Map<Database, Term>;
  /** How much the proxy had been late until then. */
  readonly lateMs: number;
  /**
   * It was over its budget when a worker of the proxy died that had not been able to look. Whether what sessions have done
   * meanwhile makes it longer depends on what that worker has put down.
   */
  readonly isUnclear: boolean;
  /** On the clock of the world: when it was first seen to be overdue. */
  overdueMs: number | undefined;
}

/** Every hold lasts as long as its budgets say, by the clock of the proxy: no shorter, no longer, and it ends. */
export class Holds {
  /** Time in which the proxy could not look, in all: its own timers may be late by that much. */
  lateMs = 0;
  readonly #world: World;
  readonly #watched = new Map<Workload, Watched>();

  constructor(world: World) {
    this.#world = world;
  }

  /** The proxy has lost its memory. */
  forget(): void {
    this.#watched.clear();
  }

  /** Another worker of the proxy goes on: what was held is held for as long as it would have been. */
  takeOver(former: Gate, present: Gate): void {
    for (const workload of former.registry.workloads) {
      const watched = this.#watched.get(workload);
      this.#watched.delete(workload);
      const next = present.registry.workloads.find(({ instance }) => instance === workload.instance);
      if (next === undefined) this.#world.auditor.ended(workload.instance, 'unknown-workload');
      else if (watched?.state.kind === 'held' && goesOn(watched, workload, next)) {
        const doing = new Map([...watched.doing].filter(([{ hasVanished }]) => !hasVanished));
        const isUnclear = watched.isUnclear || former.clock.now() >= this.#untilMs(watched);
        this.#watched.set(next, { ...watched, doing, isUnclear, state: next.state });
      }
    }
    for (const [workload, watched] of this.#watched) {
      // It had just been ended when the worker died.
      if (workload.state.kind === 'ended') this.#ended(workload, watched, former.clock.now());
    }
  }

  check(): void {
    const { gate, isTakingOver } = this.#world;
    if (gate.frozen || isTakingOver) return;
    const nowMs = gate.clock.now();
    const { workloads } = gate.registry;
    for (const workload of workloads) {
      let watched = this.#watched.get(workload);
      if (watched?.state !== workload.state) {
        const { state } = workload;
        watched = {
          state,
          sinceMs: nowMs,
          doing: new Map(),
          lateMs: this.lateMs,
          isUnclear: false,
          overdueMs: undefined,
        };
        this.#watched.set(workload, watched);
      }
      if (watched.state.kind !== 'held') continue;
      // What a session does when the budget is over comes too late.
      if (watched.doing.size === 0 || nowMs < this.#untilMs(watched)) this.#look(workload, watched, nowMs);
      this.#isInTime(workload, watched, nowMs);
    }
    if (workloads.length === this.#watched.size) return;
    for (const [workload, watched] of this.#watched) {
      if (workload.state.kind === 'ended') this.#ended(workload, watched, nowMs);
    }
  }

  #look(workload: Workload, { doing }: Watched, nowMs: number): void {
    for (const { database, key } of this.#world.auditor.sessionsOf(workload.instance)) {
      if (database.destroyed || database.hasVanished) continue;
      // It was over, and both ends have forgotten it.
      if (database.isOver && workload.session(Number(key.split('/')[1])) === undefined) continue;
      const activity = database.isOver || database.hasEnded ? 'idle' : database.work;
      const last = doing.get(database);
      if (last?.activity === activity) continue;
      // Back in the same moment: whoever looks once a turn has seen no change.
      const isBack = last?.sinceMs === nowMs && last.before?.activity === activity;
      doing.set(
        database,
        isBack && last.before !== undefined ? last.before : { activity, sinceMs: nowMs, before: last },
      );
    }
  }

  #untilMs({ sinceMs, doing }: Watched): number {
    const { budgetMs } = this.#world.faults;
    if (doing.size === 0) return sinceMs + budgetMs.idle;
    return Math.max(...[...doing.values()].map((one) => one.sinceMs + budgetMs[one.activity]));
  }

  #isInTime(workload: Workload, watched: Watched, nowMs: number): void {
    const untilMs = this.#untilMs(watched) + this.lateMs - watched.lateMs;
    if (nowMs <= untilMs || watched.isUnclear) return;
    // The clock may have jumped in this moment: the timer that sees it comes next.
    const { nowMs: worldMs } = this.#world.timeline;
    watched.overdueMs ??= worldMs;
    if (worldMs > watched.overdueMs + 2) {
      throw new Violation('hold', `${workload.instance} is held ${nowMs - untilMs} ms longer than its budget`);
    }
  }

  #ended(workload: Workload, watched: Watched, nowMs: number): void {
    this.#watched.delete(workload);
    const isExpired = workload.state.kind === 'ended' && workload.state.code === 'hold-expired';
    const untilMs = this.#untilMs(watched);
    if (isExpired && (watched.state.kind !== 'held' || (nowMs < untilMs - 2 && !watched.isUnclear))) {
      throw new Violation('hold', `${workload.instance} was ended ${untilMs - nowMs} ms before its budget`);
    }
    this.#world.auditor.ended(workload.instance, isExpired ? 'hold-expired' : 'unknown-workload');
  }
}
