import t from 'tap';
import { pageHtml } from '../../../migrate/report/page.js';
import { junitText, summaryText, tapText } from '../../../migrate/report/text.js';
import { example } from './example.js';

t.test('the summary is a table, and says of each failure which operation contradicts the database', async (t) => {
  const text = summaryText(example, 120);
  t.match(text, /withheld <answers> +passed +321 +9 +0 +0 +3/);
  t.match(text, /spoilt: lost-append: operation 42: committed, and not there \(the COMMIT was answered/);
});

t.test('TAP and JUnit have a case for each run, and what failed in it', async (t) => {
  const tap = tapText(example);
  t.match(tap, /^TAP version 14\n1\.\.2\nok 1 - withheld <answers>\nnot ok 2 - spoilt\n {2}---\n/);
  t.match(tap, 'lost-append: operation 42');
  const junit = junitText(example);
  t.match(junit, 'tests="2" failures="1"');
  t.match(junit, '<testcase name="withheld &lt;answers&gt;" classname="holdfast" time="12.5">');
  t.match(junit, 'message="step 1: no &quot;fault&quot; acted"');
  t.notMatch(junitText({ ...example, title: 'a\u0001b' }), '\u0001', 'what XML cannot hold is left out');
});

t.test('the page asks nothing of any network, and text of others is text', async (t) => {
  const html = pageHtml(example);
  t.notMatch(html, /\b(src|href)="(?!#)/);
  t.notMatch(html, /https?:|url\(|@import/);
  t.notMatch(html, '<answers>');
  t.notMatch(html, '<here>');
  t.match(html, 'data-t="withhold &lt;here&gt;"');
});
