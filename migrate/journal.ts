import { closeSync, constants, fdatasync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { z } from 'zod';
import { errorText } from '../shim/program/errors.js';
import { MoveError } from './errors.js';
import { phaseNames, undoOf } from './plan.js';
import { afterDeadline, asker, failure, knownSession, moments, moverNames } from './record.js';
import { readOrNothing } from './workload/process.js';
import { syncDirectory } from './workload/store.js';

const sync = promisify(fdatasync);
/** Milliseconds since 1970, with fractions. */
const atMs = z.number();
const phase = z.enum(phaseNames);
const undo = z.enum(Object.values(undoOf));

/** What was asked for: all that a move needs to be begun again by another process. */
const begin = z.object({
  kind: z.literal('begin'),
  atMs,
  move: z.string(),
  workload: z.string(),
  mover: z.enum(moverNames),
  from: z.string(),
  to: z.string(),
  allowUnknown: z.boolean(),
  maxBlackoutMs: z.number().optional(),
  when: z.enum(moments),
  deadlineMs: z.number(),
  // Of the deadline.
  after: z.enum(afterDeadline),
  by: asker,
});

/** What the preflight saw: which life of the shim is moved, and what it must still have afterwards. */
export const before = z.object({
  row: z.object({ name: z.string(), instance: z.string(), epoch: z.number(), address: z.string() }),
  sessions: z.array(knownSession).readonly(),
  shimPid: z.number(),
});

const entry = z.discriminatedUnion('kind', [
  begin,
  z.object({ kind: z.literal('found'), atMs, before }),
  /** The link is taken down: from here on the application waits, if it was not only for a look. */
  z.object({ kind: z.literal('dark'), atMs }),
  z.object({ kind: z.literal('phase'), atMs, phase }),
  z.object({ kind: z.literal('done'), atMs, phase, ms: z.number() }),
  z.object({ kind: z.literal('failed'), atMs, phase, ms: z.number(), error: failure }),
  z.object({ kind: z.literal('undo'), atMs, undo }),
  z.object({ kind: z.literal('undone'), atMs, undo, error: failure.optional() }),
  /** Another process, or another attempt, goes on from here. */
  z.object({ kind: z.literal('resume'), atMs, owner: z.enum(['source', 'target']) }),
  z.object({ kind: z.literal('end'), atMs, outcome: z.enum(['moved', 'put-back', 'stranded']) }),
]);

export type JournalEntry = z.infer<typeof entry>;
export type Begin = z.infer<typeof begin>;
export type Before = z.infer<typeof before>;
type Unstamped<T> = T extends unknown ? Omit<T, 'atMs'> : never;

/**
 * The state of one move, a JSON object a line, written before what it announces is done. A line that is written outlives this
 * process; `flush` waits until it outlives the host too. The phases in which the application waits do not wait for the disk:
 * with the host its processes are gone as well, and who owns the sessions is asked of the proxy.
 */
export class Journal {
  readonly #file: number;
  #isOpen = true;

  constructor(directory: string) {
    const text = readOrNothing(fileIn(directory)) ?? '';
    this.#file = openSync(fileIn(directory), constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT, 0o600);
    if (!text.endsWith('\n')) ftruncateSync(this.#file, Buffer.byteLength(text.slice(0, text.lastIndexOf('\n') + 1)));
    for (const each of [directory, dirname(directory)]) syncDirectory(each);
  }

  /** @throws {MoveError} journal-failed */
  write(what: Unstamped<JournalEntry>): void {
    try {
      writeSync(this.#file, `${JSON.stringify({ atMs: performance.timeOrigin + performance.now(), ...what })}\n`);
    } catch (cause) {
      throw failed(cause);
    }
  }

  /**
   * Only here, and not behind every line: the next line would have to wait for the disk.
   * @throws {MoveError} journal-failed when what was written so far could not be made durable
   */
  async flush(): Promise<void> {
    try {
      await sync(this.#file);
    } catch (cause) {
      throw failed(cause);
    }
  }

  /** Can be called twice. */
  close(): void {
    if (this.#isOpen) closeSync(this.#file);
    this.#isOpen = false;
  }
}

/** What a journal says; a last line that was cut off in the middle was never acted upon. Nothing where there is no journal. */
export function readJournal(directory: string): readonly JournalEntry[] {
  const lines = readOrNothing(fileIn(directory))?.split('\n').slice(0, -1) ?? [];
  return lines.map((line) => entry.parse(JSON.parse(line)));
}

/** What a journal means for those who go on with its move. */
export interface Past {
  readonly begin: Begin;
  readonly before: Before | undefined;
  /** The last phase that was begun. */
  readonly phase: (typeof phaseNames)[number] | undefined;
  readonly error: z.infer<typeof failure> | undefined;
  /** The target may have bound. */
  readonly bindBegun: boolean;
  /** The source may have bound again. */
  readonly attachBegun: boolean;
  readonly outcome: (JournalEntry & { kind: 'end' })['outcome'] | undefined;
}

/** @returns undefined for a move that never began */
export function pastOf(entries: readonly JournalEntry[]): Past | undefined {
  const [first] = entries;
  if (first?.kind !== 'begin') return undefined;
  let past: Past = {
    ...{ begin: first, before: undefined, phase: undefined, error: undefined },
    ...{ bindBegun: false, attachBegun: false, outcome: undefined },
  };
  for (const each of entries) past = { ...past, ...changeBy(each, past) };
  return past;
}

function changeBy(each: JournalEntry, past: Past): Partial<Past> {
  switch (each.kind) {
    case 'found':
      return { before: each.before };
    case 'phase':
      return { phase: each.phase, bindBegun: past.bindBegun || each.phase === 'bind' };
    case 'failed':
      return { error: past.error ?? each.error };
    case 'undo':
      return { attachBegun: past.attachBegun || each.undo === 'attach' };
    case 'end':
      return { outcome: each.outcome };
    default:
      return {};
  }
}

function fileIn(directory: string): string {
  return join(directory, 'journal');
}

function failed(cause: unknown): MoveError {
  return new MoveError('journal-failed', `the journal of the move cannot be written: ${errorText(cause)}`, { cause });
}
