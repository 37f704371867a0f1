import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { type IdRange, noteOf, RowDigest } from '../../fixtures/apps/rows.js';
import type { Plan, Step, StepEvent } from '../../fixtures/apps/steps.js';
import { freePort } from '../../fixtures/lab/ports.js';
import type { CommandLine, Program } from '../../fixtures/lab/program.js';
import { account, type NodeName, node, type World } from '../../fixtures/lab/world.js';
import type { MoveRecord } from '../../migrate/record.js';
import type { SessionRow } from '../../proxy/control/contract.js';
import type { FaultSwitch } from './faults/switch.js';
import type { BackendProcess, Copies, Witness } from './witness.js';

const application = new URL('../../fixtures/apps/steps.js', import.meta.url).pathname;
const pollMs = 20;

/** A session as the proxy and PostgreSQL see it at one moment. */
export interface Place extends BackendProcess {
  readonly sid: number;
  readonly serial: number;
  readonly address: string;
  readonly transaction: SessionRow['transaction'];
  readonly callsInFlight: number;
  readonly bytes: SessionRow['bytes'];
}

export interface Move {
  readonly record: MoveRecord;
  readonly before: readonly Place[];
  readonly after: readonly Place[];
}

export interface StageOptions {
  readonly world: World;
  readonly witness: Witness;
  /** Name of the workload; the table has it too. */
  readonly name: string;
  /** Longest wait for any one thing. */
  readonly waitMs: number;
  readonly fault?: FaultSwitch;
  /** Another session of the application makes small calls all the time, and tells how long it waited for an answer. */
  readonly pulse?: boolean;
}

/** What became of the rows, by those of the database and by what the application says that it did. */
export interface Books {
  readonly lost: number;
  readonly duplicated: number;
}

/**
 * One application under test, and everything that a scenario does with it and asks about it. What is not as it should be is
 * collected, not thrown: whether that is good or bad is for the test to say.
 */
export class Stage {
  readonly world: World;
  readonly witness: Witness;
  readonly name: string;
  readonly table: string;
  readonly failures: string[] = [];
  readonly records: MoveRecord[] = [];
  /** Sessions whose transaction was another one, or none, after a move. */
  rolledBack = 0;
  /** Known once the application has ended well. */
  books: Books | undefined;
  readonly #options: StageOptions;
  readonly #gates: string;
  #plan: Plan | undefined;
  #at: NodeName = 'node-a';
  #watching: Promise<void> | undefined;
  #pulseSid: number | undefined;

  constructor(options: StageOptions) {
    this.world = options.world;
    this.witness = options.witness;
    this.name = options.name;
    this.table = `t_${options.name.replaceAll('-', '_')}`;
    this.#options = options;
    this.#gates = join(options.world.directory, 'gates', options.name);
    mkdirSync(this.#gates, { recursive: true });
  }

  expect(isSo: boolean, rule: string): void {
    if (!isSo) this.failures.push(rule);
  }

  equal(found: unknown, wanted: unknown, what: string): void {
    this.expect(found === wanted, `${what}: ${found}, not ${wanted}`);
  }

  /** Starts the application on node-a, as `holdfast run` does it. */
  async start(noteBytes: number, ...connections: (readonly Step[])[]): Promise<void> {
    const pulse: readonly Step[] = [{ do: 'who' }, { do: 'pulse', gate: 'pulse' }];
    const all = this.#options.pulse === true ? [...connections, pulse] : connections;
    this.#plan = { table: this.table, noteBytes, connections: all };
    const listen = `127.0.0.1:${await freePort('127.0.0.1')}`;
    const { file, args } = this.command(listen, this.#plan);
    const env = this.#options.fault === undefined ? [] : ['--env', this.#options.fault.env.join(',')];
    await this.#holdfast('run', '--name', this.name, '--listen', listen, ...env, '--', file, ...args);
    if (this.#options.pulse !== true) return;
    this.#pulseSid = (await this.event({ connection: connections.length, done: 'who' })).sid;
  }

  /** The longest that the application has waited for an answer, as far as it has looked. */
  get waitedMs(): number | undefined {
    const waits = this.events().flatMap(({ pause }) => pause?.ms ?? []);
    return waits.length === 0 ? undefined : Math.max(...waits);
  }

  /** The application as a command, connecting to `address`. */
  command(address: string, plan: Plan): CommandLine {
    const { user, password, service } = account;
    return node(application, `${address}/${service}`, user, password, this.#gates, JSON.stringify(plan));
  }

  /** A session of somebody else, straight to the database. It works on the same table. */
  other(...steps: readonly Step[]): Program {
    const plan: Plan = { table: this.table, noteBytes: 1, connections: [steps] };
    return this.world.start(`${this.name}-other`, 'center', this.command(this.world.databaseAddress, plan));
  }

  otherHasPrinted(text: string): boolean {
    return readFileSync(join(this.world.directory, `${this.name}-other.log`), 'utf8').includes(text);
  }

  openGate(gate: string): void {
    writeFileSync(join(this.#gates, gate), '');
  }

  events(): readonly StepEvent[] {
    const lines = this.world.output(this.name).split('\n').slice(0, -1);
    return lines.filter((line) => line.startsWith('{"connection"')).map((line) => JSON.parse(line));
  }

  /** Waits until a connection has begun or done something. */
  event(wanted: Partial<StepEvent>): Promise<StepEvent> {
    const entries = Object.entries(wanted);
    const matches = (event: StepEvent) => entries.every(([key, value]) => event[key as keyof StepEvent] === value);
    return this.until(JSON.stringify(wanted), () => this.events().find(matches));
  }

  /** Waits until `probe` finds something. Gives up early when the application ends badly. */
  async until<Found>(what: string, probe: () => Promise<Found | undefined> | Found | undefined): Promise<Found> {
    const beganMs = performance.now();
    for (;;) {
      const found = await probe();
      if (found !== undefined) return found;
      const exit = this.#exitCode();
      if (exit !== undefined && exit !== 0) throw new Error(`the application ended with ${exit}: ${this.#lastWords()}`);
      const waitMs = this.#options.fault?.waitMs() ?? this.#options.waitMs;
      if (performance.now() - beganMs > waitMs) throw new Error(`no ${what} within ${waitMs} ms: ${this.#lastWords()}`);
      await setTimeout(pollMs);
    }
  }

  /** All sessions of the application, but for the pulse, that have done something, in the order of their SIDs. */
  async places(): Promise<readonly Place[]> {
    const rows: SessionRow[] = JSON.parse(await this.#holdfast('sessions', '--json'));
    const places: Place[] = [];
    for (const row of rows.filter(({ workload, sid }) => workload === this.name && sid !== this.#pulseSid)) {
      const { sid = 0, serial = 0, address, transaction, callsInFlight, bytes } = row;
      const backend = await this.witness.backend(sid, serial);
      this.expect(backend !== undefined, `PostgreSQL knows session ${sid}, ${serial}`);
      if (backend !== undefined) {
        places.push({ sid, serial, address, transaction, callsInFlight, bytes, ...backend });
      }
    }
    return places.sort((one, other) => one.sid - other.sid);
  }

  /**
   * Moves the application to the other node, and looks whether all its sessions are what they were.
   * @param expected how many sessions there are, and how many of them have a transaction open, which must be the same after
   * @param since what they were at an earlier moment; looked up when left out
   */
  async move(
    expected: { readonly sessions: number; readonly inTransaction: number },
    since?: readonly Place[],
  ): Promise<Move> {
    const to = this.#at === 'node-a' ? 'node-b' : 'node-a';
    const before = since ?? (await this.places());
    this.equal(before.length, expected.sessions, 'sessions before the move');
    const open = before.filter(({ databaseXid }) => databaseXid !== null);
    this.equal(open.length, expected.inTransaction, 'sessions in a transaction before the move');
    this.#options.fault?.arm();
    const words = ['--to', to, '--mover', this.world.mover, '--json'];
    const told: MoveRecord = JSON.parse(await this.#holdfast('move', this.name, ...words));
    const record = { ...told, sessions: told.sessions.filter(({ sid }) => sid !== this.#pulseSid) };
    this.records.push(record);
    // At once: what a command says takes its time.
    const backends: (BackendProcess | undefined)[] = [];
    for (const { sid, serial } of before) backends.push(await this.witness.backend(sid, serial));
    this.#at = to;
    this.equal(record.outcome, 'moved', 'outcome');
    this.equal(record.warnings.length, 0, 'warnings');
    this.equal(record.to.node, to, 'node after the move');
    const after = (await this.places()).map((place, index) => ({ ...place, ...backends[index] }));
    this.equal(after.length, before.length, 'sessions after the move');
    for (const [index, was] of before.entries()) this.#compare(was, after[index]);
    return { record, before, after };
  }

  #compare(was: Place, is: Place | undefined): void {
    const session = `session ${was.sid}`;
    this.equal(is?.sid, was.sid, 'SID');
    this.equal(is?.serial, was.serial, `${session}: serial#`);
    this.equal(is?.databasePid, was.databasePid, `${session}: process of PostgreSQL`);
    if (was.databaseXid !== null) {
      this.equal(is?.databaseXid, was.databaseXid, `${session}: transaction of PostgreSQL`);
      if (is?.databaseXid !== was.databaseXid) this.rolledBack += 1;
    }
    this.expect(is?.address !== was.address, `${session}: its address is another, not still ${was.address}`);
  }

  /** Looks again and again whether anybody can see a row of the table. */
  watchInvisible(): { stop(): Promise<void> } {
    let looks = 0;
    const watch = async (): Promise<void> => {
      while (this.#watching !== undefined) {
        const rows = await this.witness.visibleRows(this.table);
        if (rows > 0) throw new Error(`${rows} uncommitted rows are visible to others`);
        looks += 1;
        await setTimeout(pollMs);
      }
    };
    this.#watching = Promise.resolve();
    this.#watching = watch().catch((error: Error) => void this.failures.push(error.message));
    return {
      stop: async () => {
        await this.#stopWatching();
        this.expect(looks > 1, `others have looked at the table more than once, not ${looks} times`);
        this.equal(await this.witness.visibleRows(this.table), 0, 'uncommitted rows visible to others');
      },
    };
  }

  async #stopWatching(): Promise<void> {
    const watching = this.#watching;
    this.#watching = undefined;
    await watching;
  }

  /** What reading the rows with these ids gives, when every byte is right. */
  digestOf(...ranges: readonly IdRange[]): string {
    return digestOf(this.#plan?.noteBytes ?? 0, ranges);
  }

  /** Waits until the application has ended by itself, and looks at every row that it has left. */
  async finish(...ranges: readonly IdRange[]): Promise<void> {
    this.openGate('pulse');
    const exit = await this.until('end of the application', () => this.#exitCode());
    this.equal(exit, 0, 'exit code of the application');
    const found = await this.witness.copies(this.table, this.#plan?.noteBytes ?? 0);
    this.books = count(found, ranges);
    this.equal(this.books.lost, 0, 'rows that were inserted and are not there as they were');
    this.equal(this.books.duplicated, 0, 'rows that are there once too often');
  }

  /** Ends what is left of the application. */
  async close(): Promise<void> {
    await this.#stopWatching();
    if (this.#exitCode() === undefined) await this.world.holdfast('stop', this.name);
  }

  async #holdfast(verb: string, ...words: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.world.holdfast(verb, ...words);
    if (code !== 0) throw new Error(`holdfast ${verb} ended with ${code}: ${stderr.trim()}`);
    return stdout;
  }

  #exitCode(): number | undefined {
    const file = join(this.world.directory, 'state/workloads', this.name, 'exit');
    return existsSync(file) ? Number(readFileSync(file, 'utf8')) : undefined;
  }

  /** The driver's error if there is one, else what was done last. */
  #lastWords(): string {
    const output = this.world.output(this.name).trim();
    return /^.*\b(?:ORA|NJS|DPI)-\d+.*$/m.exec(output)?.[0] ?? output.split('\n').slice(-2).join(' ');
  }
}

/** What an application makes of the rows with these ids, when every byte is right. */
export function digestOf(noteBytes: number, ranges: readonly IdRange[]): string {
  const digest = new RowDigest();
  for (const { firstId, rows } of ranges) {
    for (let id = firstId; id < firstId + rows; id++) digest.add(id, noteOf(id, noteBytes));
  }
  return digest.digest();
}

function count(found: readonly Copies[], ranges: readonly IdRange[]): Books {
  const rows = new Map(found.map((row) => [row.id, row]));
  let [lost, duplicated] = [0, 0];
  for (const { firstId, rows: wanted } of ranges) {
    for (let id = firstId; id < firstId + wanted; id++) {
      const row = rows.get(id);
      rows.delete(id);
      if (row === undefined || row.wrong) lost += 1;
      else duplicated += row.copies - 1;
    }
  }
  for (const { copies } of rows.values()) duplicated += copies;
  return { lost, duplicated };
}
