import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { freePort } from '../../fixtures/lab/ports.js';
import { type CommandLine, Program } from '../../fixtures/lab/program.js';
import { node } from '../../fixtures/lab/world.js';
import { quantile } from '../storm/machine.js';
import type { Moved } from './peer.js';

export interface FairnessOptions {
  /** What the busy connection moves in each direction, at least. */
  readonly bytes: number;
  /** How long the quiet one is looked at, at least. */
  readonly quietMs: number;
  /** Of the link, at both ends. */
  readonly windowBytes: number;
  /** Most times as long as alone that a round trip may take, at the median. */
  readonly factorMax: number;
  readonly say: (text: string) => void;
}

export interface RoundTrips {
  readonly count: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

export interface Beside extends RoundTrips {
  /** Of the busy connection. */
  readonly bytes: number;
  readonly mebibytesPerSecond: number;
  /** Against being alone. */
  readonly ratio: { readonly p50: number; readonly p99: number };
}

export interface FairnessResult {
  readonly ok: boolean;
  readonly factorMax: number;
  readonly alone: RoundTrips;
  readonly besideDown: Beside;
  readonly besideUp: Beside;
  /** The same two programs over the same machine with nothing between them: what the processors alone make of it. */
  readonly straight: { readonly alone: RoundTrips; readonly besideDown: Beside; readonly besideUp: Beside };
}

const programs = {
  shim: new URL('../../shim/main.js', import.meta.url).pathname,
  proxy: new URL('../../proxy/main.js', import.meta.url).pathname,
  peer: new URL('./peer.js', import.meta.url).pathname,
} as const;
/** Fewer say nothing. */
const tripsMin = 100;
/** A gigabyte, or that many round trips, on a machine that has much else to do. */
const enoughMsMax = 600_000;

/** One link, one connection that is busy and one that is not: what the first does to the second. */
export class Fairness {
  readonly #options: FairnessOptions;
  readonly #programs: Program[] = [];
  readonly #directory = mkdtempSync(join(tmpdir(), 'hf-fairness-'));

  private constructor(options: FairnessOptions) {
    this.#options = options;
  }

  static async run(options: FairnessOptions): Promise<FairnessResult> {
    const fairness = new Fairness(options);
    try {
      return await fairness.#run();
    } finally {
      for (const program of fairness.#programs.toReversed()) await program.stop();
      rmSync(fairness.#directory, { recursive: true });
    }
  }

  async #run(): Promise<FairnessResult> {
    const { factorMax, windowBytes, say } = this.#options;
    const window = ['--link-window', `${windowBytes}B`];
    const local = async () => `127.0.0.1:${await freePort('127.0.0.1')}`;
    const [database, link, listen] = [await local(), await local(), await local()];
    const secret = join(this.#directory, 'secret');
    writeFileSync(secret, randomBytes(32).toString('base64'), { mode: 0o600 });
    await this.#start('database', node(programs.peer, 'database', database.split(':')[1] ?? '')).printed(/ready/);
    const control = ['--control-socket', join(this.#directory, 'control')];
    const where = ['--database', database, '--listen', link, '--secret-file', secret];
    await this.#start('proxy', node(programs.proxy, ...where, ...control, ...window)).printed(/ready for shims/);
    const shim = ['--workload', 'fair', '--proxy', link, '--listen', listen, '--secret-file', secret];
    await this.#start('shim', node(programs.shim, ...shim, ...window)).printed(/"bound"/);
    say('straight, with nothing between');
    const straight = await this.#measure(database);
    say('through shim and proxy');
    const through = await this.#measure(listen);
    const ok = [through.besideDown, through.besideUp].every(({ ratio }) => ratio.p50 <= factorMax);
    return { ok, factorMax, ...through, straight };
  }

  async #measure(address: string): Promise<Pick<FairnessResult, 'alone' | 'besideDown' | 'besideUp'>> {
    const alone = await this.#alone(address);
    const besideDown = await this.#beside(address, 'down', alone);
    return { alone, besideDown, besideUp: await this.#beside(address, 'up', alone) };
  }

  async #alone(address: string): Promise<RoundTrips> {
    const quiet = await this.#startQuiet(address);
    await setTimeout(this.#options.quietMs);
    await quiet.printed(/^enough$/m, enoughMsMax);
    return roundTripsOf(quiet);
  }

  /** All round trips are those of a time in which the other connection was busy. */
  async #beside(address: string, direction: 'down' | 'up', alone: RoundTrips): Promise<Beside> {
    const busy = this.#start('busy', node(programs.peer, 'busy', address, direction, String(this.#options.bytes)));
    await busy.printed(/^moving$/m);
    const quiet = await this.#startQuiet(address);
    for (const each of [quiet, busy]) await each.printed(/^enough$/m, enoughMsMax);
    const found = await roundTripsOf(quiet);
    const { stdout, stderr, code } = await busy.stop();
    if (code !== 0) throw new Error(`the busy connection has failed: ${stderr}`);
    const { bytes, tookMs }: Moved = JSON.parse(stdout.slice(stdout.indexOf('{')));
    return {
      ...found,
      bytes,
      mebibytesPerSecond: Math.round(bytes / 1_048_576 / (tookMs / 1_000)),
      ratio: { p50: rounded(found.p50Ms / alone.p50Ms), p99: rounded(found.p99Ms / alone.p99Ms) },
    };
  }

  async #startQuiet(address: string): Promise<Program> {
    const quiet = this.#start('quiet', node(programs.peer, 'quiet', address, String(tripsMin)));
    await quiet.printed(/^quiet$/m);
    return quiet;
  }

  #start(name: string, command: CommandLine): Program {
    const program = new Program(name, command, { logFile: join(this.#directory, `${name}.log`) });
    this.#programs.push(program);
    void program.ended.then(() => this.#programs.splice(this.#programs.indexOf(program), 1));
    return program;
  }
}

async function roundTripsOf(quiet: Program): Promise<RoundTrips> {
  const { stdout, stderr, code } = await quiet.stop();
  if (code !== 0) throw new Error(`the quiet connection has failed: ${stderr}`);
  const tripsMs: readonly number[] = JSON.parse(stdout.slice(stdout.indexOf('[')));
  // The first of a process that has just begun are slow.
  const times = tripsMs.slice(Math.floor(tripsMs.length / 4));
  return { count: times.length, p50Ms: rounded(quantile(times, 0.5)), p99Ms: rounded(quantile(times, 0.99)) };
}

function rounded(value: number): number {
  return Math.round(value * 100) / 100;
}
