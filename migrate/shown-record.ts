import type { SealedRecord } from './history.js';
import { renderTable, shownMs } from './output.js';
import type { MoveRecord } from './record.js';

type Line = readonly [what: string, value: string];

/** A record for people at a terminal. */
export function asText({ record, n, hash }: SealedRecord): string {
  const facts = factsOf(record);
  const width = Math.max(...facts.map(([what]) => what.length));
  const lines = facts.map(([what, value]) => `${what.padEnd(width)}  ${value}`);
  const endless = Number.POSITIVE_INFINITY;
  const phases = renderTable(
    [
      { head: 'phase', cell: ([phase]: Line) => phase },
      { head: 'time', cell: ([, ms]: Line) => ms, align: 'right' },
    ],
    phasesOf(record),
    endless,
  );
  const columns = sessionHeads.map((head, index) => ({ head, cell: (row: readonly string[]) => row[index] }));
  const sessions = record.sessions.length === 0 ? '' : `\n${renderTable(columns, sessionsOf(record), endless)}`;
  const hashes = hashesOf(record);
  const hashColumns = hashHeads.map((head, index) => ({ head, cell: (row: readonly string[]) => row[index] }));
  const seen = hashes.length === 0 ? '' : `\n${renderTable(hashColumns, hashes, endless)}`;
  return `${lines.join('\n')}\n\n${phases}${sessions}${seen}\nsealed as entry ${n}: ${hash}\n`;
}

/** The same for a ticket or a wiki. */
export function asMarkdown({ record, n, hash }: SealedRecord): string {
  return [
    `# Move ${record.move}`,
    '',
    ...table(['', ''], factsOf(record)),
    ...table(['phase', 'time'], phasesOf(record)),
    ...table(sessionHeads, sessionsOf(record)),
    ...table(hashHeads, hashesOf(record)),
    `Sealed as entry ${n}: \`${hash}\``,
    '',
  ].join('\n');
}

function table(heads: readonly string[], rows: readonly (readonly string[])[]): readonly string[] {
  if (rows.length === 0) return [];
  const line = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(heads), line(heads.map(() => '---')), ...rows.map(line), ''];
}

function factsOf(record: MoveRecord): readonly Line[] {
  const { from, to, by, blackoutMs, replayedBytes, epoch, error, resumes } = record;
  return [
    ['move', record.move],
    ['workload', `${record.workload}, with ${record.mover}`],
    ['outcome', error === undefined ? record.outcome : `${record.outcome}: ${error.code}: ${error.message}`],
    ['runs now', record.running],
    ['from', `${from.node} ${from.address}`.trim()],
    ['to', `${to.node} ${to.address}`.trim()],
    ['asked by', `${by.user} of ${by.host}`],
    ['began', record.startedAt],
    ['ended', record.endedAt],
    ['blackout', shownMs(blackoutMs.total)],
    ['sent again', `${replayedBytes.up} bytes up, ${replayedBytes.down} bytes down`],
    ['epoch', `${epoch.before} before, ${epoch.after} after`],
    ...(resumes === 0 ? [] : [['taken up again', `${resumes} times`] as const]),
    ...record.warnings.map(({ code, message }) => ['warning', `${code}: ${message}`] as const),
  ];
}

function phasesOf({ phases }: MoveRecord): readonly Line[] {
  return phases.map(({ phase, ms }) => [phase, shownMs(ms)]);
}

const sessionHeads = [
  'stream',
  'user',
  'sid',
  'serial#',
  'the same',
  'transaction before',
  'after',
  'calls before',
  'after',
];

function sessionsOf({ sessions }: MoveRecord): readonly (readonly string[])[] {
  const text = (value: string | number | undefined) => String(value ?? '');
  return sessions.map(({ stream, user, sid, serial, same, transaction, callsInFlight }) => [
    ...[text(stream), text(user), text(sid), text(serial), same ? 'yes' : 'no'],
    ...[transaction.before, transaction.after, text(callsInFlight.before), text(callsInFlight.after)],
  ]);
}

const hashHeads = ['stream', 'direction', 'from byte', 'to byte', 'hash at the shim', 'at the proxy', 'equal'];

/** What was not seen at both ends over the same range has no line. */
function hashesOf({ sessions }: MoveRecord): readonly (readonly string[])[] {
  return sessions.flatMap(({ stream, hashes }) =>
    (['up', 'down'] as const).flatMap((direction) => {
      const seen = hashes?.[direction];
      if (seen === undefined) return [];
      const { from, to, shim, proxy, same } = seen;
      return [[String(stream), direction, String(from), String(to), shim, proxy, same ? 'yes' : 'NO']];
    }),
  );
}
