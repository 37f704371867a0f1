import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { documents, withTables } from './publish.js';
import type { Report } from './report.js';
import { markdown, replaced } from './tables.js';

const root = new URL('../../../', import.meta.url).pathname;

t.test('columns are as wide as their widest cell; numbers stand at the right', async (t) => {
  const table = markdown(
    ['', 'calls/s'],
    [
      ['direct', '100,000'],
      ['Holdfast', '9'],
    ],
  );
  t.equal(
    table,
    ['|          | calls/s |', '| -------- | ------: |', '| direct   | 100,000 |', '| Holdfast |       9 |', ''].join(
      '\n',
    ),
  );
});

t.test('a table replaces what stands between its marks, and nothing else', async (t) => {
  const text = 'before\n<!-- bench:one -->\n\nold\n<!-- /bench:one -->\nafter\n';
  const once = replaced(text, 'one', 'new\n');
  t.equal(once, 'before\n<!-- bench:one -->\n\nnew\n\n<!-- /bench:one -->\nafter\n');
  t.equal(replaced(once, 'one', 'new\n'), once, 'again changes nothing');
  t.throws(() => replaced(text, 'two', 'new\n'), { message: 'no place for the table two' });
});

t.test('the tables of the documents are those of docs/performance.json', async (t) => {
  const report: Report = JSON.parse(readFileSync(join(root, 'docs/performance.json'), 'utf8'));
  for (const file of Object.keys(documents)) {
    const text = readFileSync(join(root, file), 'utf8');
    t.equal(withTables(file, text, report), text, `${file}: npm run bench -- publish`);
  }
  t.ok(existsSync(join(root, 'docs/performance.svg')));
});
