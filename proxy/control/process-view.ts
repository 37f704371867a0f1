import type { Takeover } from '../takeover/takeover.js';

/** What happened to the processes of the proxy, as far as this worker knows. */
export class ProcessView {
  readonly startedAt = new Date();
  #before: 'none' | 'crashed' | 'released' = 'none';
  #taken: Takeover['count'] = { sessions: 0, lost: 0 };
  #alarm: { readonly alarm: string; readonly why: string; readonly at: string } | undefined;

  /** @param taken undefined when nothing is ever put down */
  tookOver(taken: Takeover | undefined, crashed: boolean): void {
    if (crashed || (taken?.workloads.length ?? 0) > 0) this.#before = crashed ? 'crashed' : 'released';
    this.#taken = taken?.count ?? this.#taken;
  }

  /** Something an operator should know of. */
  alarm(alarm: string, why: string): void {
    this.#alarm = { alarm, why, at: new Date().toISOString() };
  }

  row() {
    return {
      keeperPid: process.ppid,
      workerPid: process.pid,
      startedAt: this.startedAt.toISOString(),
      /** What became of the worker before this one. */
      before: this.#before,
      taken: this.#taken,
      ...(this.#alarm === undefined ? {} : { alarm: this.#alarm }),
    };
  }
}
