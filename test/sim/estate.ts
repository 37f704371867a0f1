import type { Socket } from 'node:net';
import { type Entry, entryKinds } from '../../proxy/journal/entry.js';
import type { Journal, Remains, TakeCheckpoint } from '../../proxy/journal/journal.js';
import type { NativeHandle } from '../../proxy/kernel/handle.js';
import type { Database } from './database.js';

/** What a worker of the proxy is stopped with, wherever it is. */
export class WorkerDied extends Error {}

/** How long a worker lives, counted in steps: each is something that others would notice, or find. */
export class Fate {
  #stepsLeft = Number.POSITIVE_INFINITY;
  isDead = false;

  dieAfter(steps: number): void {
    this.#stepsLeft = steps;
  }

  /** Before every step. @throws {WorkerDied} */
  step(): void {
    if (this.#stepsLeft <= 0) this.isDead = true;
    if (this.isDead) throw new WorkerDied('the worker is dead');
    this.#stepsLeft -= 1;
  }
}

const renewedEvery = 5;

/** What outlives a worker: the journal's entries, and the connections that the keeper has. */
export class Estate {
  readonly #remains = new Map<number, { checkpoint: Buffer; before: Entry[]; since: Entry[] }>();
  readonly kept = new Map<number, Database>();
  /** The memory that workers read into. */
  landed: Buffer = Buffer.alloc(0);

  get remains(): ReadonlyMap<number, Remains> {
    return this.#remains;
  }
  get handles(): ReadonlyMap<number, NativeHandle> {
    return new Map([...this.kept.keys()].map((id) => [id, { fd: id, close: () => undefined }]));
  }

  /** The journal of one worker, with entries that are there when its step is done. */
  journal(fate: Fate): Pick<Journal, 'begin' | 'checkpoint' | 'append' | 'end' | 'inherit' | 'broken'> {
    const takes = new Map<number, TakeCheckpoint>();
    let appended = 0;
    /** @param kept entries that stay where they are; what is left out of them is lost */
    const put = (owner: number, kept: readonly Entry[]): void => {
      let used = Number.POSITIVE_INFINITY;
      const use = (position: number) => {
        used = position;
      };
      const [first] = kept;
      const body = takes.get(owner)?.(first && { from: first.position, use });
      if (body === undefined) return;
      fate.step();
      this.#remains.set(owner, {
        checkpoint: Buffer.isBuffer(body) ? Buffer.from(body) : Buffer.concat(body),
        before: kept.filter(({ position, body: { length } }) => position + length > used),
        since: [],
      });
    };
    const checkpoint = (owner: number): void => put(owner, []);
    /** As a journal does whose oldest segment goes: with the first half of what was put down. */
    const renew = (owner: number): void => {
      const { before = [], since = [] } = this.#remains.get(owner) ?? {};
      const data = [...before, ...since.filter(({ kind }) => kind === entryKinds.fromDatabase)];
      put(owner, data.slice(Math.floor(data.length / 2)));
    };
    return {
      broken: undefined,
      begin: (owner, take) => {
        takes.set(owner, take);
        checkpoint(owner);
      },
      checkpoint,
      append: (owner, kind, position, body) => {
        appended += 1;
        // Always before an entry is there, as when it has no room.
        if (appended % renewedEvery === 0) renew(owner);
        fate.step();
        this.#remains.get(owner)?.since.push({ owner, kind, position, body: Buffer.from(body) });
      },
      end: (owner) => {
        takes.delete(owner);
        fate.step();
        this.#remains.delete(owner);
      },
      inherit: () => {
        fate.step();
        for (const owner of [...this.#remains.keys()]) if (!takes.has(owner)) this.#remains.delete(owner);
      },
    };
  }

  channel(fate: Fate) {
    return {
      keep: (id: number, socket: Socket | unknown) => {
        fate.step();
        this.kept.set(id, socket as Database);
      },
      drop: (id: number) => {
        fate.step();
        // Nobody else has its descriptor.
        const database = this.kept.get(id);
        if (database?.isOver === false) database.cut();
        this.kept.delete(id);
      },
      isKept: (id: number) => this.kept.has(id),
    };
  }
}
