import { cpSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import oracledb from 'oracledb';
import { idsPerConnection } from '../../fixtures/apps/rows.js';
import type { Program } from '../../fixtures/lab/program.js';
import { account, node, openWorld, type World } from '../../fixtures/lab/world.js';
import type { WorkloadRow } from '../../proxy/control/contract.js';
import { type FaultKind, FaultSwitch } from '../e2e/faults/switch.js';
import { Relay } from '../e2e/relay.js';
import { runShim } from '../e2e/shim.js';
import { Witness } from '../e2e/witness.js';
import { randomFrom } from '../random.js';
import { judge, type Verdict } from './books.js';
import { Reports } from './reports.js';
import { type Growth, growthOf, residentBytes, type Sample } from './resident.js';
import type { WorkerPlan } from './worker.js';

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

const noteBytes = 400;
const shards = 5;
const table = 'soak';
const counters = 'soak_counters';
const filledTable = 'soak_filled';
const startMsMax = 60_000;
const sampleMs = 1_000;
const sayMs = 10_000;
/** A cut comes within so many bytes of the moment it is asked for. */
const cutBytesMax = 20_000;
/** For the last transactions, once the applications have been told to stop. */
const endMsMax = 120_000;
/** The same where something is wrong already. */
const troubleMsMax = 3_000;

/** Applications that never stop, over links that are cut all the time, and the books about it. */
export class Soak {
  readonly #options: SoakOptions;
  readonly #world: World;
  readonly #witness: Witness;
  readonly #random: () => number;
  readonly #relays: Relay[] = [];
  readonly #applications: Program[] = [];
  readonly #watched = new Map<string, { readonly pid: number; readonly samples: Sample[] }>();
  readonly #troubles: string[] = [];
  readonly #reports: Reports;
  #isEnding = false;

  private constructor(options: SoakOptions, world: World, witness: Witness) {
    this.#options = options;
    this.#world = world;
    this.#witness = witness;
    this.#random = randomFrom(options.seed);
    const sessions = Array.from({ length: options.sessions }, (_, index) => index + 1);
    this.#reports = new Reports(this.#applications, sessions);
  }

  static async run(options: SoakOptions): Promise<SoakResult> {
    const world = await openWorld({ mover: 'relink' });
    try {
      const witness = await Witness.open(world.postgresUrl);
      try {
        const soak = new Soak(options, world, witness);
        return await soak.#run();
      } finally {
        await witness.close();
      }
    } finally {
      await world.close();
    }
  }

  async #run(): Promise<SoakResult> {
    const { durationMs, say } = this.#options;
    await this.#prepare();
    const sessions = await this.#allAtWork();
    say(`${sessions.size} sessions are at work`);
    const beganMs = performance.now();
    const cutting = this.#cut();
    await this.#watch(beganMs + durationMs);
    this.#isEnding = true;
    await cutting;
    const after = await this.#witness.sessions();
    const links = await this.#links();
    writeFileSync(this.#stopFile, '');
    say('the applications have been told to stop');
    await this.#awaitEnd();
    const seconds = Math.round((performance.now() - beganMs) / 1_000);
    const result = await this.#result(seconds, sessions, after, links);
    for (const relay of this.#relays) await relay.close();
    return result;
  }

  /** A session has a process in PostgreSQL from its first statement on. */
  async #allAtWork(): Promise<ReadonlyMap<string, number>> {
    const deadlineMs = performance.now() + startMsMax;
    for (;;) {
      const sessions = await this.#witness.sessions();
      if (sessions.size >= this.#options.sessions) return sessions;
      if (performance.now() > deadlineMs)
        throw new Error(`only ${sessions.size} sessions began within ${startMsMax} ms`);
      await setTimeout(100);
    }
  }

  get #stopFile(): string {
    return join(this.#world.directory, 'stop');
  }

  /** Tables, shims behind relays, applications. */
  async #prepare(): Promise<void> {
    const { workloads, sessions, seed, pauseMsMax, fault } = this.#options;
    const filled = { firstId: 900 * idsPerConnection, rows: 2_000 };
    await this.#createTables(filled);
    for (let index = 0; index < workloads; index += 1) {
      const name = `soak-${index + 1}`;
      const relay = await Relay.open(this.#world.proxyAddress);
      this.#relays.push(relay);
      const shim = await runShim(this.#world, name, relay.address);
      this.#watched.set(`${name} shim`, { pid: shim.program.child.pid ?? 0, samples: [] });
      const [first, next] = [index, index + 1].map((each) => Math.floor((each * sessions) / workloads));
      const plan: WorkerPlan = {
        table,
        counters,
        shards,
        noteBytes,
        first: (first ?? 0) + 1,
        sessions: (next ?? 0) - (first ?? 0),
        seed,
        pauseMsMax,
        stopFile: this.#stopFile,
        filled: { table: filledTable, ...filled },
      };
      const { user, password, service } = account;
      const worker = new URL('./worker.js', import.meta.url).pathname;
      const command = node(worker, `${shim.listen}/${service}`, user, password, JSON.stringify(plan));
      this.#applications.push(this.#world.start(name, 'center', command));
    }
    this.#watched.set('proxy', { pid: this.#world.proxy.child.pid ?? 0, samples: [] });
    for (const application of this.#applications) await application.printed(/"kind":"ready"/);
    if (fault !== undefined) {
      new FaultSwitch(fault.directory, 'soak-1', { kind: fault.kind, direction: 'down' }).arm();
    }
  }

  async #createTables(filled: { readonly firstId: number; readonly rows: number }): Promise<void> {
    const { user, password, service } = account;
    const connectString = `${this.#world.databaseAddress}/${service}`;
    const connection = await oracledb.getConnection({ user, password, connectString });
    const columns = `id NUMBER(10), note VARCHAR2(${noteBytes}), txn NUMBER(10)`;
    for (const name of [table, filledTable]) {
      // No primary key: a row that is inserted twice must be there twice.
      await connection.execute(`CREATE TABLE ${name} (${columns})`);
      await connection.execute(`CREATE INDEX ${name}_id ON ${name} (id)`);
    }
    await connection.execute(`CREATE TABLE ${counters} (id NUMBER(10) PRIMARY KEY, n NUMBER(12))`);
    for (let id = 0; id < shards; id += 1) await connection.execute(`INSERT INTO ${counters} VALUES (${id}, 0)`);
    await connection.commit();
    await connection.close();
    await this.#witness.noteMakers(table);
    await this.#witness.fill(filledTable, filled, noteBytes);
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
    while (performance.now() < untilMs && this.#troubles.length === 0) {
      await setTimeout(Math.min(sampleMs, Math.max(0, untilMs - performance.now())));
      this.#sample();
      this.#look();
      if (performance.now() < sayAtMs) continue;
      sayAtMs += sayMs;
      const leftSeconds = Math.max(0, Math.round((untilMs - performance.now()) / 1_000));
      this.#options.say(
        `${this.#cuts} cuts, ${this.#reports.all('transaction').length} transactions, ${leftSeconds} s to go`,
      );
    }
  }

  #sample(): void {
    for (const { pid, samples } of this.#watched.values()) {
      const resident = residentBytes(pid);
      if (resident !== undefined) samples.push({ atMs: performance.now(), bytes: resident.now });
    }
  }

  /** Is somebody lost, or standing still? */
  #look(): void {
    this.#reports.read();
    for (const { session, error } of this.#reports.all('lost')) this.#trouble(`session ${session}: ${error}`);
    for (const { session, what } of this.#reports.all('wrong')) this.#trouble(`session ${session} read ${what}`);
    if (this.#applications.every(isOver)) return;
    const { stallMs } = this.#options;
    for (const session of this.#reports.silent(stallMs)) {
      this.#trouble(`session ${session} has done nothing for ${stallMs} ms`);
    }
  }

  #trouble(what: string): void {
    if (!this.#troubles.includes(what)) this.#troubles.push(what);
  }

  /** Waits for the last transactions. Where there is trouble, nobody can say when they will come. */
  async #awaitEnd(): Promise<void> {
    const deadlineMs = performance.now() + endMsMax;
    while (this.#troubles.length === 0 && !this.#applications.every(isOver) && performance.now() < deadlineMs) {
      await setTimeout(100);
      this.#look();
    }
    await setTimeout(this.#troubles.length === 0 ? 0 : troubleMsMax);
    for (const application of this.#applications) {
      if (isOver(application)) continue;
      this.#trouble(`${application.name} does not end`);
      application.child.kill('SIGKILL');
      await application.ended;
    }
    this.#look();
  }

  async #result(
    seconds: number,
    before: ReadonlyMap<string, number>,
    after: ReadonlyMap<string, number>,
    links: readonly WorkloadRow[],
  ): Promise<SoakResult> {
    const { seed, sessions, workloads, say } = this.#options;
    const told = this.#reports.all('transaction');
    const sums = await this.#witness.numbers(`select id::int as key, n::float8 as value from app.${counters}`);
    const verdict = judge(told, await this.#witness.everyId(table, noteBytes), sums);
    const gone = [...before].filter(([name, pid]) => after.get(name) !== pid).map(([name]) => name);
    const memory = [...this.#watched].map(([process, { samples }]) => ({ process, ...growthOf(samples) }));
    const growing = memory.filter(({ isFlat }) => isFlat === false).map(({ process }) => `${process} grows`);
    const ended = gone.map((name) => `${name} has another process in PostgreSQL, or none`);
    const violations = [...new Set([...this.#troubles, ...ended, ...verdict.violations, ...growing])];
    const ok = violations.length === 0;
    const kept = ok ? undefined : this.#keep();
    if (kept !== undefined) say(`something was wrong; all logs are in ${kept}`);
    const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
    return {
      ok,
      seed,
      seconds,
      sessions,
      workloads,
      cuts: this.#cuts,
      binds: sum(links.map(({ epoch }) => epoch)),
      replayedBytes: sum(links.map(({ replayedBytes }) => replayedBytes)),
      transactions: told.filter(({ committed }) => committed).length,
      rolledBackOnPurpose: told.filter(({ committed }) => !committed).length,
      rows: sum(told.map(({ rows }) => rows)),
      calls: sum(this.#reports.all('done').map(({ calls }) => calls)),
      bigFetches: sum(this.#reports.all('done').map(({ fetches }) => fetches)),
      ...verdict,
      violations,
      lostSessions: Math.max(this.#reports.all('lost').length, gone.length),
      wrongReads: this.#reports.all('wrong').length,
      memory,
      kept,
    };
  }

  /** Everything that was written by anybody, for whoever looks for the cause. */
  #keep(): string {
    const directory = join(tmpdir(), `holdfast-soak-${process.pid}`);
    cpSync(this.#world.directory, directory, { recursive: true });
    return directory;
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

function isOver({ child }: Program): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}
