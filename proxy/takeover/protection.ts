import type { Socket } from 'node:net';
import type { StreamId } from '../../shim/link/index.js';
import { entryKinds } from '../journal/entry.js';
import type { Journal } from '../journal/journal.js';
import type { KeeperChannel } from '../keeper/channel.js';
import { firstOwner } from '../keeper/contract.js';
import { type Note, packNote, packSaved, type SavedSession, type SavedWorkload } from './saved.js';

/** Where a worker puts down, before it acts, what another one would have to know. */
export interface Protection {
  /**
   * @param take all that is known of the workload at the moment it is called
   * @param id its number, when it is taken over
   */
  workload(take: () => SavedWorkload, id?: number): WorkloadProtection;
}

export interface WorkloadProtection {
  /** Its number. */
  readonly id: number;
  /**
   * What `take` gives is another from now on, and what comes next depends on it. Nothing is put down before this is called for
   * the first time: a workload that is refused leaves nothing behind.
   */
  changed(): void;
  opened(stream: StreamId): void;
  /**
   * @param take all that is known of the session at the moment it is called
   * @param socket its connection, as long as there is one; kept already when it is taken over with `id`
   */
  session(take: () => SavedSession, socket: Socket | undefined, id?: number): SessionProtection;
  end(): void;
}

export interface SessionProtection {
  readonly state: 'protected' | 'being-kept' | 'no-journal';
  fromDriver(position: number, bytes: Buffer): void;
  fromDatabase(position: number, bytes: Buffer): void;
  /** The shim has all bytes of the database before this position. */
  acked(base: number): void;
  note(note: Extract<Note, { kind: 'driver-ended' | 'ended' }>): void;
  /** The connection to the database is closed; what the shim has not got yet is still wanted. */
  closed(note: Extract<Note, { kind: 'closed' }>): void;
  end(): void;
}

type JournalWriter = Pick<Journal, 'begin' | 'checkpoint' | 'append' | 'end' | 'broken'>;
type Channel = Pick<KeeperChannel, 'keep' | 'drop' | 'isKept'>;

/** Puts everything into a journal, and has connections kept by the keeper, each under the number of its session. */
export class JournalProtection implements Protection {
  readonly #journal: JournalWriter;
  readonly #channel: Channel;
  #next: number;

  /** @param next number of the next workload or session; the former worker has used none of those from there on */
  constructor(journal: JournalWriter, channel: Channel, next = firstOwner) {
    this.#journal = journal;
    this.#channel = channel;
    this.#next = next;
  }

  workload(take: () => SavedWorkload, taken?: number): WorkloadProtection {
    const journal = this.#journal;
    const id = taken ?? this.#next++;
    let hasBegun = false;
    return {
      id,
      changed: () => {
        if (hasBegun) journal.checkpoint(id);
        else journal.begin(id, () => packSaved(take()));
        hasBegun = true;
      },
      opened: (stream) => journal.append(id, entryKinds.event, 0, packNote({ kind: 'opened', stream })),
      session: (takeSession, socket, takenSession) => this.#session(takeSession, socket, takenSession),
      end: () => journal.end(id),
    };
  }

  #session(take: () => SavedSession, socket: Socket | undefined, taken: number | undefined): SessionProtection {
    const id = taken ?? this.#next++;
    this.#journal.begin(id, (kept) => packSaved(take(), kept));
    // After its first checkpoint: whoever is given a connection can find out what it is.
    if (socket !== undefined && taken === undefined) this.#channel.keep(id, socket);
    // One that was taken over is kept, also when its connection broke while it was taken over.
    const isOpen = socket !== undefined || taken !== undefined;
    return new JournalSession(this.#journal, this.#channel, id, isOpen);
  }
}

class JournalSession implements SessionProtection {
  readonly #journal: JournalWriter;
  readonly #channel: Channel;
  readonly #id: number;
  /** The keeper has its connection, or will. */
  #isOpen: boolean;

  constructor(journal: JournalWriter, channel: Channel, id: number, isOpen: boolean) {
    this.#journal = journal;
    this.#channel = channel;
    this.#id = id;
    this.#isOpen = isOpen;
  }

  get state(): SessionProtection['state'] {
    if (this.#journal.broken !== undefined) return 'no-journal';
    return this.#channel.isKept(this.#id) ? 'protected' : 'being-kept';
  }

  fromDriver(position: number, bytes: Buffer): void {
    this.#journal.append(this.#id, entryKinds.fromDriver, position, bytes);
  }

  fromDatabase(position: number, bytes: Buffer): void {
    this.#journal.append(this.#id, entryKinds.fromDatabase, position, bytes);
  }

  acked(base: number): void {
    this.#journal.append(this.#id, entryKinds.acked, base, nothing);
  }

  note(note: Note): void {
    this.#journal.append(this.#id, entryKinds.event, 0, packNote(note));
  }

  closed(note: Note): void {
    this.note(note);
    this.#drop();
  }

  end(): void {
    this.#journal.end(this.#id);
    this.#drop();
  }

  #drop(): void {
    if (this.#isOpen) this.#channel.drop(this.#id);
    this.#isOpen = false;
  }
}

const nothing = Buffer.alloc(0);

const unprotected: SessionProtection = {
  state: 'no-journal',
  fromDriver: () => undefined,
  fromDatabase: () => undefined,
  acked: () => undefined,
  note: () => undefined,
  closed: () => undefined,
  end: () => undefined,
};

/** For a proxy whose sessions end with it. */
export const noProtection: Protection = {
  workload: () => ({
    id: 0,
    changed: () => undefined,
    opened: () => undefined,
    session: () => unprotected,
    end: () => undefined,
  }),
};
