import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { makeBundle } from '../../../fixtures/lab/bundle.js';
import { makeImage, removeImage, volumesWith } from '../../../fixtures/lab/image.js';
import { freePort } from '../../../fixtures/lab/ports.js';
import { account, type World } from '../../../fixtures/lab/world.js';
import { processState, readOrNothing } from '../../../migrate/workload/process.js';
import type { Witness } from '../../e2e/witness.js';
import type { Application } from './applications.js';

export const noteBytes = 50;
const packageRoot = new URL('../../../../', import.meta.url).pathname;
const pollMs = 20;
/** Rows of each lane between what is done with it: it is at work then. */
const rowsMin = 5;

/** A line that an application prints: what was answered, and when by the clock on the wall. */
export interface Line {
  readonly time: number;
  readonly lane: number;
  /** The id of a row that was inserted. */
  readonly row?: number;
  /** The lane's rows, all of which are committed. */
  readonly committed?: number;
  readonly failed?: string;
}

export interface OrdersOptions {
  readonly application: Application;
  /** Of the workload. */
  readonly name: string;
  readonly world: World;
  readonly witness: Witness;
  /** Longest wait for any one thing. */
  readonly waitMs: number;
}

/** An application that takes orders all the time, as a workload at node-a. */
export class Orders {
  readonly name: string;
  readonly table: string;
  readonly #options: OrdersOptions;
  readonly #gates: string;
  #program = '';
  #image: string | undefined;

  constructor(options: OrdersOptions) {
    this.#options = options;
    this.name = options.name;
    this.table = `o_${options.name.replaceAll('-', '_')}`;
    this.#gates = join(options.world.directory, 'gates', options.name);
    mkdirSync(this.#gates, { recursive: true });
  }

  async start(): Promise<void> {
    const { application, witness } = this.#options;
    const { file, args } = await application.prepare();
    this.#program = args.at(-1) ?? '';
    await witness.createTable(this.table, noteBytes);
    await witness.noteMakers(this.table);
    const listen = `127.0.0.1:${await freePort('127.0.0.1')}`;
    const login = [`${listen}/${account.service}`, account.user, account.password];
    const words = [file, ...args, ...login, this.table, this.#gates, String(application.lanes)];
    const container = await this.#container();
    await this.holdfast('run', '--name', this.name, '--listen', listen, ...container, '--', ...words);
    await this.comeIn();
  }

  /** Words that make it a container. It sees Holdfast's programs and its gates under the paths that they have here. */
  async #container(): Promise<readonly string[]> {
    const { application, world } = this.#options;
    const own = [packageRoot, this.#gates].map((path) => ({ destination: path, source: path, access: 'ro' }) as const);
    const node = { destination: process.execPath, source: process.execPath, access: 'ro' } as const;
    // All below /usr is there.
    const mounts = process.execPath.startsWith('/usr/') ? own : [node, ...own];
    switch (application.mover) {
      case 'runc': {
        const directory = join(world.directory, 'bundles', this.name);
        makeBundle(directory, { args: [], mounts });
        return ['--bundle', directory];
      }
      case 'podman':
        this.#image = `localhost/${basename(world.directory)}-${this.name}`.toLowerCase();
        await makeImage(this.#image);
        return ['--image', this.#image, '--volume', volumesWith(mounts)];
      default:
        return [];
    }
  }

  /** Waits until each lane has inserted some more. */
  async comeIn(): Promise<void> {
    const rows = (lines: readonly Line[], lane: number) =>
      lines.filter((line) => line.lane === lane && line.row).length;
    const lanes = Array.from({ length: this.#options.application.lanes }, (_, lane) => lane);
    const before = this.lines();
    await this.until('more rows', () => {
      const now = this.lines();
      return lanes.every((lane) => rows(now, lane) >= rows(before, lane) + rowsMin);
    });
  }

  /** Ends the transaction of each lane. @param number counts them, from 1 on */
  async commit(number: number): Promise<void> {
    const commits = () => this.lines().filter(({ committed }) => committed !== undefined).length;
    writeFileSync(join(this.#gates, `commit-${number}`), '');
    await this.until(`commit ${number}`, () => commits() === number * this.#options.application.lanes);
  }

  /** The last commits; then the application ends by itself. */
  async end(): Promise<void> {
    writeFileSync(join(this.#gates, 'stop'), '');
    await this.until('end of the application', () => this.#exitCode !== undefined);
    // It has ended; what engines keep of a container goes with this.
    await this.holdfast('stop', this.name);
    if (this.#image !== undefined) await removeImage(this.#image);
  }

  lines(): readonly Line[] {
    const lines = this.#options.world.output(this.name).split('\n').slice(0, -1);
    return lines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line));
  }

  /** Its processes that run: those that are stopped do not. */
  copies(): readonly number[] {
    const pids = readdirSync('/proc').map(Number).filter(Number.isInteger);
    return pids.filter((pid) => {
      const words = readOrNothing(`/proc/${pid}/cmdline`)?.split('\0') ?? [];
      return words[1] === this.#program && words.includes(this.#gates) && processState(pid)?.state !== 'T';
    });
  }

  async until(what: string, isSo: () => boolean): Promise<void> {
    const { waitMs, world } = this.#options;
    const deadlineMs = performance.now() + waitMs;
    while (!isSo()) {
      const isOver = this.#exitCode !== undefined && this.#exitCode !== 0;
      if (isOver || performance.now() > deadlineMs) {
        const words = world.output(this.name).trim().split('\n').slice(-3).join(' ');
        throw new Error(`no ${what} ${isOver ? 'before it ended' : `within ${waitMs} ms`}: ${words}`);
      }
      await setTimeout(pollMs);
    }
  }

  /** @returns what a command printed for programs, also when it failed */
  async holdfast(verb: string, ...words: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.#options.world.holdfast(verb, ...words);
    if (stdout === '' && code !== 0) throw new Error(`holdfast ${verb}: ${stderr.trim()}`);
    return stdout;
  }

  get #exitCode(): number | undefined {
    return this.#options.world.exitCode(this.name);
  }
}
