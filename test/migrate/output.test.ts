import t from 'tap';
import { type Column, renderTable, shownMs } from '../../migrate/output.js';

interface Row {
  readonly name: string;
  readonly size?: number;
  readonly spare?: string;
  readonly last: string;
}

const columns: readonly Column<Row>[] = [
  { head: 'name', cell: ({ name }) => name },
  { head: 'size', cell: ({ size }) => size, align: 'right' },
  { head: 'spare', cell: ({ spare }) => spare, spare: 1 },
  { head: 'sparest', cell: () => 'x', spare: 2 },
  { head: 'last', cell: ({ last }) => last },
];
const rows: readonly Row[] = [
  { name: 'orders', size: 7, spare: 'half', last: 'a command with\nmany words in it' },
  { name: 'b', size: 12345, last: 'short' },
];
const lines = (width: number) => renderTable(columns, rows, width).split('\n');

t.test('columns stand apart by two spaces, numbers end together, nothing ends in spaces', async (t) => {
  t.strictSame(lines(Number.POSITIVE_INFINITY), [
    'NAME     SIZE  SPARE  SPAREST  LAST',
    'orders      7  half   x        a command with many words in it',
    'b       12345         x        short',
    '',
  ]);
});

t.test('a narrow terminal loses the end of the last column, then what is spare, then the last column', async (t) => {
  t.strictSame(lines(60)[1], 'orders      7  half   x        a command with many words in…');
  t.strictSame(lines(40)[1], 'orders      7  half   a command with ma…');
  t.strictSame(lines(34)[1], 'orders      7  a command with man…');
  t.strictSame(lines(20)[1], 'orders      7');
  for (let width = 13; width < 80; width++) {
    t.ok(
      lines(width).every(({ length }) => length <= width),
      `fits ${width}`,
    );
  }
});

t.test('durations are short and have their unit', async (t) => {
  const cases: [number, string][] = [
    [0, '0.0 ms'],
    [4.24, '4.2 ms'],
    [9.96, '10 ms'],
    [999.4, '999 ms'],
    [999.6, '1.0 s'],
    [59_940, '59.9 s'],
    [59_960, '1m 00s'],
    [125_400, '2m 05s'],
    [3_599_400, '59m 59s'],
    [3_599_600, '1h 00m'],
    [13_200_000, '3h 40m'],
    [439_200_000, '5d 02h'],
  ];
  for (const [ms, shown] of cases) t.equal(shownMs(ms), shown);
});
