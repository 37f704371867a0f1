import type { Column } from '../../../migrate/output.js';
import { type MoveRecord, roundMs } from '../../../migrate/record.js';

/** One application that was moved at one moment, and what became of its rows. Times are milliseconds. */
export interface MoveRow {
  readonly application: string;
  readonly mover: string;
  readonly moment: string;
  readonly moves: number;
  /** Of the move with the longest blackout. `seen` is the longest wait for an answer that the application itself has measured. */
  readonly blackoutMs: (MoveRecord['blackoutMs'] & { readonly seen: number | undefined }) | undefined;
  /** Absent when it is not known, because the application did not come to its end. */
  readonly lost: number | undefined;
  readonly duplicated: number | undefined;
  /** Transactions of the application that PostgreSQL has ended, or made of more than one of its own. */
  readonly rolledBack: number | undefined;
  readonly violations: readonly string[];
}

/** Somebody who was killed at a boundary of a move. */
export interface KillRow {
  readonly party: string;
  readonly boundary: string;
  /** Copies of the application that run when all is over; those that are stopped do not. */
  readonly copiesRunning: number;
  /** Where it is then. */
  readonly at: string;
  /** The copy answers: it works on, or, where its shim was killed, tells of its errors. */
  readonly goesOn: boolean;
}

export function isClean({ lost, duplicated, rolledBack, violations }: MoveRow): boolean {
  return lost === 0 && duplicated === 0 && rolledBack === 0 && violations.length === 0;
}

export function isOneCopy({ copiesRunning, goesOn }: KillRow): boolean {
  return copiesRunning === 1 && goesOn;
}

/** What a row shows of the moves of an application. */
export function blackoutOfMoves(records: readonly MoveRecord[], seen: number | undefined): MoveRow['blackoutMs'] {
  const [longest] = records.map(({ blackoutMs }) => blackoutMs).toSorted((one, other) => other.total - one.total);
  return longest === undefined ? undefined : { ...longest, seen: seen === undefined ? undefined : roundMs(seen) };
}

const phases = ['detach', 'freeze', 'transfer', 'restore', 'bind', 'total', 'seen'] as const;

export const moveColumns: readonly Column<MoveRow>[] = [
  { head: 'application', cell: ({ application }) => application },
  { head: 'mover', cell: ({ mover }) => mover },
  { head: 'moment', cell: ({ moment }) => moment },
  ...phases.map((phase) => ({
    head: phase,
    cell: ({ blackoutMs }: MoveRow) => blackoutMs?.[phase]?.toFixed(phase === 'total' || phase === 'seen' ? 0 : 1),
    align: 'right' as const,
  })),
  { head: 'lost', cell: ({ lost }) => lost ?? '?', align: 'right' },
  { head: 'duplicated', cell: ({ duplicated }) => duplicated ?? '?', align: 'right' },
  { head: 'rolled back', cell: ({ rolledBack }) => rolledBack ?? '?', align: 'right' },
];

export const killColumns: readonly Column<KillRow>[] = [
  { head: 'killed', cell: ({ party }) => party },
  { head: 'boundary', cell: ({ boundary }) => boundary },
  { head: 'copies running', cell: ({ copiesRunning }) => copiesRunning, align: 'right' },
  { head: 'at', cell: ({ at }) => at },
  { head: 'goes on', cell: ({ goesOn }) => (goesOn ? 'yes' : 'NO') },
];
