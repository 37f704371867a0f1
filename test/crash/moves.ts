import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import type { Program } from '../../fixtures/lab/program.js';
import { account, type NodeName, node, openWorld, type World, type WorldOptions } from '../../fixtures/lab/world.js';
import type { MoveRecord } from '../../migrate/record.js';
import type { Random } from '../../shim/program/random.js';
import { Witness } from '../e2e/witness.js';
import { Blows } from './blows.js';

export interface MovesOptions {
  readonly world: WorldOptions;
  readonly moves: number;
  readonly random: Random;
  readonly say: (text: string) => void;
}

export interface MovesResult {
  readonly mover: World['mover'];
  readonly moved: number;
  readonly putBack: number;
  /** Phases in which a worker was killed before the move was over. */
  readonly killedIn: readonly string[];
  readonly violations: readonly string[];
}

const application = new URL('../../fixtures/apps/insert-rows.js', import.meta.url).pathname;
const name = 'orders';
const rowsPerSecond = 300;
const waitMsMax = 60_000;
const pollMs = 10;
/** Most phases are shorter than this. */
const phaseMs = 5;

/** Moves of an application in one transaction, with a kill of the proxy's worker in each; then every row is counted. */
export async function moveUnderKills(options: MovesOptions): Promise<MovesResult> {
  const blows = new Blows();
  const world = await openWorld({ ...options.world, proxyFlags: blows.flags });
  try {
    const witness = await Witness.open(world.postgresUrl);
    try {
      return await new Moves(options, world, witness, blows).run();
    } finally {
      await witness.close();
    }
  } finally {
    await world.close();
    blows.close();
  }
}

class Moves {
  readonly #options: MovesOptions;
  readonly #world: World;
  readonly #witness: Witness;
  readonly #blows: Blows;
  readonly #violations: string[] = [];
  readonly #outcomes: MoveRecord['outcome'][] = [];
  #at: NodeName = 'node-a';
  /** That a move has, by this mover. */
  #phases: readonly string[] = [];
  readonly #killedIn: string[] = [];
  /** The last move, in words. */
  #last = '';

  constructor(options: MovesOptions, world: World, witness: Witness, blows: Blows) {
    this.#options = options;
    this.#world = world;
    this.#witness = witness;
    this.#blows = blows;
  }

  async run(): Promise<MovesResult> {
    const { moves, say } = this.#options;
    const rows = await this.#start();
    const [before] = await this.#witness.sessions();
    for (let number = 0; number <= moves; number += 1) {
      // The first one tells which phases there are.
      await this.#move(number > 0);
      say(`${this.#world.mover}: ${number} moves with a kill; ${this.#last}`);
      if (this.#violations.length > 0) break;
    }
    const [after] = await this.#witness.sessions();
    if (String(before) !== String(after)) this.#violations.push(`the session was ${before}, and is ${after}`);
    if (moves > 0 && this.#killedIn.length === 0) this.#violations.push('all kills came when a move was over');
    await this.#finish(rows);
    const count = (outcome: MoveRecord['outcome']) => this.#outcomes.filter((each) => each === outcome).length;
    return {
      mover: this.#world.mover,
      moved: count('moved'),
      putBack: count('put-back'),
      killedIn: this.#killedIn,
      violations: this.#violations,
    };
  }

  /** @returns how many rows the application inserts before its only COMMIT */
  async #start(): Promise<number> {
    const { shimAddress } = this.#world;
    const login = [`${shimAddress}/${account.service}`, account.user, account.password];
    // Longer than all moves take.
    const rows = Math.ceil((this.#options.moves + 2) * 2 * rowsPerSecond);
    const { file, args } = node(application, ...login, String(rows), String(rowsPerSecond));
    const { code, stderr } = await this.#world.holdfast(
      'run',
      '--name',
      name,
      '--listen',
      shimAddress,
      '--',
      file,
      ...args,
    );
    if (code !== 0) throw new Error(`the application did not start: ${stderr.trim()}`);
    await this.#until('its first rows', () => this.#inserted > 0);
    return rows;
  }

  async #move(kills: boolean): Promise<void> {
    const to = this.#at === 'node-a' ? 'node-b' : 'node-a';
    const { mover, files, programs } = this.#world;
    const words = ['move', name, '--to', to, '--mover', mover, '--json', ...files];
    const beganMs = performance.now();
    const moving = this.#world.start('moving', 'center', node(programs.holdfast, ...words));
    let isOver = false;
    void moving.ended.then(() => {
      isOver = true;
    });
    if (kills) {
      const phase = await this.#somewhere(moving);
      if (!isOver) this.#killedIn.push(phase);
      this.#kill();
    }
    const { stdout, stderr } = await moving.ended;
    if (stdout === '') {
      this.#violations.push(`a move ended with ${stderr.trim()}`);
      return;
    }
    const { outcome, error, phases }: MoveRecord = JSON.parse(stdout);
    if (!kills) this.#phases = phases.map(({ phase }) => phase);
    this.#outcomes.push(outcome);
    const why = error === undefined ? '' : ` (${error.code} in ${error.phase})`;
    this.#last = `${outcome}${why} in ${Math.round(performance.now() - beganMs)} ms`;
    if (outcome === 'moved') this.#at = to;
    if (outcome === 'stranded' || (outcome === 'put-back' && !kills)) {
      this.#violations.push(`a move ${outcome}: ${error?.code}: ${error?.message}`);
    }
    const now = this.#inserted;
    await this.#until(`the next rows after a move that ended ${outcome}`, () => this.#inserted > now);
    this.#countCopies();
  }

  /** Waits until a move has come to some phase, and a little longer. @returns the phase */
  async #somewhere(moving: Program): Promise<string> {
    const { random } = this.#options;
    const phase = this.#phases[random.below(this.#phases.length)] ?? '';
    // When it fails before, that is as good a moment.
    await moving.printed(new RegExp(`"kind":"phase","phase":"${phase}"|"kind":"failed"`)).catch(() => undefined);
    await setTimeout(random.unit() * phaseMs);
    return phase;
  }

  #kill(): void {
    const worker = this.#world.proxy.workerPid;
    if (worker === 0) this.#violations.push('there was no worker to kill');
    else this.#blows.strike(worker, 'kill');
  }

  /** Copies of the application that run: those that are stopped for good do not. */
  #countCopies(): void {
    const running = processes().filter(({ command, state }) => command.includes(application) && state !== 'T');
    const copies = running.filter(({ command }) => command.includes(this.#world.shimAddress) && !isWrapper(command));
    if (copies.length !== 1) {
      const told = copies.map(({ pid, state, command }) => `${pid} ${state} ${command}`).join('; ');
      this.#violations.push(`${copies.length} copies run: ${told}`);
    }
  }

  async #finish(rows: number): Promise<void> {
    if (this.#violations.length > 0) return;
    await this.#until('its COMMIT', () => this.#world.output(name).includes('committed'));
    const sql =
      'select 1 as key, count(*)::int as value from app.orders union all select 2, sum(id)::float8 from app.orders';
    const found = await this.#witness.numbers(sql);
    if (found.get(1) !== rows || found.get(2) !== (rows * (rows + 1)) / 2) {
      this.#violations.push(`${found.get(1)} rows with the sum ${found.get(2)}, and ${rows} were committed`);
    }
  }

  get #inserted(): number {
    return Number(/inserted (\d+)\n$/.exec(this.#world.output(name))?.[1] ?? 0);
  }

  async #until(what: string, isSo: () => boolean): Promise<void> {
    const deadlineMs = performance.now() + waitMsMax;
    while (!isSo()) {
      if (performance.now() > deadlineMs) {
        const words = this.#world.output(name).trim().split('\n').slice(-3).join('\n');
        throw new Error(`${what}: not within ${waitMsMax} ms; it said: ${words}`);
      }
      await setTimeout(pollMs);
    }
  }
}

/** What only starts the application, and names it. */
function isWrapper(command: string): boolean {
  return !command.startsWith(process.execPath) || command.includes('cli.js');
}

interface Process {
  readonly pid: number;
  readonly state: string;
  readonly command: string;
}

function processes(): readonly Process[] {
  const found: Process[] = [];
  for (const pid of readdirSync('/proc').map(Number).filter(Number.isInteger)) {
    const file = (which: string) => `/proc/${pid}/${which}`;
    if (!existsSync(file('stat'))) continue;
    try {
      const command = readFileSync(file('cmdline'), 'utf8').replaceAll('\0', ' ');
      const state = /\) (\S)/.exec(readFileSync(file('stat'), 'utf8'))?.[1] ?? '?';
      found.push({ pid, state, command });
    } catch {
      // It has ended in the meantime.
    }
  }
  return found;
}
