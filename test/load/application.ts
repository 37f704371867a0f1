/**
 * An application as anybody writes it with the `oracledb` driver, which never stops: a pool of connections, and on each of them one
 * transaction after the other. It knows nothing of Holdfast. What it has done it prints, one JSON object in a line; it ends when
 * there is a file of the given name. When a connection breaks it tells so, with all that was done in it, and goes on with another.
 *
 *     node application.js HOST:PORT/SERVICE USER PASSWORD PLAN
 */
import { existsSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import oracledb from 'oracledb';
import { idsPerConnection } from '../../fixtures/apps/rows.js';
import { Random, seedOf } from '../../shim/program/random.js';
import { type LoadEvent, type LoadPlan, machineMs, type StepKind, stepKinds } from './plan.js';
import { print, Steps } from './steps.js';

const slowMs = 100;
const pulseTellMs = 1_000;
/** Sessions that end one after the other are told of, all of them, and not without end. */
const livesMax = 20;
const connectsMax = 30;
const connectPauseMs = 200;

/** The transaction that is under way. */
interface Open {
  readonly number: number;
  readonly firstId: number;
  readonly beganMs: number;
  shard: number;
  committing: boolean;
}

class Session {
  readonly #steps: Steps;
  readonly #session: number;
  readonly #life: number;
  readonly #plan: LoadPlan;
  readonly #random: Random;
  #open: Open | undefined;
  #number = 0;

  constructor(steps: Steps, session: number, life: number, plan: LoadPlan) {
    this.#steps = steps;
    this.#session = session;
    this.#life = life;
    this.#plan = plan;
    this.#random = new Random(seedOf(plan.seed, session * livesMax + life));
  }

  async work(): Promise<void> {
    const isPulse = this.#plan.pulseMs > 0 && this.#session === this.#plan.first;
    while (!this.#isOver) {
      const open = this.#begin();
      if (isPulse) await this.#pulse(open.number);
      else await this.#takeSteps(open);
      await this.#finish(open, isPulse || this.#random.chance(0.9));
    }
  }

  /** What was being done when the connection broke. */
  lost(error: unknown): Extract<LoadEvent, { kind: 'lost' }> {
    const { number, firstId, committing, shard } = this.#open ?? this.#begin();
    const where = { session: this.#session, life: this.#life, number, firstId, rows: this.#steps.lastId + 1 - firstId };
    return { kind: 'lost', error: String(error), committing, shard, atMs: machineMs(), ...where };
  }

  get #isOver(): boolean {
    return existsSync(this.#plan.stopFile);
  }

  #begin(): Open {
    this.#number += 1;
    const shard = this.#random.below(this.#plan.shards);
    const open = {
      number: this.#number,
      firstId: this.#steps.lastId + 1,
      beganMs: machineMs(),
      shard,
      committing: false,
    };
    this.#open = open;
    return open;
  }

  async #takeSteps({ number, firstId }: Open): Promise<void> {
    const { stepsMax, pauseMsMax } = this.#plan;
    const steps = this.#random.between(1, stepsMax);
    for (let step = 0; step < steps; step += 1) {
      const kind = this.#nextKind();
      const beganMs = machineMs();
      await this.#take(kind, number, firstId);
      const endedMs = machineMs();
      if (endedMs - beganMs > slowMs) print({ kind: 'slow', session: this.#session, step: kind, beganMs, endedMs });
      await setTimeout(this.#random.unit() * pauseMsMax);
    }
    await this.#steps.readBack(firstId);
  }

  async #take(kind: StepKind, number: number, firstId: number): Promise<void> {
    switch (kind) {
      case 'insert':
        return this.#steps.insert(number);
      case 'insertMany':
        return this.#steps.insertMany(number, this.#random.between(1, this.#plan.arrayRowsMax));
      case 'readBack':
        return this.#steps.readBack(firstId);
      case 'fetch':
        return this.#steps.fetch();
      case 'writeLob':
        return this.#steps.writeLob(number);
      case 'readLob':
        return this.#steps.readLobs(firstId);
    }
  }

  #nextKind(): StepKind {
    const { mix } = this.#plan;
    let left = this.#random.unit() * stepKinds.reduce((sum, kind) => sum + mix[kind], 0);
    for (const kind of stepKinds) {
      left -= mix[kind];
      if (left < 0) return kind;
    }
    return 'insert';
  }

  /** Small calls, whose answers follow from what was asked, until the end. */
  async #pulse(number: number): Promise<void> {
    let calls: (readonly [number, number])[] = [];
    let tellAtMs = machineMs() + pulseTellMs;
    const tell = (): void => {
      print({ kind: 'pulse', session: this.#session, calls });
      calls = [];
      tellAtMs = machineMs() + pulseTellMs;
    };
    for (let count = 0; !this.#isOver; count += 1) {
      const beganMs = machineMs();
      if (count % 10 === 0) await this.#steps.insert(number);
      else await this.#steps.echo(count);
      calls.push([beganMs, machineMs()]);
      if (machineMs() > tellAtMs) tell();
      await setTimeout(this.#plan.pulseMs);
    }
    tell();
  }

  async #finish(open: Open, committed: boolean): Promise<void> {
    const { number, firstId, beganMs, shard } = open;
    const rows = this.#steps.lastId + 1 - firstId;
    await this.#steps.count(shard, rows);
    open.committing = committed;
    await this.#steps.finish(committed);
    this.#open = undefined;
    const what = { session: this.#session, life: this.#life, number, firstId, rows, shard, committed };
    print({ kind: 'transaction', ...what, beganMs, endedMs: machineMs() });
  }
}

/** One session, and those that follow it when it is lost. @returns what it has done in all of its lives */
async function live(pool: oracledb.Pool, session: number, plan: LoadPlan): Promise<readonly Steps[]> {
  const lives: Steps[] = [];
  for (let life = 1; life <= livesMax; life += 1) {
    const connection = await connect(pool);
    const steps = new Steps(connection, session, plan, lives.at(-1)?.lastId ?? session * idsPerConnection);
    lives.push(steps);
    const worker = new Session(steps, session, life, plan);
    try {
      await worker.work();
      return lives;
    } catch (error) {
      print(worker.lost(error));
      // The driver takes it out of the pool; of a broken connection nothing can be asked.
      await connection.close({ drop: true }).catch(() => undefined);
    }
  }
  return lives;
}

/** A connection that breaks while it is being made has nothing to lose: there is another try. */
async function connect(pool: oracledb.Pool): Promise<oracledb.Connection> {
  for (let left = connectsMax; ; left -= 1) {
    try {
      return await pool.getConnection();
    } catch (error) {
      if (left <= 1) throw error;
      await setTimeout(connectPauseMs);
    }
  }
}

async function main(): Promise<void> {
  const [connectString = '', user = '', password = '', planText = ''] = process.argv.slice(2);
  const plan: LoadPlan = JSON.parse(planText);
  const { sessions: count, first } = plan;
  const options = { user, password, connectString, poolMin: count, poolMax: count, poolPingInterval: -1 };
  const pool = await oracledb.createPool(options);
  const sessions = Array.from({ length: count }, (_, index) => live(pool, first + index, plan));
  print({ kind: 'ready' });
  const lives = (await Promise.all(sessions)).flat();
  const sum = (of: (steps: Steps) => number): number => lives.reduce((total, steps) => total + of(steps), 0);
  print({
    kind: 'done',
    calls: sum(({ calls }) => calls),
    fetches: sum(({ fetches }) => fetches),
    lobs: sum(({ lobs }) => lobs),
  });
}

await main();
// Connections that are lost do not close in order, and must not keep the process.
process.exit(0);
