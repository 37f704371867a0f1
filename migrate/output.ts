import Table from 'cli-table3';

/** One column of a table for people. */
export interface Column<Row> {
  readonly head: string;
  /** What a cell shows; nothing for what is not known. */
  readonly cell: (row: Row) => string | number | undefined;
  /** Numbers and durations are compared by their ends. */
  readonly align?: 'right';
  /** On a narrow terminal the columns with the greatest of these go first; those without one stay. */
  readonly spare?: number;
}

const gap = 2;
/** Less than this of a last column says nothing. */
const lastWidthMin = 16;

export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value, undefined, 2)}\n`);
}

/** Prints a table that fits the terminal; elsewhere (pipes, files) it has all columns at full width. */
export function printTable<Row>(columns: readonly Column<Row>[], rows: readonly Row[], nothing: string): void {
  const width = process.stdout.isTTY ? process.stdout.columns : Number.POSITIVE_INFINITY;
  process.stdout.write(rows.length === 0 ? `${nothing}\n` : renderTable(columns, rows, width));
}

export function renderTable<Row>(columns: readonly Column<Row>[], rows: readonly Row[], width: number): string {
  const cells = new Map(columns.map((column) => [column, rows.map((row) => text(column.cell(row)))]));
  const widthOf = (column: Column<Row>) =>
    Math.max(column.head.length, ...(cells.get(column) ?? []).map(({ length }) => length));
  const { shown, lastWidth } = fit(columns, widthOf, width);
  const table = new Table({
    head: shown.map(({ head }) => head.toUpperCase()),
    colAligns: shown.map(({ align }) => align ?? 'left'),
    colWidths: shown.map((column, index) => (index === shown.length - 1 ? lastWidth : widthOf(column))),
    style: { head: [], border: [], compact: true, 'padding-left': 0, 'padding-right': 0 },
    chars: openChars,
  });
  for (const index of rows.keys()) table.push(shown.map((column) => cells.get(column)?.[index] ?? ''));
  return `${table.toString().replace(/ +$/gm, '')}\n`;
}

/** Leaves out what is spare, the least needed first; then the last column loses its end, or goes when little is left. */
function fit<Row>(
  columns: readonly Column<Row>[],
  widthOf: (column: Column<Row>) => number,
  width: number,
): { shown: readonly Column<Row>[]; lastWidth: number } {
  const last = columns.at(-1);
  const lastWidth = last === undefined ? 0 : widthOf(last);
  const room = (shown: readonly Column<Row>[]) =>
    shown.reduce((left, column) => left - (column === last ? 0 : widthOf(column) + gap), width);
  let shown = columns;
  while (room(shown) < Math.min(lastWidth, lastWidthMin)) {
    const spare = Math.max(...shown.map((column) => column.spare ?? 0));
    if (spare === 0) break;
    shown = shown.filter((column) => column.spare !== spare);
  }
  if (room(shown) >= Math.min(lastWidth, lastWidthMin)) return { shown, lastWidth: Math.min(lastWidth, room(shown)) };
  const rest = shown.slice(0, -1);
  return { shown: rest, lastWidth: widthOf(rest.at(-1) ?? { head: '', cell: () => '' }) };
}

function text(value: string | number | undefined): string {
  return value === undefined ? '' : String(value).replace(/\s+/g, ' ');
}

const units = [
  ['d', 86_400, 'h', 3_600],
  ['h', 3_600, 'm', 60],
  ['m', 60, 's', 1],
] as const;

/** Milliseconds as people read them: 4.2 ms, 350 ms, 7.5 s, 2m 05s, 3h 40m, 5d 02h. */
export function shownMs(ms: number): string {
  if (ms < 9.95) return `${ms.toFixed(1)} ms`;
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 59_950) return `${(ms / 1_000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1_000);
  const [name, size, smallName, smallSize] = units.find(([, unit]) => seconds >= unit) ?? units[2];
  const rest = Math.floor((seconds % size) / smallSize);
  return `${Math.floor(seconds / size)}${name} ${String(rest).padStart(2, '0')}${smallName}`;
}

const byteUnits = ['B', 'KiB', 'MiB', 'GiB'] as const;

/** Bytes as people read them: 512 B, 1.5 MiB. */
export function shownBytes(bytes: number): string {
  const power = Math.min(Math.max(0, Math.floor(Math.log2(Math.max(1, bytes)) / 10)), byteUnits.length - 1);
  const amount = bytes / 1_024 ** power;
  return `${power === 0 ? amount : amount.toFixed(1)} ${byteUnits[power]}`;
}

/** Columns apart by spaces only: easy on the eye and on `awk`. */
const openChars = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: ' '.repeat(gap),
};

/**
 * Names the workers of the proxy whose part is not in what was printed.
 * @returns the exit code
 */
export function reportMissing(command: string, missing: readonly { readonly why: string }[] = []): number {
  for (const { why } of missing) process.stderr.write(`holdfast ${command}: worker-away: ${why}\n`);
  return missing.length === 0 ? 0 : 1;
}
