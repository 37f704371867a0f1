import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Report } from './model.js';
import { pageHtml } from './page.js';
import { junitText, tapText } from './text.js';

/** Writes a report in every form: `report.html`, `report.xml` (JUnit), `report.tap`, `report.json`. */
export function writeReport(directory: string, report: Report): void {
  mkdirSync(directory, { recursive: true });
  const files = {
    'report.html': pageHtml(report),
    'report.xml': junitText(report),
    'report.tap': tapText(report),
    'report.json': `${JSON.stringify(report, undefined, 2)}\n`,
  };
  for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text);
}
