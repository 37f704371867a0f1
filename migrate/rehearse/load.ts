import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import type { Operation } from '../judge/history.js';
import { RehearseError } from './errors.js';
import { HistoryFile, operationsIn } from './history-file.js';
import type { ApplicationEvent, ApplicationPlan, WorkloadKind } from './plan.js';

export interface LoadShape {
  readonly prefix: string;
  readonly seed: number;
  /** Applications, each a workload of its own. */
  readonly applications: number;
  /** Of all applications together. */
  readonly sessions: number;
  readonly kinds: readonly WorkloadKind[];
  readonly pauseMsMax: number;
  /** Of each session; 0: until it is told to stop. */
  readonly transactions: number;
}

/** Starts an application, and says where what it prints can be read. */
export type Launch = (name: string, plan: ApplicationPlan) => Promise<string>;

const pollMs = 50;
const startMsMax = 60_000;

/** Applications at work, and what they have told. */
export class Load {
  readonly #stopFile: string;
  readonly #files: readonly HistoryFile[];
  readonly names: readonly string[];

  private constructor(stopFile: string, names: readonly string[], files: readonly HistoryFile[]) {
    this.#stopFile = stopFile;
    this.names = names;
    this.#files = files;
  }

  /** Resolves when every session is connected. @throws {RehearseError} load-stuck */
  static async start(shape: LoadShape, directory: string, launch: Launch): Promise<Load> {
    const stopFile = join(directory, `${shape.prefix}-stop`);
    rmSync(stopFile, { force: true });
    const { applications, sessions, prefix, seed, kinds, pauseMsMax, transactions } = shape;
    const names: string[] = [];
    const files: HistoryFile[] = [];
    for (let index = 0, first = 1; index < applications; index += 1) {
      const own = Math.floor((sessions * (index + 1)) / applications) + 1 - first;
      const plan = { prefix, seed, kinds, pauseMsMax, transactions, stopFile, first, sessions: own };
      const name = `${prefix.toLowerCase().replaceAll('_', '-')}-${index + 1}`;
      names.push(name);
      files.push(new HistoryFile(await launch(name, plan)));
      first += own;
    }
    const load = new Load(stopFile, names, files);
    await load.#all('ready', startMsMax);
    return load;
  }

  /** Everything that was told so far, of one application after the other. */
  events(): readonly ApplicationEvent[] {
    for (const file of this.#files) file.read();
    return this.#files.flatMap(({ events }) => events);
  }

  eventsByName(): ReadonlyMap<string, readonly ApplicationEvent[]> {
    return new Map(this.names.map((name, index) => [name, this.#files[index]?.events ?? []]));
  }

  /** All have done what they were to do. */
  get isDone(): boolean {
    this.events();
    return this.#files.every(({ events }) => events.some(({ type }) => type === 'done'));
  }

  operations(): readonly Operation[] {
    return operationsIn(this.events());
  }

  /** How many transactions were committed so far, as they say. */
  committed(): number {
    return this.events().reduce((sum, { type }) => sum + (type === 'ok' ? 1 : 0), 0);
  }

  /** Resolves when all have done what they were to do. @throws {RehearseError} load-stuck */
  finish(withinMs: number): Promise<void> {
    return this.#all('done', withinMs);
  }

  /** Tells them to stop, and waits until they have. @throws {RehearseError} load-stuck */
  async stop(withinMs: number): Promise<void> {
    writeFileSync(this.#stopFile, '');
    await this.finish(withinMs);
  }

  async #all(type: 'ready' | 'done', withinMs: number): Promise<void> {
    const deadlineMs = performance.now() + withinMs;
    for (;;) {
      this.events();
      const missing = this.#files.findIndex(({ events }) => !events.some((event) => event.type === type));
      if (missing < 0) return;
      if (performance.now() > deadlineMs) {
        const { strange = [], events = [] } = this.#files[missing] ?? {};
        const words = [...strange, JSON.stringify(events.at(-1))].slice(-3).join(' ');
        const who = this.names[missing];
        throw new RehearseError(
          'load-stuck',
          `${who} is not ${type} after ${Math.round(withinMs / 1_000)} s: ${words}`,
        );
      }
      await setTimeout(pollMs);
    }
  }
}
