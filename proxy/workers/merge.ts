/** How the answers of several workers become one. Pure. */
import type { ReplyOf } from '../../shim/control/rpc.js';
import type { Missing, proxyContract, StatusRow } from '../control/contract.js';

type ProxyVerbs = (typeof proxyContract)['verbs'];
type Audit = ReplyOf<ProxyVerbs['holds']>['audit'];

/** What one worker has answered. */
export interface Part<Reply> {
  readonly worker: number;
  readonly reply: Reply;
}

/** Absent when all have answered. */
export function named(missing: readonly Missing[]): { missing?: Missing[] } {
  return missing.length === 0 ? {} : { missing: [...missing] };
}

/**
 * One row for the proxy: of the first worker what cannot be added up, sums of what can, the latest alarm of all; and a row for each
 * worker that has answered.
 * @param parts the first worker's is the first
 */
export function mergeStatus(parts: readonly Part<StatusRow>[], missing: readonly Missing[]): StatusRow {
  const [first] = parts;
  if (first === undefined) throw new Error('the first worker answers itself');
  const rows = parts.map(({ reply }) => reply);
  const sum = (figure: (row: StatusRow) => number): number => rows.reduce((so, row) => so + figure(row), 0);
  const alarms = rows.flatMap(({ alarm }) => (alarm === undefined ? [] : [alarm]));
  const [latest] = alarms.toSorted((one, other) => other.at.localeCompare(one.at));
  const { alarm: _own, journal, ...own } = first.reply;
  const broken = rows.find((row) => row.journal?.broken !== undefined)?.journal?.broken;
  return {
    ...own,
    sessions: sum(({ sessions }) => sessions),
    protectedSessions: sum(({ protectedSessions }) => protectedSessions),
    taken: { sessions: sum(({ taken }) => taken.sessions), lost: sum(({ taken }) => taken.lost) },
    ...(latest && { alarm: latest }),
    ...(journal && {
      journal: {
        directory: journal.directory,
        bytes: sum((row) => row.journal?.bytes ?? 0),
        ...(broken === undefined ? {} : { broken }),
      },
    }),
    workers: parts.map(({ worker, reply }) => ({ ...reply, worker })),
    ...named(missing),
  };
}

/** All write to the same file: it fails when one cannot. */
export function mergeAudit(states: readonly Audit[]): { audit?: NonNullable<Audit> } {
  const known = states.flatMap((state) => (state === undefined ? [] : [state]));
  const [first] = known;
  if (first === undefined) return {};
  return {
    audit: {
      path: first.path,
      isFailing: known.some(({ isFailing }) => isFailing),
      waitingBytes: known.reduce((sum, { waitingBytes }) => sum + waitingBytes, 0),
      lostLines: known.reduce((sum, { lostLines }) => sum + lostLines, 0),
    },
  };
}
