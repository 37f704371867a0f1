import { createHash } from 'node:crypto';
import { closeSync, fsyncSync, mkdirSync, openSync, renameSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { type MoveRecord, moveRecord } from './record.js';
import { readOrNothing } from './workload/process.js';
import { syncDirectory } from './workload/store.js';

/** A record in the chain: its hash covers its number, the hash before it, and every field of the record. */
export const sealedRecord = z.object({
  n: z.number(),
  prev: z.string(),
  record: moveRecord,
  hash: z.string(),
});
export type SealedRecord = z.infer<typeof sealedRecord>;

/** What is wrong with a chain: with which entry, and how it shows. */
export const chainFault = z.object({
  n: z.number(),
  kind: z.enum(['altered', 'missing', 'unreadable', 'cut-short']),
  text: z.string(),
});
export type ChainFault = z.infer<typeof chainFault>;

/** A move in a line. */
export const briefMove = moveRecord
  .pick({ move: true, workload: true, mover: true, outcome: true, running: true, startedAt: true, by: true })
  .extend({ from: z.string(), to: z.string(), blackoutMs: z.number(), code: z.string().optional() });
export type BriefMove = z.infer<typeof briefMove>;

export function briefOf({ record }: SealedRecord): BriefMove {
  const { move, workload, mover, outcome, running, startedAt, by, from, to, blackoutMs, error } = record;
  return {
    ...{ move, workload, mover, outcome, running, startedAt, by },
    ...{ from: from.node, to: to.node, blackoutMs: blackoutMs.total },
    ...(error === undefined ? {} : { code: error.code }),
  };
}

const head = z.object({ n: z.number(), hash: z.string() });
const start = '0'.repeat(64);

/**
 * The records of all moves that an agent has made, a JSON object a line, each sealed by a hash over itself and the one before.
 * The hash of the last one stands beside them, so that a missing end shows too. Nobody's key is in it: whoever may write here
 * and makes the whole chain anew is not found out by it.
 */
export class History {
  readonly #directory: string;
  readonly #node: string;

  constructor(stateDirectory: string, node: string) {
    this.#directory = join(stateDirectory, 'history');
    this.#node = node;
  }

  /** Durable when it returns. */
  append(record: MoveRecord): SealedRecord {
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    const last = this.#lines().at(-1);
    const before = last === undefined ? { n: 0, hash: start } : sealOf(last);
    const n = before.n + 1;
    const hash = hashOf(n, before.hash, record);
    const sealed = { n, prev: before.hash, record, hash };
    const file = openSync(this.#file, 'a', 0o600);
    try {
      writeSync(file, `${JSON.stringify(sealed)}\n`);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    writeFileSync(`${this.#headFile}.new`, JSON.stringify({ n, hash }), { mode: 0o600, flush: true });
    renameSync(`${this.#headFile}.new`, this.#headFile);
    syncDirectory(this.#directory);
    return sealed;
  }

  /** The last ones, oldest first; what cannot be read is left out here, and found by `verify`. */
  last(most: number): readonly SealedRecord[] {
    return this.#lines()
      .slice(-most)
      .flatMap((line) => {
        const found = sealedRecord.safeParse(parsed(line));
        return found.success ? [found.data] : [];
      });
  }

  /** How its last attempt ended, for a move that was taken up again. */
  find(move: string): SealedRecord | undefined {
    const lines = this.#lines().filter((line) => line.includes(JSON.stringify(move)));
    return lines
      .flatMap((line) => sealedRecord.safeParse(parsed(line)).data ?? [])
      .findLast(({ record }) => record.move === move);
  }

  /** @returns how many records there are, and what is wrong with them, the first first */
  verify(): { readonly records: number; readonly faults: ChainFault[] } {
    const lines = this.#lines();
    const faults: ChainFault[] = [];
    let before = { n: 0, hash: start };
    for (const line of lines) {
      const fault = faultOf(line, before);
      if (fault !== undefined) faults.push(fault);
      before = sealOf(line, { n: before.n + 1, hash: '' });
    }
    const written = head.safeParse(parsed(readOrNothing(this.#headFile) ?? ''));
    const isWhole = written.success ? written.data.n === before.n && written.data.hash === before.hash : before.n === 0;
    if (!isWhole)
      faults.push({
        n: before.n,
        kind: 'cut-short',
        text: `the chain ends with ${before.n}, and its last seal is another`,
      });
    return { records: lines.length, faults };
  }

  get #file(): string {
    return join(this.#directory, `${this.#node}.jsonl`);
  }
  get #headFile(): string {
    return join(this.#directory, `${this.#node}.head`);
  }

  #lines(): readonly string[] {
    return readOrNothing(this.#file)?.split('\n').filter(Boolean) ?? [];
  }
}

function faultOf(line: string, before: { readonly n: number; readonly hash: string }): ChainFault | undefined {
  const n = before.n + 1;
  const value = parsed(line);
  const seal = z
    .looseObject({ n: z.number(), prev: z.string(), hash: z.string(), record: z.unknown() })
    .safeParse(value);
  if (!seal.success) return { n, kind: 'unreadable', text: `entry ${n} is no record` };
  const { data } = seal;
  if (hashOf(data.n, data.prev, data.record) !== data.hash) {
    return { n: data.n, kind: 'altered', text: `entry ${data.n} is not what was sealed` };
  }
  if (data.n === n && data.prev === before.hash) return undefined;
  return {
    n: data.n,
    kind: 'missing',
    text: `entry ${data.n} does not follow the one before it: something was taken out or put in`,
  };
}

/** Of the text of the fields in their order: JSON keeps it. */
function hashOf(n: number, prev: string, record: unknown): string {
  return createHash('sha256').update(JSON.stringify({ n, prev, record })).digest('hex');
}

function sealOf(line: string, otherwise = { n: 0, hash: start }): { n: number; hash: string } {
  return head.safeParse(parsed(line)).data ?? otherwise;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
