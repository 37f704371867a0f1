import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { chart } from './chart.js';
import type { Report } from './report.js';
import { goalTable, loadTable, replaced, summaryTable } from './tables.js';

const root = new URL('../../../', import.meta.url).pathname;

/** The tables of each document. */
export const documents: Readonly<Record<string, Readonly<Record<string, (report: Report) => string>>>> = {
  'README.md': { summary: summaryTable },
  'docs/performance.md': {
    goals: goalTable,
    small: (report) => loadTable(report, 'wire', 'small'),
    fetch: (report) => loadTable(report, 'wire', 'fetch'),
    down: (report) => loadTable(report, 'wire', 'bulkd'),
    up: (report) => loadTable(report, 'wire', 'bulku'),
    sql: (report) => loadTable(report, 'sql', 'small'),
    rows: (report) => loadTable(report, 'sql', 'fetch'),
  },
};

/** Writes the documents' tables, their chart, and the data that both are made of. */
export async function publish(report: Report): Promise<void> {
  writeFileSync(join(root, 'docs/performance.json'), `${JSON.stringify(report, undefined, 2)}\n`);
  writeFileSync(join(root, 'docs/performance.svg'), await chart(report));
  for (const file of Object.keys(documents)) {
    writeFileSync(join(root, file), withTables(file, readFileSync(join(root, file), 'utf8'), report));
  }
}

export function withTables(file: string, text: string, report: Report): string {
  const tables = Object.entries(documents[file] ?? {});
  return tables.reduce((written, [name, table]) => replaced(written, name, table(report)), text);
}
