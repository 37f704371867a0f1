import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import oracledb from 'oracledb';
import { idsPerConnection } from '../../fixtures/apps/rows.js';
import type { Program } from '../../fixtures/lab/program.js';
import { account, node, type World } from '../../fixtures/lab/world.js';
import { runShim } from '../e2e/shim.js';
import type { Witness } from '../e2e/witness.js';
import { judge, type Verdict } from './books.js';
import type { LoadPlan, LoadShape } from './plan.js';
import { Reports } from './reports.js';

export interface LoadOptions {
  readonly world: World;
  readonly witness: Witness;
  /** Workloads are called this, with a number. */
  readonly name: string;
  /** Where the shim of each application finds the proxy: as many applications, each with a shim of its own. */
  readonly proxies: readonly string[];
  readonly sessions: number;
  readonly shape: Pick<LoadShape, 'mix' | 'stepsMax' | 'arrayRowsMax' | 'pauseMsMax' | 'pulseMs' | 'seed'>;
  readonly noteBytes: Readonly<Record<'rows' | 'lobs' | 'filled', number>>;
  readonly filledRows: number;
  /** A session that does nothing for so long is lost. */
  readonly stallMs: number;
  /** Sessions may end; they are counted. */
  readonly mayLose?: boolean;
}

const shards = 5;
const startMsMax = 60_000;
/** For the last transactions, once the applications have been told to stop. */
const endMsMax = 120_000;
/** The same where something is wrong already. */
const troubleMsMax = 3_000;

/** Real applications that never stop, each with its shim, and the books about what they did. */
export class Load {
  readonly #options: LoadOptions;
  readonly #shape: LoadShape;
  readonly #applications: Program[] = [];
  readonly #troubles = new Set<string>();
  readonly #shims = new Map<string, number>();
  readonly reports: Reports;

  private constructor(options: LoadOptions) {
    const { name, world, shape, noteBytes, filledRows } = options;
    const table = (which: keyof typeof noteBytes) => ({ name: `${name}_${which}`, noteBytes: noteBytes[which] });
    this.#options = options;
    this.#shape = {
      ...shape,
      rows: table('rows'),
      lobs: table('lobs'),
      filled: { ...table('filled'), firstId: 900 * idsPerConnection, rows: filledRows },
      counters: `${name}_counters`,
      shards,
      stopFile: join(world.directory, 'stop'),
    };
    const sessions = Array.from({ length: options.sessions }, (_, index) => index + 1);
    this.reports = new Reports(this.#applications, sessions);
  }

  /** Resolves when all sessions are at work. */
  static async start(options: LoadOptions): Promise<Load> {
    const load = new Load(options);
    await load.#createTables();
    const { proxies, sessions } = options;
    for (const [index, proxy] of proxies.entries()) {
      const firstOf = (application: number) => Math.floor((application * sessions) / proxies.length);
      await load.#startApplication(index + 1, proxy, firstOf(index) + 1, firstOf(index + 1) - firstOf(index));
    }
    for (const application of load.#applications) await application.printed(/"kind":"ready"/);
    await load.#allAtWork();
    return load;
  }

  /** Process ids by name. */
  get shims(): ReadonlyMap<string, number> {
    return this.#shims;
  }
  /** What is wrong already. */
  get troubles(): readonly string[] {
    return [...this.#troubles];
  }
  get isOver(): boolean {
    return this.#applications.every(isOver);
  }

  trouble(what: string): void {
    this.#troubles.add(what);
  }

  /** Reads what was told. Is somebody lost, or standing still? */
  look(): void {
    this.reports.read();
    for (const { session, error } of this.reports.all('lost')) {
      if (this.#options.mayLose !== true) this.trouble(`session ${session}: ${error}`);
    }
    for (const { session, what } of this.reports.all('wrong')) this.trouble(`session ${session} read ${what}`);
    if (this.isOver) return;
    const { stallMs } = this.#options;
    for (const session of this.reports.silent(stallMs)) {
      this.trouble(`session ${session} has done nothing for ${stallMs} ms`);
    }
  }

  /** Waits for the last transactions. Where there is trouble, nobody can say when they will come. */
  async end(): Promise<void> {
    writeFileSync(this.#shape.stopFile, '');
    const deadlineMs = performance.now() + endMsMax;
    while (this.#troubles.size === 0 && !this.isOver && performance.now() < deadlineMs) {
      await setTimeout(100);
      this.look();
    }
    await setTimeout(this.#troubles.size === 0 ? 0 : troubleMsMax);
    for (const application of this.#applications) {
      if (isOver(application)) continue;
      this.trouble(`${application.name} does not end`);
      application.child.kill('SIGKILL');
      await application.ended;
    }
    this.look();
  }

  /** What PostgreSQL says of all that was told. */
  async verdict(): Promise<Verdict> {
    const { witness } = this.#options;
    const { rows, lobs, counters } = this.#shape;
    const told = [...this.reports.all('transaction'), ...this.reports.all('lost')];
    const sums = await witness.numbers(`select id::int as key, n::float8 as value from app.${counters}`);
    const found = [rows, lobs].map((table) => witness.everyId(table.name, table.noteBytes));
    return judge(told, (await Promise.all(found)).flat(), sums);
  }

  /** A session has a process in PostgreSQL from its first statement on. */
  async #allAtWork(): Promise<void> {
    const { witness, sessions } = this.#options;
    const deadlineMs = performance.now() + startMsMax;
    for (;;) {
      const { size } = await witness.sessions();
      if (size >= sessions) return;
      if (performance.now() > deadlineMs) throw new Error(`only ${size} sessions began within ${startMsMax} ms`);
      await setTimeout(100);
    }
  }

  async #startApplication(number: number, proxy: string, first: number, sessions: number): Promise<void> {
    const { world, name: prefix } = this.#options;
    const name = `${prefix}-${number}`;
    const shim = await runShim(world, name, proxy);
    this.#shims.set(`${name} shim`, shim.program.child.pid ?? 0);
    const plan: LoadPlan = { ...this.#shape, first, sessions };
    const { user, password, service } = account;
    const application = new URL('./application.js', import.meta.url).pathname;
    const command = node(application, `${shim.listen}/${service}`, user, password, JSON.stringify(plan));
    this.#applications.push(world.start(name, 'center', command));
  }

  async #createTables(): Promise<void> {
    const { world, witness } = this.#options;
    const { rows, lobs, filled, counters } = this.#shape;
    const { user, password, service } = account;
    const connection = await oracledb.getConnection({
      user,
      password,
      connectString: `${world.databaseAddress}/${service}`,
    });
    for (const table of [rows, lobs, filled]) {
      // No primary key: a row that is inserted twice must be there twice.
      const note = table === lobs ? 'CLOB' : `VARCHAR2(${table.noteBytes})`;
      await connection.execute(`CREATE TABLE ${table.name} (id NUMBER(10), note ${note}, txn NUMBER(10))`);
      await connection.execute(`CREATE INDEX ${table.name}_id ON ${table.name} (id)`);
    }
    await connection.execute(`CREATE TABLE ${counters} (id NUMBER(10) PRIMARY KEY, n NUMBER(12))`);
    for (let id = 0; id < shards; id += 1) await connection.execute(`INSERT INTO ${counters} VALUES (${id}, 0)`);
    await connection.commit();
    await connection.close();
    for (const { name } of [rows, lobs]) await witness.noteMakers(name);
    await witness.fill(filled.name, filled, filled.noteBytes);
  }
}

function isOver({ child }: Program): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}
