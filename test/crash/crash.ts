import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { childrenOf } from '../../fixtures/lab/program.js';
import { openWorld, type World } from '../../fixtures/lab/world.js';
import { Random } from '../../shim/program/random.js';
import { Witness } from '../e2e/witness.js';
import type { Verdict } from '../load/books.js';
import { keepIfWrong } from '../load/kept.js';
import { Load } from '../load/load.js';
import { machineMs } from '../load/plan.js';
import { firstAnswerMs, type Hit, longestMs, type Span, type Spread, spansHit, spreadOf } from './answers.js';
import { type BlowKind, Blows, type PlantKind } from './blows.js';

export interface CrashOptions {
  readonly sessions: number;
  /** Applications, each with a shim and a link of its own. */
  readonly workloads: number;
  readonly kills: number;
  /** Of each other kind of end, besides the kills. */
  readonly others: Readonly<Record<Exclude<BlowKind, 'kill'>, number>>;
  readonly upgrades: number;
  /** For all blows together. */
  readonly durationMs: number;
  readonly seed: number;
  readonly stallMs: number;
  readonly plant: PlantKind;
  /** More options for the proxy. */
  readonly proxyOptions: readonly string[];
  /** Something to tell people, now and then. */
  readonly say: (text: string) => void;
}

export type HitKind = BlowKind | 'upgrade';

/** What came of one kind of hit. */
export interface HitRow {
  readonly kind: HitKind;
  readonly count: number;
  /** From the hit to the first answer of the next worker, at each application; of an upgrade the longest call during it. */
  readonly firstAnswerMs: Spread;
  /** Sessions that ended. */
  readonly ended: number;
}

export interface CrashResult extends Verdict {
  readonly ok: boolean;
  readonly seed: number;
  readonly seconds: number;
  readonly sessions: number;
  readonly workloads: number;
  readonly kills: number;
  readonly upgrades: number;
  /** The same of SIGKILL alone: what the product promises. */
  readonly firstAnswerMs: Spread;
  readonly hits: readonly HitRow[];
  /** Sessions that ended, told by their applications; the proxy has told each with a code. */
  readonly endedSessions: number;
  readonly endedSessionsMax: number;
  /** What the proxy said of sessions that it could not go on with, by code. */
  readonly endedCodes: Readonly<Record<string, number>>;
  /** Sessions in a transaction that had written something, when a worker was hit. */
  readonly inTransaction: { readonly least: number; readonly middle: number };
  /** Transactions that were committed, those of them that went over hits, and the most hits that one went over. */
  readonly transactions: number;
  readonly transactionsHit: number;
  readonly hitsInTransaction: number;
  readonly rolledBackOnPurpose: number;
  readonly rows: number;
  readonly calls: number;
  readonly bigFetches: number;
  readonly lobs: number;
  /** Steps (of every kind) during which a worker was hit. */
  readonly stepsHit: Readonly<Record<string, number>>;
  readonly wrongReads: number;
  /** Where logs are, when something was wrong. */
  readonly kept: string | undefined;
}

const noteBytes = { rows: 2_000, lobs: 100_000, filled: 4_000 } as const;
const filledRows = 600;
const mix = { insert: 10, insertMany: 2, readBack: 1, fetch: 2, writeLob: 2, readLob: 2 } as const;
const shape = { mix, stepsMax: 40, arrayRowsMax: 200, pauseMsMax: 400, pulseMs: 10 } as const;

const sayMs = 5_000;
/** A worker that does not come back within this time has ended the run. */
const workerMsMax = 90_000;
/** Now and then the next one is hit while it takes over. */
const soonChance = 0.1;
const soonMs = 150;
/** However slow the machine is: workers that are killed as soon as they serve are not started for ever. */
const longestMsMin = 1_000;
const servesText = '"a worker serves"';
/** The one way in which a killed worker may end a session: it had read bytes of the database, and not put them down. */
const windowCode = 'takeover-bytes-lost';
/** After the last hit: for its first answers. */
const settleMs = 3_000;

/** Real applications in transactions, and a proxy whose workers are killed and replaced all the time. */
export class Crash {
  readonly #options: CrashOptions;
  readonly #world: World;
  readonly #witness: Witness;
  readonly #load: Load;
  readonly #blows: Blows;
  readonly #random: Random;
  readonly #hits: Hit<HitKind>[] = [];
  readonly #writers: number[] = [];
  #sayAtMs = 0;
  /** From a kill until the next worker serves, of late. */
  #recoveryMs = 0;

  private constructor(options: CrashOptions, world: World, witness: Witness, load: Load, blows: Blows) {
    this.#options = options;
    this.#world = world;
    this.#witness = witness;
    this.#load = load;
    this.#blows = blows;
    this.#random = new Random(options.seed);
  }

  static async run(options: CrashOptions): Promise<CrashResult> {
    const { workloads, sessions, seed, stallMs, proxyOptions, plant } = options;
    const blows = new Blows(plant);
    try {
      const world = await openWorld({ mover: 'relink', proxyFlags: blows.flags, proxyOptions });
      try {
        const witness = await Witness.open(world.postgresUrl);
        try {
          const proxies = Array.from({ length: workloads }, () => world.proxyAddress);
          const books = { noteBytes, filledRows, stallMs, mayLose: true };
          const load = await Load.start({
            world,
            witness,
            name: 'crash',
            proxies,
            sessions,
            shape: { ...shape, seed },
            ...books,
          });
          return await new Crash(options, world, witness, load, blows).#run();
        } finally {
          await witness.close();
        }
      } finally {
        await world.close();
      }
    } finally {
      blows.close();
    }
  }

  async #run(): Promise<CrashResult> {
    const { say } = this.#options;
    const before = await this.#witness.sessions();
    say(`${before.size} sessions are at work`);
    const beganMs = performance.now();
    try {
      await this.#upgrade();
      await this.#strike();
      await setTimeout(settleMs);
    } catch (error) {
      this.#load.trouble(error instanceof Error ? error.message : String(error));
    }
    const after = await this.#witness.sessions();
    say('the applications are told to stop');
    await this.#load.end();
    const seconds = Math.round((performance.now() - beganMs) / 1_000);
    const gone = [...before].filter(([name, pid]) => after.get(name) !== pid).length;
    return this.#result(seconds, gone);
  }

  /** One worker after the other lets go in order. */
  async #upgrade(): Promise<void> {
    for (let number = 1; number <= this.#options.upgrades; number += 1) {
      const worker = await this.#serving();
      await this.#noteWriters();
      const atMs = machineMs();
      const { code, stderr } = await this.#world.holdfast('proxy upgrade', '--json');
      if (code !== 0) throw new Error(`upgrade ${number} ended with ${code}: ${stderr.trim()}`);
      if ((await this.#serving()) === worker) throw new Error(`upgrade ${number} has changed nothing`);
      this.#hits.push({ kind: 'upgrade', atMs, untilMs: machineMs() });
      this.#look('upgrades', number);
    }
  }

  async #strike(): Promise<void> {
    const plan = this.#plan();
    const untilMs = performance.now() + this.#options.durationMs;
    for (const [index, kind] of plan.entries()) {
      // Most are hit while they serve, some while they take over from the one before.
      const isSoon = kind === 'kill' && this.#random.chance(soonChance);
      const worker = await (isSoon ? this.#newest() : this.#serving());
      const meanMs = Math.max(0, untilMs - performance.now()) / (plan.length - index);
      await setTimeout(
        this.#random.unit() * (isSoon ? soonMs : Math.max(longestMsMin, 2 * (meanMs - this.#recoveryMs))),
      );
      await this.#noteWriters();
      const atMs = machineMs();
      this.#blows.strike(worker, kind);
      this.#hits.push({ kind, atMs });
      await this.#until('its end', async () => !childrenOf(this.#proxy).includes(worker));
      if (!isSoon && kind === 'kill') {
        await this.#serving();
        this.#recoveryMs += (machineMs() - atMs - this.#recoveryMs) / 4;
      }
      this.#look('kills and other ends', index + 1);
    }
    await this.#serving();
  }

  /** The other kinds are spread over the kills. */
  #plan(): readonly BlowKind[] {
    const { kills, others } = this.#options;
    const plan: BlowKind[] = Array.from({ length: kills }, () => 'kill');
    for (const [kind, count] of Object.entries(others)) {
      for (let index = 0; index < count; index += 1)
        plan.splice(this.#random.below(plan.length + 1), 0, kind as BlowKind);
    }
    return plan;
  }

  get #proxy(): number {
    return this.#world.proxy.child.pid ?? 0;
  }

  /** Waits for a worker that serves. @returns its process id */
  #serving(): Promise<number> {
    return this.#until('a worker that serves', async () => {
      const told = this.#world.proxy.stderr;
      const line = told.slice(told.lastIndexOf('\n', told.lastIndexOf(servesText)) + 1);
      const pid = Number(/"worker":(\d+)/.exec(line)?.[1]);
      return childrenOf(this.#proxy).includes(pid) && pid;
    });
  }

  /** The worker that was started last. */
  #newest(): Promise<number> {
    return this.#until('a worker', async () => childrenOf(this.#proxy).at(-1) ?? false);
  }

  async #until<Found>(what: string, probe: () => Promise<Found | false>): Promise<Found> {
    const deadlineMs = performance.now() + workerMsMax;
    for (;;) {
      const found = await probe();
      if (found !== false) return found;
      if (this.#world.proxy.child.exitCode !== null || this.#world.proxy.child.signalCode !== null) {
        throw new Error('the proxy itself has ended');
      }
      if (performance.now() > deadlineMs) throw new Error(`${what}: not within ${workerMsMax} ms`);
      await setTimeout(5);
    }
  }

  async #noteWriters(): Promise<void> {
    this.#writers.push((await this.#witness.writers()).length);
  }

  /** Throws when there is trouble: going on would only hide its cause. */
  #look(what: string, count: number): void {
    this.#load.look();
    const { troubles, reports } = this.#load;
    if (troubles.length > 0) throw new Error(`stopped after ${count} ${what}`);
    if (performance.now() < this.#sayAtMs) return;
    this.#sayAtMs = performance.now() + sayMs;
    const ended = reports.all('lost').length;
    this.#options.say(`${count} ${what}, ${reports.all('transaction').length} transactions, ${ended} sessions ended`);
  }

  async #result(seconds: number, gone: number): Promise<CrashResult> {
    const { reports } = this.#load;
    const { seed, sessions, workloads, say } = this.#options;
    const told = reports.all('transaction');
    const verdict = await this.#load.verdict();
    const rows = this.#rows();
    const ended = reports.all('lost').length;
    const kills = this.#hits.filter(({ kind }) => kind === 'kill').length;
    const over = spansHit(told.filter(({ committed }) => committed).map(spanOf), this.#hits);
    const figures = {
      kills,
      upgrades: this.#hits.filter(({ kind }) => kind === 'upgrade').length,
      endedSessions: ended,
      endedSessionsMax: Math.ceil(kills / 100),
      endedCodes: this.#endedCodes(),
      inTransaction: { least: Math.min(...this.#writers), middle: spreadOf(this.#writers).p50 },
      transactionsHit: over.count,
    };
    const violations = [...this.#load.troubles, ...verdict.violations, ...this.#wrong(figures, rows, gone)];
    const ok = violations.length === 0;
    const kept = keepIfWrong('crash', ok, this.#world.directory, say);
    return {
      ok,
      seed,
      seconds,
      sessions,
      workloads,
      ...figures,
      firstAnswerMs: rows.find(({ kind }) => kind === 'kill')?.firstAnswerMs ?? spreadOf([]),
      hits: rows,
      hitsInTransaction: over.most,
      ...reports.tally(),
      stepsHit: this.#stepsHit(),
      ...verdict,
      violations,
      kept,
    };
  }

  /** What makes a run bad beside what the books say. */
  #wrong(
    figures: Pick<
      CrashResult,
      'kills' | 'upgrades' | 'endedSessions' | 'endedSessionsMax' | 'endedCodes' | 'inTransaction'
    >,
    rows: readonly HitRow[],
    gone: number,
  ): readonly string[] {
    const { kills, upgrades, sessions } = this.#options;
    const { endedSessions, endedSessionsMax, endedCodes, inTransaction } = figures;
    const endedByUpgrade = rows.find(({ kind }) => kind === 'upgrade')?.ended ?? 0;
    const wrong: string[] = [];
    if (figures.kills < kills) wrong.push(`only ${figures.kills} of ${kills} kills`);
    if (figures.upgrades < upgrades) wrong.push(`only ${figures.upgrades} of ${upgrades} upgrades`);
    if (endedSessions > endedSessionsMax)
      wrong.push(`${endedSessions} sessions ended, at most ${endedSessionsMax} may`);
    if (endedByUpgrade > 0) wrong.push(`${endedByUpgrade} sessions ended by upgrades`);
    const codes = Object.entries(endedCodes).map(([code, count]) => `${count} ${code}`);
    // More may have been told of: a session that was only just being made has no transaction to lose.
    if (endedSessions > (endedCodes[windowCode] ?? 0) || codes.some((code) => !code.endsWith(windowCode))) {
      wrong.push(`${endedSessions} sessions ended, and the proxy told of ${codes.join(', ') || 'none'}`);
    }
    if (gone > endedSessions) wrong.push(`${gone} sessions are not those of the beginning, ${endedSessions} were told`);
    // Otherwise nothing was proved.
    if (this.#writers.length > 0 && inTransaction.middle < sessions / 2) {
      wrong.push(`only ${inTransaction.middle} of ${sessions} sessions were in a transaction when workers were hit`);
    }
    return wrong;
  }

  #rows(): readonly HitRow[] {
    const { reports } = this.#load;
    const calls = new Map<number, Span[]>();
    for (const { session, calls: more } of reports.all('pulse')) {
      const all = calls.get(session) ?? [];
      for (const call of more) all.push(call);
      calls.set(session, all);
    }
    const lost = reports.all('lost');
    const kinds = [...new Set(this.#hits.map(({ kind }) => kind))];
    return kinds.map((kind) => {
      const hits = this.#hits.filter((hit) => hit.kind === kind);
      const answers = hits.flatMap(({ atMs, untilMs }) =>
        [...calls.values()].map((each) =>
          untilMs === undefined ? firstAnswerMs(each, atMs) : longestMs(each, atMs, untilMs),
        ),
      );
      const ended = lost.filter(({ atMs }) => this.#hits.findLast((hit) => hit.atMs < atMs)?.kind === kind);
      const told = answers.filter((answer) => answer !== undefined);
      return { kind, count: hits.length, firstAnswerMs: spreadOf(told), ended: ended.length };
    });
  }

  #endedCodes(): Readonly<Record<string, number>> {
    const codes: Record<string, number> = {};
    const log = readFileSync(join(this.#world.directory, 'holdfast-proxy.log'), 'utf8');
    for (const [, code = ''] of log.matchAll(/^.*"code":"(takeover-[a-z-]+)"/gm)) codes[code] = (codes[code] ?? 0) + 1;
    return codes;
  }

  #stepsHit(): Readonly<Record<string, number>> {
    const steps: Record<string, number> = {};
    for (const slow of this.#load.reports.all('slow')) {
      if (spansHit([spanOf(slow)], this.#hits).count > 0) steps[slow.step] = (steps[slow.step] ?? 0) + 1;
    }
    return steps;
  }
}

function spanOf({ beganMs, endedMs }: { readonly beganMs: number; readonly endedMs: number }): Span {
  return [beganMs, endedMs];
}
