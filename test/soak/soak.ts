import { setTimeout } from 'node:timers/promises';
import { openWorld, type World } from '../../fixtures/lab/world.js';
import type { WorkloadRow } from '../../proxy/control/contract.js';
import { randomFrom } from '../../shim/program/random.js';
import { type FaultKind, FaultSwitch } from '../e2e/faults/switch.js';
import { Relay } from '../e2e/relay.js';
import { Witness } from '../e2e/witness.js';
import type { Verdict } from '../load/books.js';
import { keepIfWrong } from '../load/kept.js';
import { Load } from '../load/load.js';
import { sumOf } from '../load/reports.js';
import { type Growth, growthOf, residentBytes, type Sample } from './resident.js';

export interface SoakOptions {
  readonly durationMs: number;
  readonly sessions: number;
  /** Applications, each with a shim and a link of its own. */
  readonly workloads: number;
  readonly cutsPerSecond: number;
  readonly seed: number;
  readonly pauseMsMax: number;
  /** A session that does nothing for so long is lost. */
  readonly stallMs: number;
  /** One byte from the database is spoilt: the run must fail. Needs `installFaults` before. */
  readonly fault?: { readonly kind: FaultKind; readonly directory: string };
  /** Something to tell people, now and then. */
  readonly say: (text: string) => void;
}

export interface SoakResult extends Verdict {
  readonly ok: boolean;
  readonly seed: number;
  readonly seconds: number;
  readonly sessions: number;
  readonly workloads: number;
  readonly cuts: number;
  readonly binds: number;
  readonly replayedBytes: number;
  /** Committed, and rolled back by the application on purpose. */
  readonly transactions: number;
  readonly rolledBackOnPurpose: number;
  readonly rows: number;
  readonly calls: number;
  readonly bigFetches: number;
  /** Sessions that got an error, stood still, or whose process in PostgreSQL was another one at the end. */
  readonly lostSessions: number;
  /** Times that an application read something else than it had written. */
  readonly wrongReads: number;
  readonly memory: readonly ({ readonly process: string } & Growth)[];
  /** Where logs are, when something was wrong. */
  readonly kept: string | undefined;
}

const noteBytes = { rows: 400, lobs: 20_000, filled: 400 } as const;
/** Most steps are single rows; arrays and big fetches come often enough to be under way at many cuts. */
const mix = { insert: 30, insertMany: 0.5, readBack: 1, fetch: 0.2, writeLob: 0.3, readLob: 0.3 } as const;
const sampleMs = 1_000;
const sayMs = 10_000;
/** A cut comes within so many bytes of the moment it is asked for. */
const cutBytesMax = 20_000;

/** Applications that never stop, over links that are cut all the time, and the books about it. */
export class Soak {
  readonly #options: SoakOptions;
  readonly #world: World;
  readonly #witness: Witness;
  readonly #random: () => number;
  readonly #relays: readonly Relay[];
  readonly #load: Load;
  readonly #watched = new Map<string, { readonly pid: number; readonly samples: Sample[] }>();
  #isEnding = false;

  private constructor(options: SoakOptions, world: World, witness: Witness, relays: readonly Relay[], load: Load) {
    this.#options = options;
    this.#world = world;
    this.#witness = witness;
    this.#random = randomFrom(options.seed);
    this.#relays = relays;
    this.#load = load;
    for (const [name, pid] of load.shims) this.#watched.set(name, { pid, samples: [] });
    this.#watched.set('proxy', { pid: world.proxy.workerPid, samples: [] });
  }

  static async run(options: SoakOptions): Promise<SoakResult> {
    const world = await openWorld({ mover: 'relink' });
    try {
      const witness = await Witness.open(world.postgresUrl);
      const relays: Relay[] = [];
      try {
        for (let index = 0; index < options.workloads; index += 1) relays.push(await Relay.open(world.proxyAddress));
        const load = await startLoad(options, world, witness, relays);
        return await new Soak(options, world, witness, relays, load).#run();
      } finally {
        for (const relay of relays) await relay.close();
        await witness.close();
      }
    } finally {
      await world.close();
    }
  }

  async #run(): Promise<SoakResult> {
    const { durationMs, fault, say } = this.#options;
    const sessions = await this.#witness.sessions();
    say(`${sessions.size} sessions are at work`);
    if (fault !== undefined) {
      new FaultSwitch(fault.directory, 'soak-1', { kind: fault.kind, direction: 'down' }).arm();
    }
    const beganMs = performance.now();
    const cutting = this.#cut();
    await this.#watch(beganMs + durationMs);
    this.#isEnding = true;
    await cutting;
    const after = await this.#witness.sessions();
    const links = await this.#links();
    say('the applications are told to stop');
    await this.#load.end();
    const seconds = Math.round((performance.now() - beganMs) / 1_000);
    return this.#result(seconds, sessions, after, links);
  }

  /** Cuts links one by one, at any byte, until the run ends. */
  async #cut(): Promise<void> {
    const { cutsPerSecond } = this.#options;
    while (!this.#isEnding) {
      await setTimeout((this.#random() * 2_000) / cutsPerSecond);
      const relay = this.#relays[Math.floor(this.#random() * this.#relays.length)];
      // Many right away, in the handshake of the link before, and some later.
      if (relay !== undefined) relay.bytesUntilCut = Math.floor(this.#random() ** 3 * cutBytesMax);
    }
    for (const relay of this.#relays) relay.bytesUntilCut = Number.POSITIVE_INFINITY;
  }

  /** Looks at memory and at progress every second, until the time or the patience is over. */
  async #watch(untilMs: number): Promise<void> {
    let sayAtMs = performance.now() + sayMs;
    while (performance.now() < untilMs && this.#load.troubles.length === 0) {
      await setTimeout(Math.min(sampleMs, Math.max(0, untilMs - performance.now())));
      this.#sample();
      this.#load.look();
      if (performance.now() < sayAtMs) continue;
      sayAtMs += sayMs;
      const leftSeconds = Math.max(0, Math.round((untilMs - performance.now()) / 1_000));
      this.#options.say(
        `${this.#cuts} cuts, ${this.#load.reports.all('transaction').length} transactions, ${leftSeconds} s to go`,
      );
    }
  }

  #sample(): void {
    for (const { pid, samples } of this.#watched.values()) {
      const resident = residentBytes(pid);
      if (resident !== undefined) samples.push({ atMs: performance.now(), bytes: resident.now });
    }
  }

  async #result(
    seconds: number,
    before: ReadonlyMap<string, number>,
    after: ReadonlyMap<string, number>,
    links: readonly WorkloadRow[],
  ): Promise<SoakResult> {
    const { seed, sessions, workloads, say } = this.#options;
    const verdict = await this.#load.verdict();
    const gone = [...before].filter(([name, pid]) => after.get(name) !== pid).map(([name]) => name);
    const memory = [...this.#watched].map(([process, { samples }]) => ({ process, ...growthOf(samples) }));
    const growing = memory.filter(({ isFlat }) => isFlat === false).map(({ process }) => `${process} grows`);
    const ended = gone.map((name) => `${name} has another process in PostgreSQL, or none`);
    const violations = [...new Set([...this.#load.troubles, ...ended, ...verdict.violations, ...growing])];
    const ok = violations.length === 0;
    const kept = keepIfWrong('soak', ok, this.#world.directory, say);
    return {
      ok,
      seed,
      seconds,
      sessions,
      workloads,
      cuts: this.#cuts,
      binds: sumOf(links, ({ epoch }) => epoch),
      replayedBytes: sumOf(links, ({ replayedBytes }) => replayedBytes),
      ...this.#load.reports.tally(),
      ...verdict,
      violations,
      lostSessions: Math.max(this.#load.reports.all('lost').length, gone.length),
      memory,
      kept,
    };
  }

  get #cuts(): number {
    return this.#relays.reduce((sum, { cuts }) => sum + cuts, 0);
  }

  /** What the proxy says of every application. */
  async #links(): Promise<readonly WorkloadRow[]> {
    const { stdout } = await this.#world.holdfast('workloads', '--json');
    const rows: readonly { readonly link: WorkloadRow }[] = JSON.parse(stdout);
    return rows.map(({ link }) => link);
  }
}

function startLoad(
  { sessions, seed, pauseMsMax, stallMs }: SoakOptions,
  world: World,
  witness: Witness,
  relays: readonly Relay[],
): Promise<Load> {
  return Load.start({
    world,
    witness,
    name: 'soak',
    proxies: relays.map(({ address }) => address),
    sessions,
    shape: { mix, stepsMax: 30, arrayRowsMax: 300, pauseMsMax, pulseMs: 0, seed },
    noteBytes,
    filledRows: 2_000,
    stallMs,
  });
}
