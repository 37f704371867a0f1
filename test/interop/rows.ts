import { type Column, shownMs } from '../../migrate/output.js';

/** How one program of one driver went. */
export interface Row {
  readonly driver: string;
  readonly version: string;
  readonly program: string;
  readonly straight: 'ok' | 'failed' | 'skipped';
  readonly proxied: 'ok' | 'failed' | 'skipped';
  /** Both transcripts are the same. */
  readonly equal: boolean;
  /** Why it was not run. */
  readonly skipped?: string;
  /** What is missing then. */
  readonly needs?: 'driver' | 'criu';
  /** Lines of the transcript. */
  readonly lines: number;
  /** What the proxy called the driver. */
  readonly seenAs?: string;
  readonly cuts: number;
  readonly moves: number;
  /** Of the longest of its moves. */
  readonly blackoutMs: number;
  readonly ms: number;
  readonly problems: readonly string[];
}

/** Left out is no failure but where everything must be there, as in CI. */
export function isFailed(row: Row, environment: NodeJS.ProcessEnv): boolean {
  if (row.skipped === undefined) return !row.equal || row.straight !== 'ok' || row.proxied !== 'ok';
  const required =
    row.needs === 'criu' ? environment.HOLDFAST_TEST_REQUIRE_CRIU : environment.HOLDFAST_TEST_REQUIRE_DRIVERS;
  return required === '1';
}

export const columns: readonly Column<Row>[] = [
  { head: 'driver', cell: (row) => row.driver },
  { head: 'version', cell: (row) => row.version, spare: 2 },
  { head: 'program', cell: (row) => row.program },
  { head: 'straight', cell: (row) => row.straight },
  { head: 'proxied', cell: (row) => row.proxied },
  { head: 'equal', cell: (row) => (row.skipped === undefined ? (row.equal ? 'yes' : 'NO') : '') },
  { head: 'lines', cell: (row) => row.lines, align: 'right', spare: 3 },
  { head: 'cuts', cell: (row) => row.cuts || '', align: 'right', spare: 4 },
  { head: 'moves', cell: (row) => row.moves || '', align: 'right', spare: 4 },
  {
    head: 'blackout',
    cell: (row) => (row.moves > 0 ? shownMs(row.blackoutMs) : ''),
    align: 'right',
    spare: 4,
  },
  { head: 'time', cell: (row) => shownMs(row.ms), align: 'right', spare: 5 },
  { head: 'seen as', cell: (row) => row.seenAs, spare: 6 },
  { head: 'remark', cell: (row) => row.skipped ?? row.problems[0] },
];

export function shownRow(row: Row): string {
  const what = `${row.driver} ${row.program}`;
  if (row.skipped !== undefined) return `${what}: left out: ${row.skipped}`;
  const verdict = row.equal && row.problems.length === 0 ? 'equal' : 'NOT EQUAL';
  return [`${what}: ${verdict}, ${shownMs(row.ms)}`, ...row.problems.map((each) => `  ${each}`)].join('\n');
}
