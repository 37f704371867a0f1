import { ConfigError, option, optional } from '../../shim/program/config.js';
import { errorText } from '../../shim/program/errors.js';
import { defineCommand } from '../../shim/program/run.js';
import { duration, flag, path, readTextFile } from '../../shim/program/values.js';
import { parseConnectString } from '../doctor/connect-string.js';
import { probe } from '../doctor/probe.js';
import { type Level, type Row, reportOn } from '../doctor/report.js';
import { type Column, printJson, printTable } from '../output.js';

/** Sessions that come this way can move by policy only. */
const exitByPolicy = 3;

const marks: Readonly<Record<Level, string>> = { good: 'ok', note: 'note', policy: 'policy' };
const columns: readonly Column<Row>[] = [
  { head: 'what', cell: ({ what }) => what },
  { head: 'here', cell: ({ here }) => here },
  { head: 'move', cell: ({ level }) => marks[level] },
  { head: 'meaning', cell: ({ means }) => means },
];

export const doctor = defineCommand({
  name: 'doctor',
  summary: 'Says what a database connection negotiates, and what that means for a move; needs no password.',
  positional: '<connect-string>',
  options: {
    timeout: option(duration(), '10s', 'longest time for all of it'),
    'database-ca': optional(path(), 'for tcps: PEM file with the trusted authorities'),
    json: option(flag(), 'false', 'print the report as JSON'),
  },
  examples: [
    ['holdfast doctor 127.0.0.1:1521/orders', 'The way of an application: through its shim'],
    ['holdfast doctor dbhost:1521/orders --json', 'Straight to the listener, for a program'],
  ],
  async main({ settings, args }) {
    const target = parseConnectString(args[0] ?? '');
    if (target === undefined) {
      const expected = 'expected HOST:PORT/SERVICE, tcps://HOST:PORT/SERVICE or (DESCRIPTION=...)';
      throw new ConfigError('bad-option', `connect string: ${expected}`);
    }
    const ca = settings.databaseCa === undefined ? {} : { ca: readAuthorities(settings.databaseCa) };
    const report = reportOn(await probe(target, { timeoutMs: settings.timeout, ...ca }));
    if (settings.json) printJson(report);
    else {
      printTable(columns, report.rows, '');
      const changes = report.rows.flatMap(({ what, change }) =>
        change === undefined ? [] : [`  ${what}: ${change}\n`],
      );
      process.stdout.write(changes.length === 0 ? '\n' : `\nTo change:\n${changes.join('')}\n`);
      const verdicts = {
        watched: 'are watched, and move',
        'by-policy': 'are carried; they move with --allow-unknown only',
      };
      process.stdout.write(`Sessions that come this way ${verdicts[report.verdict]}.\n`);
    }
    return report.verdict === 'watched' ? 0 : exitByPolicy;
  },
});

function readAuthorities(file: string): string {
  try {
    return readTextFile(file);
  } catch (cause) {
    throw new ConfigError('bad-option', `--database-ca: ${file} cannot be read: ${errorText(cause)}`, { cause });
  }
}
