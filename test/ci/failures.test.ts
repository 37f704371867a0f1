import t from 'tap';
import { detailLinesMax, failuresIn, report } from './failures.js';

const of = (text: string) => failuresIn(text.split('\n'));

t.test(
  'a failed assertion is told with its file, its tests and its diagnostics; the tests around it are not',
  async (t) => {
    const log = `
> holdfast@0.1.0 test
TAP version 14
# Subtest: dist/test/a.test.js
    # Subtest: outer
        ok 1 - fine
        # Subtest: inner
            not ok 1 - objects are the same
              ---
              diff: |
                --- expected
                +++ actual
                -  "a": 2,
              at:
                fileName: test/a.test.ts
                lineNumber: 4
              source: >
                t.same(1, 2);
                ------^
              compare: ===
              ...
            ok 2 - fine
            1..2
        not ok 2 - inner # time=21.629ms
          ---
          at:
            lineNumber: 3
          ...
        1..2
    not ok 1 - outer # time=33.366ms
    1..1
not ok 1 - dist/test/a.test.js # time=3008.061ms
  ---
  command: /usr/bin/node
  exitCode: 1
  ...
# Subtest: dist/test/b.test.js
    ok 1 - fine
    1..1
ok 2 - dist/test/b.test.js # time=61ms
`;
    const details = ['  diff: |', '    --- expected', '    +++ actual', '    -  "a": 2,'];
    const place = ['  at:', '    fileName: test/a.test.ts', '    lineNumber: 4', '  compare: ==='];
    t.strictSame(of(log), [
      { title: 'dist/test/a.test.js > outer > inner > objects are the same', details: [...details, ...place] },
    ]);
  },
);

t.test('tests of one name are told apart by what failed in them', async (t) => {
  const log = `
# Subtest: a.js
    # Subtest: same
        not ok 1 - first
        1..1
    not ok 1 - same # time=1ms
    not ok 2 - same
    # Subtest: same
        ok 1 - fine
    ok 3 - same # time=1ms
not ok 1 - a.js # time=1ms`;
  t.strictSame(
    of(log).map(({ title }) => title),
    ['a.js > same > first', 'a.js > same'],
  );
});

t.test(
  'a file that ends without a failed assertion is told with what it said, and nothing of the file before',
  async (t) => {
    const log = `
# Subtest: a.js
    ok 1 - fine
ok 1 - a.js # time=1ms

Error: Cannot find module
    at nowhere
# Subtest: b.js
    1..0 # no tests found
not ok 2 - b.js # time=499.056ms
  ---
  args:
    - b.js
  exitCode: 7
  ...
`;
    const said = ['  | ', '  | Error: Cannot find module', '  |     at nowhere', '  | # Subtest: b.js'];
    t.strictSame(of(log), [{ title: 'b.js', details: [...said, '  |     1..0 # no tests found', '  exitCode: 7'] }]);
  },
);

t.test(
  'what is skipped or to do is told, since CI counts it; what passes and what programs print is not',
  async (t) => {
    const log = `
# Subtest: a.js
    ok 1 - no criu # SKIP
    not ok 2 - later # todo
    {"level":30,"msg":"not ok 3 - of a program"}
    ok 3 - not ok 4
ok 1 - a.js # time=1ms`;
    t.strictSame(
      of(log).map(({ title }) => title),
      ['a.js > no criu # SKIP', 'a.js > later # todo'],
    );
  },
);

t.test('long diagnostics lose their end, and those without an end do not take the rest of the log', async (t) => {
  const lines = Array.from({ length: 3 * detailLinesMax }, (_, index) => `    line${index}`);
  const [cut] = of(['    not ok 1 - long', '      ---', ...lines, '      ...'].join('\n'));
  t.equal(cut?.details.length, detailLinesMax);
  const [open] = of(['    not ok 1 - long', '      ---', ...lines].join('\n'));
  t.equal(open?.details.length, detailLinesMax);
});

t.test('a report ends with the titles, when there are several', async (t) => {
  const one = { title: 'a', details: ['  x: 1'] };
  t.equal(report([]), '');
  t.equal(report([one]), '== failed: a\n  x: 1\n');
  t.equal(
    report([one, { title: 'b', details: [] }]),
    '== failed: a\n  x: 1\n== failed: b\n== failed: a\n== failed: b\n',
  );
});
