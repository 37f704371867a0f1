/** Tables of a report, for documents and terminals: text from data, nothing else. */
import type { Column } from '../../migrate/output.js';
import type { LoadName } from './conversation.js';
import type { Goal } from './goals.js';
import { type PathName, pathNames, pathTitles } from './paths.js';
import type { Report } from './report.js';
import type { Level, Row } from './results.js';
import type { Spread } from './statistics.js';

export const loadTitles: Readonly<Record<LoadName, string>> = {
  small: 'small calls',
  fetch: 'fetches of 32 KiB',
  bulkd: '1 MiB to the driver',
  bulku: '1 MiB to the database',
  blind: 'small calls, untracked',
  churn: 'sessions that come and go',
};

export const rowColumns: readonly Column<Row>[] = [
  { head: 'level', cell: ({ level }) => level },
  { head: 'load', cell: ({ load }) => loadTitles[load] },
  { head: 'conns', cell: ({ connections }) => connections, align: 'right' },
  { head: 'path', cell: ({ path }) => pathTitles[path] },
  { head: 'requests/s', cell: ({ requestsPerSecond }) => grouped(requestsPerSecond.median), align: 'right' },
  { head: 'low-high', cell: ({ requestsPerSecond }) => range(requestsPerSecond), align: 'right', spare: 3 },
  { head: 'x HAProxy', cell: timesHaproxy, align: 'right' },
  { head: 'p50 us', cell: ({ p50Us }) => grouped(p50Us.median), align: 'right' },
  { head: 'p99 us', cell: ({ p99Us }) => grouped(p99Us.median), align: 'right' },
  { head: 'MiB/s', cell: ({ mebibytesPerSecond }) => mebibytesPerSecond, align: 'right', spare: 2 },
  { head: 'CPU s/million', cell: ({ cpuSecondsPerMillion }) => cpuSecondsPerMillion, align: 'right' },
  { head: 'RSS MiB', cell: ({ residentMiB }) => each(residentMiB), align: 'right', spare: 1 },
];

export const goalColumns: readonly Column<Goal>[] = [
  { head: 'goal', cell: ({ name }) => name },
  { head: 'value', cell: ({ value }) => value ?? 'not measured', align: 'right' },
  { head: 'wanted', cell: ({ goal }) => goal, align: 'right' },
  { head: 'met', cell: metText },
];

/** For the README: small calls at 1 and 256 connections, and bulk, over each way. */
export function summaryTable({ rows }: Report): string {
  const at = (path: PathName, load: LoadName, connections: number) => findRow(rows, 'wire', path, load, connections);
  const lines = pathNames
    .filter((path) => at(path, 'small', 256) !== undefined)
    .map((path) => [
      pathTitles[path],
      grouped(at(path, 'small', 1)?.p50Us.median),
      grouped(at(path, 'small', 256)?.requestsPerSecond.median),
      shown(timesHaproxy(at(path, 'small', 256))),
      shown(at(path, 'small', 256)?.cpuSecondsPerMillion),
      grouped(at(path, 'bulkd', 16)?.mebibytesPerSecond),
      grouped(at(path, 'bulku', 16)?.mebibytesPerSecond),
    ]);
  const head = [
    '',
    '1 connection: p50, us',
    '256 connections: calls/s',
    'times HAProxy, two hops',
    'CPU s per million calls',
    'bulk down, MiB/s',
    'bulk up, MiB/s',
  ];
  return markdown(head, lines);
}

/** One load of one level: requests per second, median and 99th round trip, over ways and connections. */
export function loadTable({ rows }: Report, level: Level, load: LoadName): string {
  const here = rows.filter((row) => row.level === level && row.load === load);
  const head = [
    '',
    'connections',
    'calls/s (low-high)',
    'times HAProxy',
    'p50, us',
    'p99, us',
    'CPU s/million',
    'RSS MiB',
  ];
  const lines = here
    .toSorted((one, other) => one.connections - other.connections || order(one) - order(other))
    .map((row) => [
      pathTitles[row.path],
      grouped(row.connections),
      `${grouped(row.requestsPerSecond.median)} (${range(row.requestsPerSecond)})`,
      shown(timesHaproxy(row)),
      grouped(row.p50Us.median),
      grouped(row.p99Us.median),
      shown(row.cpuSecondsPerMillion),
      each(row.residentMiB),
    ]);
  return markdown(head, lines);
}

export function goalTable({ goals }: Report): string {
  const lines = goals.map((goal) => [
    goal.name,
    goal.value === null ? 'not measured' : shown(goal.value),
    goal.goal,
    metText(goal),
  ]);
  return markdown(['goal', 'value', 'wanted', 'met'], lines);
}

/**
 * Puts a table between its marks: `<!-- bench:NAME -->` and `<!-- /bench:NAME -->`.
 * @throws Error when the marks are not there
 */
export function replaced(text: string, name: string, table: string): string {
  const [begin, end] = [`<!-- bench:${name} -->`, `<!-- /bench:${name} -->`];
  const [from, to] = [text.indexOf(begin), text.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`no place for the table ${name}`);
  return `${text.slice(0, from + begin.length)}\n\n${table}\n${text.slice(to)}`;
}

/** How many times the calls of two hops of HAProxy, with TLS between them where this way has TLS. */
function timesHaproxy(row: Row | undefined): number | undefined {
  return row?.times[row.path === 'holdfast-tls' ? 'haproxy-2-tls' : 'haproxy-2'];
}

function findRow(
  rows: readonly Row[],
  level: Level,
  path: PathName,
  load: LoadName,
  connections: number,
): Row | undefined {
  return rows.find(
    (row) => row.level === level && row.path === path && row.load === load && row.connections === connections,
  );
}

function order({ path }: Row): number {
  return pathNames.indexOf(path);
}

/** Columns as wide as their widest cell; numbers, which is all but the first column, stand at the right. */
export function markdown(head: readonly string[], lines: readonly (readonly string[])[]): string {
  const widths = head.map((title, index) =>
    Math.max(3, title.length, ...lines.map((line) => line[index]?.length ?? 0)),
  );
  const row = (cells: readonly string[]) =>
    `| ${cells.map((cell, index) => (index === 0 ? cell.padEnd(widths[index] ?? 0) : cell.padStart(widths[index] ?? 0))).join(' | ')} |`;
  const rule = `| ${widths.map((width, index) => (index === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`)).join(' | ')} |`;
  return `${[row(head), rule, ...lines.map(row)].join('\n')}\n`;
}

function metText({ met }: Goal): string {
  return met === null ? '' : met ? 'yes' : 'no';
}

function range({ low, high }: Spread): string {
  return `${grouped(low)}-${grouped(high)}`;
}

function each(values: Readonly<Record<string, number>>): string {
  return Object.entries(values)
    .map(([role, value]) => `${role} ${value}`)
    .join(', ');
}

function shown(value: number | undefined): string {
  return value === undefined ? '' : String(value);
}

function grouped(value: number | undefined): string {
  return value === undefined ? '' : value.toLocaleString('en-US', { maximumFractionDigits: value < 100 ? 1 : 0 });
}
