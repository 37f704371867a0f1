import {
  chmodSync,
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { z } from 'zod';
import { loadYaml } from '../../shim/program/config.js';
import { carrierNames, type MoveRecord, moveRecord } from '../record.js';
import { isAlive, processState, readOrNothing } from './process.js';

const stored = z.object({
  name: z.string(),
  /** The one agent that may change this. */
  node: z.string(),
  /** The init of the tree, as its agent sees it. */
  pid: z.number(),
  startTicks: z.string(),
  isolated: z.boolean(),
  /** What its processes were started for. */
  mover: z.enum(carrierNames).default('criu'),
  /** What runc or podman call the container, for one. */
  container: z.string().optional(),
  command: z.array(z.string()),
  startedAt: z.string(),
  labels: z.record(z.string(), z.string()).optional(),
  /** A move that has begun and has not ended; its journal says how far it is. */
  moving: z.object({ move: z.string(), to: z.string() }).optional(),
});

export const processIdentity = z.object({ pid: z.number(), startTicks: z.string(), container: z.string().optional() });
export type ProcessIdentity = z.infer<typeof processIdentity>;

const copy = processIdentity.extend({
  /** Its shim has bound, and the application was let go, or is about to be. */
  isReleased: z.boolean(),
});
export type Copy = z.infer<typeof copy>;

export type StoredWorkload = z.infer<typeof stored>;

export interface StoreOptions {
  readonly images?: string | undefined;
  /** Images stay when their moves are over. */
  readonly keepImages?: boolean;
}

/**
 * The directory that all nodes share: one directory for each workload, with its sockets, logs, images and what agents
 * must remember. Only its owner may look inside: images hold the memory of applications.
 */
export class Store {
  /** The directory that was given: where images are. */
  readonly root: string;
  readonly #root: string;
  readonly #uid: number | undefined;

  /** Where images are, when that is not below the root: a directory of this node alone. */
  readonly images: string | undefined;
  readonly #keepImages: boolean;

  /** @param uid who must own the directories */
  constructor(root: string, uid = process.getuid?.(), options: StoreOptions = {}) {
    this.#uid = uid;
    this.#keepImages = options.keepImages ?? false;
    this.images = options.images === undefined ? undefined : resolve(options.images);
    if (this.images !== undefined) makePrivate(this.images, uid);
    this.root = resolve(root);
    this.#root = join(this.root, 'workloads');
    makePrivate(this.#root, uid);
  }

  /** @returns undefined when there is no such workload */
  read(name: string): StoredWorkload | undefined {
    const file = join(this.directory(name), 'workload.json');
    return readOrNothing(file) === undefined ? undefined : loadYaml(file, stored);
  }

  /** Whole or not at all, whatever happens in between. */
  write(workload: StoredWorkload): void {
    this.#replace(join(this.directory(workload.name), 'workload.json'), `${JSON.stringify(workload)}\n`);
  }

  all(): readonly StoredWorkload[] {
    return readdirSync(this.#root).flatMap((name) => this.read(name) ?? []);
  }

  create(name: string): string {
    const directory = this.directory(name);
    rmSync(directory, { recursive: true, force: true });
    mkdirSync(directory, { mode: 0o700 });
    return directory;
  }

  directory(name: string): string {
    return join(this.#root, name);
  }

  /** What its processes see of that: a container has a directory of its own in there, and the rest is not for its eyes. */
  #shared(name: string): string {
    const container = join(this.directory(name), 'container');
    return existsSync(container) ? container : this.directory(name);
  }

  controlSocket(name: string): string {
    return join(this.#shared(name), 'shim.sock');
  }

  /** What the init writes when the application has ended. */
  exitCode(name: string): number | undefined {
    const text = readOrNothing(join(this.#shared(name), 'exit'));
    return text === undefined ? undefined : Number(text);
  }

  /** Where one move keeps its image, CRIU's logs and its record. */
  moveDirectory(name: string, move: string): string {
    return join(this.directory(name), 'moves', move);
  }

  openMove(name: string, move: string): string {
    const directory = this.moveDirectory(name, move);
    // Also those above it: whoever opened one since the agent started would see the image that is about to be written.
    for (const each of [this.#root, this.directory(name), directory]) makePrivate(each, this.#uid);
    return directory;
  }

  /** Those that there is a directory of, oldest first. */
  moves(name: string): readonly string[] {
    return [...names(join(this.directory(name), 'moves'))].sort();
  }

  hasMove(name: string, move: string): boolean {
    return existsSync(this.moveDirectory(name, move));
  }

  /** What the target made from the image. */
  readCopy(name: string, move: string): Copy | undefined {
    const file = join(this.moveDirectory(name, move), 'copy.json');
    return readOrNothing(file) === undefined ? undefined : loadYaml(file, copy);
  }

  writeCopy(name: string, move: string, copy: Copy): void {
    this.#replace(join(this.moveDirectory(name, move), 'copy.json'), JSON.stringify(copy));
  }

  /**
   * Where this node keeps the image of a move. Where it does so in a directory of its own, the name that all nodes see leads
   * there from now on: first at the source, then, when it has the image, at the target.
   */
  openImage(name: string, move: string): string {
    const shared = join(this.moveDirectory(name, move), 'image');
    const own = this.#ownImage(name, move);
    if (own === undefined) return shared;
    makePrivate(own, this.#uid);
    const link = `${shared}.${process.pid}`;
    rmSync(link, { force: true });
    symlinkSync(own, link);
    renameSync(link, shared);
    return own;
  }

  /** An image holds the application's memory and is of no use after the move. */
  removeImage(name: string, move: string): void {
    if (this.#keepImages) return;
    const own = this.#ownImage(name, move);
    if (own !== undefined) rmSync(own, { recursive: true, force: true });
    rmSync(join(this.moveDirectory(name, move), 'image'), { recursive: true, force: true });
  }

  #ownImage(name: string, move: string): string | undefined {
    return this.images === undefined ? undefined : join(this.images, `${name}-${move}`);
  }

  writeRecord(name: string, move: string, record: unknown): void {
    this.#replace(join(this.moveDirectory(name, move), 'record.json'), `${JSON.stringify(record, undefined, 2)}\n`);
  }

  /** What agents remember of more than one workload: one small file each. @returns undefined when there is none */
  readNote<T>(name: string, schema: z.ZodType<T>): T | undefined {
    const file = this.#noteFile(name);
    return readOrNothing(file) === undefined ? undefined : loadYaml(file, schema);
  }

  writeNote(name: string, note: unknown): void {
    this.#replace(this.#noteFile(name), `${JSON.stringify(note, undefined, 2)}\n`);
  }

  #noteFile(name: string): string {
    return join(this.#root, '..', `${name}.json`);
  }

  /** What is left of the last moves of all workloads, oldest first. What cannot be read, or is of another version, is left out. */
  lastRecords(most: number): readonly MoveRecord[] {
    const moves = names(this.#root).flatMap((name) => this.moves(name).map((move) => ({ name, move })));
    // Names of moves begin with their time.
    moves.sort((one, other) => one.move.localeCompare(other.move));
    return moves.slice(-most).flatMap(({ name, move }) => {
      const text = readOrNothing(join(this.moveDirectory(name, move), 'record.json'));
      const found = moveRecord.safeParse(text === undefined ? undefined : JSON.parse(text));
      return found.success ? [found.data] : [];
    });
  }

  readRecord(name: string, move: string): MoveRecord | undefined {
    const file = join(this.moveDirectory(name, move), 'record.json');
    return readOrNothing(file) === undefined ? undefined : loadYaml(file, moveRecord);
  }

  #replace(file: string, content: string): void {
    writeFileSync(`${file}.new`, content, { mode: 0o600, flush: true });
    renameSync(`${file}.new`, file);
    syncDirectory(dirname(file));
  }
}

/** A new name outlives the host only when its directory is written too. */
export function syncDirectory(directory: string): void {
  const opened = openSync(directory, 'r');
  fsyncSync(opened);
  closeSync(opened);
}

function names(directory: string): readonly string[] {
  return existsSync(directory) ? readdirSync(directory) : [];
}

/** Makes a directory that only this user can look into. Throws when it belongs to another one, who could open it again. */
function makePrivate(directory: string, owner: number | undefined): void {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const { uid } = statSync(directory);
  if (uid !== owner) throw new Error(`${directory} belongs to another user (id ${uid})`);
  chmodSync(directory, 0o700);
}

export type WorkloadLife = 'running' | 'frozen' | 'ended';

export function lifeOf(workload: StoredWorkload): WorkloadLife {
  if (!isAlive(workload.pid, workload.startTicks)) return 'ended';
  return processState(workload.pid)?.state === 'T' ? 'frozen' : 'running';
}
