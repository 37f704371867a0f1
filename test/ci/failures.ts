/**
 * What failed, out of all that tap printed. Standard error of the tests is between its lines, so this reads by indentation and ignores
 * what it does not know; a parser of TAP would refuse the lot.
 */

export interface Failure {
  /** The file, the names of subtests, and the assertion. */
  readonly title: string;
  /** Diagnostics of tap; of a file that failed without a failed assertion also the last lines before. */
  readonly details: readonly string[];
}

/** Of one failure; a diff of two large objects would push the others out of what a reader gets to see. */
export const detailLinesMax = 40;

const indentPerLevel = 4;
/** Keys of diagnostics that say nothing that title and place do not. */
const dull = ['source', 'stdio', 'cwd', 'externalID', 'command', 'args'];

/** Everything that is not `ok`, and what is skipped or to do. A test around a failed assertion is no failure of its own. */
export function failuresIn(lines: readonly string[]): readonly Failure[] {
  const failures: Failure[] = [];
  /** By level: the name of the open subtest, and how many failures there were before it. */
  const open: { readonly name: string; readonly before: number }[] = [];
  for (const [index, line] of lines.entries()) {
    const [, indent = '', subtest, verdict, name] =
      /^( *)(?:# Subtest: (.*)|(ok|not ok) \d+(?: - (.*))?)$/.exec(line) ?? [];
    const level = indent.length / indentPerLevel;
    if (subtest !== undefined) open.splice(level, open.length, { name: subtest, before: failures.length });
    if (verdict === undefined) continue;
    const title = (name ?? '').replace(/ # time=[\d.]+ms$/, '');
    const test = open[level]?.name === title ? open[level] : undefined;
    open.splice(test === undefined ? level + 1 : level);
    const failed = verdict === 'not ok' || / # (skip|todo)\b/i.test(title);
    if (!failed || (test !== undefined && failures.length > test.before)) continue;
    const chain = [...open.slice(0, level).map((each) => each.name), title];
    const before = level === 0 ? said(lines, index) : [];
    failures.push({ title: chain.join(' > '), details: [...before, ...diagnostics(lines, index + 1, indent)] });
  }
  return failures;
}

/** As the end of a log: first every failure with its details, then their titles alone. */
export function report(failures: readonly Failure[]): string {
  const titles = failures.map(({ title }) => `== failed: ${title}`);
  const parts = failures.map(({ details }, index) => [titles[index], ...details].join('\n'));
  return [...parts, ...(failures.length > 1 ? titles : [])].map((each) => `${each}\n`).join('');
}

/** The YAML block that follows an assertion, without the dull parts. */
function diagnostics(lines: readonly string[], from: number, indent: string): readonly string[] {
  if (lines[from] !== `${indent}  ---`) return [];
  const end = lines.indexOf(`${indent}  ...`, from);
  const block = lines.slice(from + 1, end === -1 ? from + 1 + detailLinesMax : end);
  let isDull = false;
  const kept = block.filter((line) => {
    const [, key] = /^ *(\w+):/.exec(line.startsWith(`${indent}   `) ? '' : line) ?? [];
    if (key !== undefined) isDull = dull.includes(key);
    return !isDull;
  });
  return kept.slice(0, detailLinesMax).map((line) => (line.startsWith(indent) ? line.slice(indent.length) : line));
}

/** What a file said before it ended, back to the file before: an exception outside of all tests is found here only. */
function said(lines: readonly string[], end: number): readonly string[] {
  const part = lines.slice(Math.max(0, end - detailLinesMax), end);
  const other = part.findLastIndex((line) => /^( {2}\.\.\.$|ok )/.test(line));
  return part.slice(other + 1).map((line) => `  | ${line}`);
}
