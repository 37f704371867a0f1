import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import oracledb from 'oracledb';
import { noteOf } from '../../fixtures/apps/rows.js';
import type { Program } from '../../fixtures/lab/program.js';
import { account, node, openWorld, type World } from '../../fixtures/lab/world.js';
import type { WorkloadRow } from '../../proxy/control/contract.js';
import { Relay } from '../e2e/relay.js';
import { Witness } from '../e2e/witness.js';
import type { HerdEvent } from './herd.js';
import { machineMs, quantile } from './machine.js';

export interface StormOptions {
  readonly workloads: number;
  /** How long the network is away. */
  readonly outageMs: number;
  /** Workloads with a real session in a transaction. */
  readonly sessions: number;
  /** All must be bound so soon after the network is back. */
  readonly withinMs: number;
  readonly proxyOptions: readonly string[];
  readonly say: (text: string) => void;
}

export interface StormResult {
  readonly ok: boolean;
  readonly workloads: number;
  readonly outageMs: number;
  /** From the return of the network to the bind. */
  readonly boundMs: { readonly p50: number; readonly p99: number; readonly max: number };
  readonly withinMs: number;
  /** Most binds in any one second. */
  readonly bindsPerSecondMax: number;
  /** Connections begun by one workload, from the cut to the bind. */
  readonly tries: { readonly p50: number; readonly max: number };
  readonly tryLater: number;
  /** Workloads that did not come back with all they had. */
  readonly lost: number;
  readonly sessions: number;
  /** Sessions that lost their transaction, or their process in PostgreSQL. */
  readonly sessionsLost: number;
  readonly violations: readonly string[];
}

type Bound = Extract<HerdEvent, { kind: 'bound' }>;

const shimsPerProcess = 250;
const startMsMax = 120_000;
const table = 'storm';
const noteBytes = 200;
const rowsBefore = 5;

const pollMs = 100;

/** A thousand links that are cut at once, and how they come back. */
export class Storm {
  readonly #options: StormOptions;
  readonly #world: World;
  readonly #witness: Witness;
  readonly #herds: Program[] = [];
  readonly #connections: oracledb.Connection[] = [];
  readonly #violations: string[] = [];
  #listen: readonly string[] = [];

  private constructor(options: StormOptions, world: World, witness: Witness) {
    this.#options = options;
    this.#world = world;
    this.#witness = witness;
  }

  static async run(options: StormOptions): Promise<StormResult> {
    const world = await openWorld({ mover: 'relink', proxyOptions: options.proxyOptions });
    try {
      const witness = await Witness.open(world.postgresUrl);
      let connections = 0;
      // As from as many hosts.
      const from = () => {
        connections += 1;
        return `127.1.${Math.floor(connections / 250) % 250}.${(connections % 250) + 1}`;
      };
      const relay = await Relay.open(world.proxyAddress, undefined, from);
      try {
        return await new Storm(options, world, witness).#run(relay);
      } finally {
        await relay.close();
        await witness.close();
      }
    } finally {
      await world.close();
    }
  }

  async #run(relay: Relay): Promise<StormResult> {
    const { outageMs, withinMs, say } = this.#options;
    await this.#gather(relay.address);
    await this.#begin();
    const before = await this.#witness.sessions();
    const first = new Map(this.#bound().map(({ workload, epoch }) => [workload, epoch]));
    say(`${first.size} workloads are bound, ${before.size} sessions are in a transaction: the network goes away`);
    relay.isDown = true;
    relay.cut();
    await setTimeout(outageMs);
    relay.isDown = false;
    const backAtMs = machineMs();
    const back = await this.#awaitBack(first, backAtMs + Math.max(withinMs * 3, 30_000));
    say(`${back.size} workloads are bound again`);
    const sessionsLost = await this.#finish(before);
    const rows = await this.#links();
    return this.#result([...back.values()], backAtMs, rows, sessionsLost);
  }

  /** Starts all shims; binding them for the first time is a storm of its own. */
  async #gather(proxy: string): Promise<void> {
    const { workloads, say } = this.#options;
    const program = new URL('./herd.js', import.meta.url).pathname;
    const secret = join(this.#world.directory, 'secret');
    for (let first = 1; first <= workloads; first += shimsPerProcess) {
      const count = Math.min(shimsPerProcess, workloads - first + 1);
      const command = node(program, proxy, secret, String(first), String(count));
      this.#herds.push(this.#world.start(`herd-${first}`, 'center', command));
    }
    say(`${workloads} shims in ${this.#herds.length} processes are starting`);
    for (const herd of this.#herds) await herd.printed(/"kind":"ready"/, startMsMax);
    this.#listen = this.#events().flatMap((event) => (event.kind === 'ready' ? event.listen : []));
  }

  /** A transaction through every so-many-th shim. */
  async #begin(): Promise<void> {
    const { user, password, service } = account;
    const login = (address: string) =>
      oracledb.getConnection({ user, password, connectString: `${address}/${service}` });
    const straight = await login(this.#world.databaseAddress);
    await straight.execute(`CREATE TABLE ${table} (id NUMBER(10), note VARCHAR2(${noteBytes}))`);
    await straight.close();
    const step = Math.max(1, Math.floor(this.#listen.length / this.#options.sessions));
    const chosen = this.#listen.filter((_, index) => index % step === 0).slice(0, this.#options.sessions);
    for (const address of chosen) this.#connections.push(await login(address));
    await this.#insert(0);
  }

  async #insert(from: number): Promise<void> {
    const works = this.#connections.map(async (connection, index) => {
      for (let row = 0; row < rowsBefore; row += 1) {
        const id = index * 1_000 + from + row;
        await connection.execute(`INSERT INTO ${table} VALUES (:id, :note)`, [id, noteOf(id, noteBytes)]);
      }
    });
    for (const [index, work] of (await Promise.allSettled(works)).entries()) {
      if (work.status === 'rejected') this.#violations.push(`session ${index}: ${work.reason}`);
    }
  }

  async #awaitBack(first: ReadonlyMap<string, number>, untilMs: number): Promise<ReadonlyMap<string, Bound>> {
    for (;;) {
      const again = this.#bound().filter(({ workload, epoch }) => epoch > (first.get(workload) ?? 0));
      const back = new Map(again.map((event) => [event.workload, event]));
      if (back.size === first.size || machineMs() > untilMs) return back;
      await setTimeout(pollMs);
    }
  }

  /** The transactions go on, and are committed. @returns how many sessions are not what they were */
  async #finish(before: ReadonlyMap<string, number>): Promise<number> {
    await this.#insert(rowsBefore);
    const after = await this.#witness.sessions();
    const gone = [...before].filter(([name, pid]) => after.get(name) !== pid);
    for (const [name] of gone) this.#violations.push(`${name} is another process of PostgreSQL, or none`);
    for (const connection of this.#connections) await connection.commit();
    const { rows, wrong } = await this.#witness.contents(table, noteBytes);
    const wanted = this.#connections.length * rowsBefore * 2;
    if (rows !== wanted || wrong > 0) this.#violations.push(`${rows} rows instead of ${wanted}, ${wrong} are wrong`);
    for (const connection of this.#connections) await connection.close();
    return gone.length;
  }

  #result(back: readonly Bound[], backAtMs: number, rows: readonly WorkloadRow[], sessionsLost: number): StormResult {
    const { workloads, outageMs, withinMs, sessions } = this.#options;
    const same = back.filter(({ isSame, workload }) => isSame && rows.some((row) => row.name === workload));
    const lost = workloads - same.length;
    if (lost > 0) this.#violations.push(`${lost} workloads did not come back with all they had`);
    const boundMs = back.map(({ atMs }) => atMs - backAtMs);
    const max = quantile(boundMs, 1);
    if (max > withinMs) this.#violations.push(`the last was bound after ${Math.round(max)} ms, not ${withinMs}`);
    const tries = back.map((event) => event.tries);
    return {
      ok: this.#violations.length === 0,
      workloads,
      outageMs,
      boundMs: { p50: round(quantile(boundMs, 0.5)), p99: round(quantile(boundMs, 0.99)), max: round(max) },
      withinMs,
      bindsPerSecondMax: busiestSecond(boundMs),
      tries: { p50: quantile(tries, 0.5), max: quantile(tries, 1) },
      tryLater: back.reduce((sum, { tryLater }) => sum + tryLater, 0),
      lost,
      sessions,
      sessionsLost,
      violations: this.#violations,
    };
  }

  /** Workloads that the proxy says are bound. */
  async #links(): Promise<readonly WorkloadRow[]> {
    const { stdout } = await this.#world.holdfast('workloads', '--json');
    const rows: readonly { readonly link: WorkloadRow }[] = JSON.parse(stdout);
    return rows.map(({ link }) => link).filter(({ state }) => state === 'bound');
  }

  #events(): readonly HerdEvent[] {
    const lines = this.#herds.flatMap(({ stdout }) => stdout.split('\n').slice(0, -1));
    return lines.map((line): HerdEvent => JSON.parse(line));
  }

  #bound(): readonly Bound[] {
    return this.#events().filter((event): event is Bound => event.kind === 'bound');
  }
}

/** Most of these moments that lie within one second. */
function busiestSecond(momentsMs: readonly number[]): number {
  const sorted = [...momentsMs].sort((one, other) => one - other);
  let [most, from] = [0, 0];
  for (const [to, atMs] of sorted.entries()) {
    while (atMs - (sorted[from] ?? atMs) >= 1_000) from += 1;
    most = Math.max(most, to - from + 1);
  }
  return most;
}

function round(ms: number): number {
  return Math.round(ms);
}
