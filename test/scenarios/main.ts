#!/usr/bin/env node
import { reportOf } from '../../migrate/commands/rehearse.js';
import { summaryText } from '../../migrate/report/text.js';
import { writeReport } from '../../migrate/report/write.js';
import { option, optional } from '../../shim/program/config.js';
import { runProgram } from '../../shim/program/run.js';
import { flag, path, text } from '../../shim/program/values.js';
import { playAll, scenarios } from './play-all.js';

await runProgram({
  name: 'holdfast-scenarios',
  summary:
    'Plays every scenario of fixtures/scenarios through Holdfast, and again with the driver straight at the database. Exits 1 when anything that must hold does not.',
  options: {
    only: option(text('WORD'), '-', 'those whose names contain the word'),
    report: optional(path('DIR'), 'directory for report.html, report.xml (JUnit), report.tap and report.json'),
    json: option(flag(), 'false', 'print one JSON object on stdout'),
  },
  examples: [
    ['npm run scenarios', 'All of them'],
    ['npm run --silent scenarios -- --json', 'For programs'],
    ['npm run scenarios -- --only commit --report out', 'Some, with a page to look at: out/report.html'],
  ],
  async main({ settings }) {
    const { only, json } = settings;
    const startedAt = new Date().toISOString();
    const beganMs = performance.now();
    const say = (line: string) => void (json || process.stderr.write(`${line}\n`));
    const runs = await playAll(scenarios(only === '-' ? '' : only), say);
    const seconds = Math.round((performance.now() - beganMs) / 1_000);
    const report = { ...reportOf('scenarios', startedAt, runs), seconds };
    if (settings.report !== undefined) writeReport(settings.report, report);
    if (json) process.stdout.write(`${JSON.stringify({ ...report, runs: runs.map(short) }, undefined, 2)}\n`);
    else process.stdout.write(summaryText(report, process.stdout.columns ?? 120));
    return report.passed && runs.length > 0 ? 0 : 1;
  },
});

/** Without the timeline, which is for pages. */
function short({ timeline, acts, ...run }: ReturnType<typeof reportOf>['runs'][number]): object {
  return { ...run, lanes: timeline.lanes.length };
}
