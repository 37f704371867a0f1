import { readFileSync } from 'node:fs';
import t from 'tap';
import { frameTypes } from '../../../shim/link/frame.js';
import { defaultLimits } from '../../../shim/link/limits.js';
import { verdicts } from '../../../shim/link/resume.js';
import { proxyEvents, proxyTable, shimEvents, shimTable } from './table.js';

/** SPEC.md says what the code does: its tables are those that tests walk, its names those of the code. */
const spec = readFileSync(new URL('../../../../shim/link/SPEC.md', import.meta.url), 'utf8');

/** Rows of the first table behind a heading, without the line of dashes. */
function tableBehind(heading: string): string[][] {
  const from = spec.indexOf(`## ${heading}`);
  const lines = spec.slice(from).split('\n');
  const first = lines.findIndex((line) => line.startsWith('|'));
  const rest = lines.slice(first);
  const end = rest.findIndex((line) => !line.startsWith('|'));
  const rows = rest.slice(0, end).map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
  return rows.filter(([cell = '']) => !/^-+$/.test(cell));
}

t.test('the table of the shim is the one that is walked', async (t) => {
  const rows = Object.entries(shimTable).map(([state, row]) => [state, ...shimEvents.map((event) => row[event])]);
  t.strictSame(tableBehind("States of the shim's end"), [['state', ...shimEvents], ...rows]);
});

t.test('the table of the proxy is the one that is walked', async (t) => {
  const rows = proxyEvents.map((event) => [event, ...Object.values(proxyTable).map((row) => row[event])]);
  t.strictSame(tableBehind('States of a workload at the proxy'), [['event', ...Object.keys(proxyTable)], ...rows]);
});

t.test('every type of frame and every verdict is listed', async (t) => {
  const types = tableBehind('Frames').length > 0 ? [...spec.matchAll(/^\| (\d+) +\| [A-Z_]+ +\|/gm)] : [];
  t.strictSame(
    types.map(([, type]) => Number(type)),
    Object.values(frameTypes),
  );
  t.strictSame([...spec.matchAll(/^\| `([a-z-]+)` +\|/gm)].map(([, verdict]) => verdict).sort(), [...verdicts].sort());
});

t.test('every bound of time is named', async (t) => {
  for (const name of Object.keys(defaultLimits).filter((each) => /Ms(Max)?$/.test(each))) t.match(spec, `\`${name}\``);
});
