import type { Program } from '../../fixtures/lab/program.js';
import type { LoadEvent } from './plan.js';

export type Told<Kind extends LoadEvent['kind']> = Extract<LoadEvent, { kind: Kind }>;

/** What the applications have told so far. Every line is read once, however long a run lasts. */
export class Reports {
  readonly #applications: readonly Program[];
  readonly #readTo = new Map<Program, number>();
  readonly #events: LoadEvent[] = [];
  /** When each session has told of something last. */
  readonly #heardAtMs = new Map<number, number>();

  /** @param sessions numbers of the sessions that there are */
  constructor(applications: readonly Program[], sessions: readonly number[]) {
    this.#applications = applications;
    for (const session of sessions) this.#heardAtMs.set(session, performance.now());
  }

  all<Kind extends LoadEvent['kind']>(kind: Kind): readonly Told<Kind>[] {
    return this.#events.filter((event): event is Told<Kind> => event.kind === kind);
  }

  /** What was done in all. */
  tally() {
    const told = this.all('transaction');
    const done = this.all('done');
    return {
      transactions: told.filter(({ committed }) => committed).length,
      rolledBackOnPurpose: told.filter(({ committed }) => !committed).length,
      rows: sumOf(told, ({ rows }) => rows),
      calls: sumOf(done, ({ calls }) => calls),
      bigFetches: sumOf(done, ({ fetches }) => fetches),
      lobs: sumOf(done, ({ lobs }) => lobs),
      wrongReads: this.all('wrong').length,
    };
  }

  /** Reads what is new. */
  read(): void {
    for (const application of this.#applications) {
      const { stdout } = application;
      const from = this.#readTo.get(application) ?? 0;
      const to = stdout.lastIndexOf('\n') + 1;
      if (to <= from) continue;
      this.#readTo.set(application, to);
      for (const line of stdout.slice(from, to).trimEnd().split('\n')) this.#add(JSON.parse(line));
    }
  }

  /** Sessions that have said nothing for so long. */
  silent(forMs: number): readonly number[] {
    const sinceMs = performance.now() - forMs;
    return [...this.#heardAtMs].filter(([, atMs]) => atMs < sinceMs).map(([session]) => session);
  }

  #add(event: LoadEvent): void {
    this.#events.push(event);
    if ('session' in event) this.#heardAtMs.set(event.session, performance.now());
  }
}

export function sumOf<Item>(items: readonly Item[], of: (item: Item) => number): number {
  return items.reduce((sum, item) => sum + of(item), 0);
}
