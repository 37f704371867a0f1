import type { Takeover } from '../takeover/takeover.js';

/** What happened to the processes of the proxy, as far as this worker knows. */
export class ProcessView {
  readonly startedAt = new Date();
  #before: 'none' | 'crashed' | 'released' = 'none';
  #taken = { sessions: 0, lost: 0 };
  #alarm: { readonly alarm: string; readonly why: string; readonly at: string } | undefined;

  /** @param taken undefined when nothing is ever put down */
  tookOver(taken: Takeover | undefined, crashed: boolean): void {
    const workloads = taken?.workloads ?? [];
    if (workloads.length > 0 || crashed) this.#before = crashed ? 'crashed' : 'released';
    const sessions = workloads.reduce((sum, each) => sum + each.sessions.length, 0);
    const lost = workloads.reduce((sum, each) => sum + each.lost.length, 0);
    this.#taken = { sessions, lost };
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
