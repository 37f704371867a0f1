import Table from 'cli-table3';

/** Results go to stdout: a table for people, JSON for programs. */
export function printRows(rows: readonly Readonly<Record<string, unknown>>[], isJson: boolean, nothing: string): void {
  if (isJson) {
    printJson(rows);
    return;
  }
  if (rows.length === 0) {
    process.stdout.write(`${nothing}\n`);
    return;
  }
  const head = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const table = new Table({ head, style: { head: [], border: [], compact: true }, chars: openChars });
  for (const row of rows) table.push(head.map((name) => cell(row[name])));
  process.stdout.write(`${table.toString()}\n`);
}

export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value, undefined, 2)}\n`);
}

export function cell(value: unknown): string {
  if (value === undefined || value === null) return '';
  if (Array.isArray(value)) return value.join(' ');
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

/** Milliseconds as people read them. */
export function shownMs(ms: number): string {
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  if (ms < 10_000) return `${Math.round(ms)} ms`;
  return `${Math.round(ms / 1_000)} s`;
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
  middle: ' ',
};
