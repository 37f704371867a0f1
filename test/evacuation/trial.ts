import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import pg from 'pg';
import { findCriu } from '../../fixtures/lab/criu.js';
import { account, node, openWorld, type World } from '../../fixtures/lab/world.js';
import type { EvacuationRecord } from '../../migrate/fleet/evacuation.js';
import type { SessionRow } from '../../proxy/control/contract.js';
import { median } from '../bench/statistics.js';
import { Witness } from '../e2e/witness.js';

const application = new URL('../../fixtures/apps/keep-open.js', import.meta.url).pathname;
const noteBytes = 50;
const portMin = 11_000;
/** Commands that run at the same time: each is a process of its own. */
const startersMax = 3;
const pollMs = 100;

export interface TrialOptions {
  readonly workloads: number;
  readonly concurrency: number;
  /** Longest wait for any one thing. */
  readonly waitMs: number;
  /** The database ends so many of the sessions during the evacuation: the trial must find them. */
  readonly lose: number;
  readonly say: (text: string) => void;
}

export interface TrialResult {
  readonly ok: boolean;
  readonly workloads: number;
  readonly concurrency: number;
  readonly moved: number;
  /** How many are at each node afterwards. */
  readonly at: Readonly<Record<string, number>>;
  readonly lost: number;
  readonly duplicated: number;
  readonly rolledBack: number;
  readonly startMs: number;
  readonly evacuationMs: number;
  readonly blackoutMs: { readonly p50: number; readonly max: number };
  readonly violations: readonly string[];
}

/** Who serves a workload's session at the database: the same before and after, or its transaction is another one. */
interface Backend {
  readonly pid: number;
  readonly xid: string | null;
}

/** Empties node-a into node-b and node-c while each of its workloads has a transaction open, then lets all of them commit. */
export async function runTrial(options: TrialOptions): Promise<TrialResult> {
  const criu = await findCriu();
  if (criu.kind === 'missing') throw new Error(criu.reason);
  const { path } = criu;
  const world = await openWorld({ mover: 'criu', nodes: 3, criu: { 'node-a': path, 'node-b': path, 'node-c': path } });
  const client = new pg.Client({ connectionString: world.postgresUrl });
  const witness = await Witness.open(world.postgresUrl);
  try {
    await client.connect();
    return await new Trial(world, client, witness, options).run();
  } finally {
    await witness.close();
    await client.end();
    await world.close();
  }
}

class Trial {
  readonly #world: World;
  readonly #client: pg.Client;
  readonly #witness: Witness;
  readonly #options: TrialOptions;
  readonly #names: readonly string[];
  readonly #violations: string[] = [];

  constructor(world: World, client: pg.Client, witness: Witness, options: TrialOptions) {
    this.#world = world;
    this.#client = client;
    this.#witness = witness;
    this.#options = options;
    const digits = String(options.workloads).length;
    this.#names = Array.from(
      { length: options.workloads },
      (_, index) => `w${String(index + 1).padStart(digits, '0')}`,
    );
  }

  async run(): Promise<TrialResult> {
    const { say, workloads, concurrency } = this.#options;
    const startedMs = performance.now();
    await this.#startAll();
    const startMs = Math.round(performance.now() - startedMs);
    say(`${workloads} applications run at node-a, each in a transaction, after ${seconds(startMs)}`);
    const before = await this.#backends();
    say((await this.#world.holdfast('evacuate', 'node-a', '--dry-run')).stdout.trimEnd());
    const record = await this.#evacuate();
    const after = await this.#backends();
    for (const name of this.#names) {
      const [was, is] = [before.get(name), after.get(name)];
      this.#expect(was?.xid !== null && was?.pid === is?.pid && was?.xid === is?.xid, `${name}: another transaction`);
    }
    const books = await this.#commitAll();
    const moved = record.moves.filter(({ state }) => state === 'moved');
    this.#expect(moved.length === workloads, `${workloads - moved.length} workloads were not moved`);
    const at = await this.#places();
    this.#expect(at['node-a'] === undefined, 'node-a is not empty');
    const blackouts = moved.map(({ blackoutMs = 0 }) => blackoutMs);
    const isClean = books.lost + books.duplicated + books.rolledBack === 0 && this.#violations.length === 0;
    return {
      ...{ ok: isClean, workloads, concurrency, moved: moved.length, at, ...books, startMs, evacuationMs: record.ms },
      blackoutMs: { p50: Math.round(median(blackouts)), max: Math.round(Math.max(...blackouts)) },
      violations: this.#violations,
    };
  }

  async #startAll(): Promise<void> {
    const { user, password, service } = account;
    const start = async (name: string) => {
      const listen = `127.0.0.1:${portMin + this.#names.indexOf(name)}`;
      const command = node(application, `${listen}/${service}`, user, password, table(name), this.#commitFile);
      const words = ['--name', name, '--node', 'node-a', '--listen', listen, '--', command.file, ...command.args];
      const { code, stderr } = await this.#world.holdfast('run', ...words);
      if (code !== 0) throw new Error(stderr);
      await this.#until(`row of ${name}`, () => this.#printed(name, 'inserted') > 0);
    };
    const waiting = [...this.#names];
    const starter = async () => {
      for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) await start(name);
    };
    await Promise.all(Array.from({ length: startersMax }, starter));
  }

  async #evacuate(): Promise<EvacuationRecord> {
    const { say, concurrency, lose } = this.#options;
    const words = ['evacuate', 'node-a', '--json', '--concurrency', String(concurrency), ...this.#world.files];
    const asking = this.#world.start('evacuate', 'center', node(this.#world.programs.holdfast, ...words));
    asking.child.stderr?.on('data', (data: Buffer) => say(data.toString().trimEnd()));
    if (lose > 0) {
      await asking.printed(/ 1\/\d+ /, this.#options.waitMs);
      const ended =
        'select pg_terminate_backend(pid) from pg_stat_activity where backend_xid is not null and application_name';
      await this.#client.query(`${ended} like 'sid=%' limit $1`, [lose]);
    }
    const { stdout, stderr } = await asking.ended;
    const record: EvacuationRecord = JSON.parse(stdout);
    if (record.moves === undefined) throw new Error(stderr);
    if (record.stopped !== undefined) this.#violations.push(`${record.stopped.code}: ${record.stopped.message}`);
    return record;
  }

  async #backends(): Promise<ReadonlyMap<string, Backend>> {
    const { stdout } = await this.#world.holdfast('sessions', '--json');
    const rows: readonly SessionRow[] = JSON.parse(stdout);
    const { rows: found } = await this.#client.query<Backend & { name: string }>(
      'select application_name as name, pid, backend_xid::text as xid from pg_stat_activity',
    );
    const byName = new Map(found.map(({ name, pid, xid }) => [name, { pid, xid }]));
    return new Map(
      rows.flatMap(({ workload, sid, serial }) => {
        const backend = byName.get(`sid=${sid} serial=${serial}`);
        return backend === undefined ? [] : [[workload, backend] as const];
      }),
    );
  }

  /** Nothing is visible to others before the commit; after it, exactly what each application has inserted. */
  async #commitAll(): Promise<Pick<TrialResult, 'lost' | 'duplicated' | 'rolledBack'>> {
    for (const name of this.#names) {
      const early = await this.#witness.visibleRows(table(name));
      this.#expect(early === 0, `${early} rows of ${name} were visible before its commit`);
    }
    const goesOn = this.#names.map((name) => this.#printed(name, 'inserted'));
    writeFileSync(this.#commitFile, '');
    const sums = { lost: 0, duplicated: 0, rolledBack: 0 };
    for (const [index, name] of this.#names.entries()) {
      const isDone = () => this.#printed(name, 'committed') > 0 || this.#failed(name);
      await this.#until(`commit of ${name}`, isDone).catch((error: Error) => this.#violations.push(error.message));
      const committed = this.#printed(name, 'committed');
      if (committed === 0) {
        sums.rolledBack += 1;
        sums.lost += goesOn[index] ?? 0;
        continue;
      }
      const { rows, wrong, idSum } = await this.#witness.contents(table(name), noteBytes);
      this.#expect(wrong === 0 && idSum === (committed * (committed + 1)) / 2, `${name}: rows that nobody inserted`);
      sums.lost += Math.max(0, committed - rows);
      sums.duplicated += Math.max(0, rows - committed);
    }
    return sums;
  }

  async #places(): Promise<Record<string, number>> {
    const { stdout } = await this.#world.holdfast('workloads', '--json');
    const at: Record<string, number> = {};
    for (const { node: name } of JSON.parse(stdout)) at[name] = (at[name] ?? 0) + 1;
    return at;
  }

  get #commitFile(): string {
    return join(this.#world.directory, 'commit');
  }

  /** The last number that an application has printed behind a word. */
  #printed(name: string, word: string): number {
    const all = [...this.#world.output(name).matchAll(new RegExp(`^${word} (\\d+)$`, 'gm'))];
    return Number(all.at(-1)?.[1] ?? 0);
  }

  #failed(name: string): boolean {
    return /NJS-|ORA-|Error/.test(this.#world.output(name));
  }

  #expect(isSo: boolean, rule: string): void {
    if (!isSo) this.#violations.push(rule);
  }

  async #until(what: string, condition: () => boolean): Promise<void> {
    const deadlineMs = performance.now() + this.#options.waitMs;
    while (!condition()) {
      if (performance.now() > deadlineMs) throw new Error(`no ${what} within ${this.#options.waitMs} ms`);
      await setTimeout(pollMs);
    }
  }
}

function table(workload: string): string {
  return `t_${workload}`;
}

export function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1)} s`;
}
