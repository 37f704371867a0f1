import { anomalies } from '../judge/anomaly.js';
import { type Column, renderTable } from '../output.js';
import type { Report, RunReport } from './model.js';

const anomaliesShown = 10;

/** What a person in front of a terminal reads. @param width columns of the terminal */
export function summaryText(report: Report, width: number): string {
  const isCompared = report.runs.some(({ control }) => control !== undefined);
  const columns: readonly Column<RunReport>[] = [
    { head: 'run', cell: ({ name }) => name },
    { head: 'verdict', cell: ({ passed }) => (passed ? 'passed' : 'FAILED') },
    { head: 'transactions', cell: ({ transactions }) => transactions, align: 'right', spare: 1 },
    { head: 'faults', cell: ({ faultsActed }) => faultsActed, align: 'right' },
    { head: 'lost', cell: ({ verdict }) => verdict.lost, align: 'right' },
    { head: 'duplicated', cell: ({ verdict }) => verdict.duplicated, align: 'right', spare: 2 },
    { head: 'rolled back', cell: ({ verdict }) => verdict.rolledBack, align: 'right' },
    { head: 'straight', cell: straightCell, align: 'right' },
    { head: 'seconds', cell: ({ seconds }) => seconds, align: 'right', spare: 3 },
  ];
  const shown = columns.filter(({ head }) => isCompared || head !== 'straight');
  const table = renderTable(shown, report.runs, width);
  return `${table}${report.runs.map(troubles).join('')}`;
}

/** What came of the same without Holdfast: transactions that were broken off, and COMMITs that nobody has answered. */
export function straightCell({ control }: RunReport): string | undefined {
  if (control === undefined) return undefined;
  const { rolledBack, unknownCommitted } = control.verdict;
  return unknownCommitted === 0 ? `${rolledBack}` : `${rolledBack} + ${unknownCommitted} ?`;
}

/** What was wrong with a run, in lines. */
function troubles({ name, failures, verdict }: RunReport): string {
  const found = verdict.anomalies.slice(0, anomaliesShown).map(({ name: what, operations, detail }) => {
    const who = operations.length === 0 ? '' : ` operation ${operations.join(', ')}:`;
    return `${what}:${who} ${detail} (${anomalies[what].means})`;
  });
  const more = verdict.anomalies.length - found.length;
  const rest = more > 0 ? [`and ${more} more`] : [];
  return [...failures, ...found, ...rest].map((line) => `${name}: ${line}\n`).join('');
}

/** Test Anything Protocol, version 14. */
export function tapText(report: Report): string {
  const lines = report.runs.map((run, index) => {
    const head = `${run.passed ? 'ok' : 'not ok'} ${index + 1} - ${run.name}`;
    if (run.passed) return head;
    const words = troubles(run)
      .trimEnd()
      .split('\n')
      .map((line) => `    ${line}`);
    return [head, '  ---', '  message: |', ...words, `  seed: ${run.seed}`, '  ...'].join('\n');
  });
  return `TAP version 14\n1..${report.runs.length}\n${lines.join('\n')}\n`;
}

/** What CI servers read: a test suite with a case for each run. */
export function junitText(report: Report): string {
  const cases = report.runs.map((run) => {
    const words = xml(troubles(run).trimEnd());
    const failure = run.passed ? '' : `<failure message="${xml(run.failures[0] ?? 'failed')}">${words}</failure>`;
    const values = { transactions: run.transactions, faultsActed: run.faultsActed, seed: run.seed };
    const properties = Object.entries(values)
      .map(([name, value]) => `<property name="${name}" value="${value}"/>`)
      .join('');
    const open = `<testcase name="${xml(run.name)}" classname="holdfast" time="${run.seconds}">`;
    return `${open}<properties>${properties}</properties>${failure}</testcase>`;
  });
  const failed = report.runs.filter(({ passed }) => !passed).length;
  const counts = `tests="${report.runs.length}" failures="${failed}" errors="0" skipped="0" time="${report.seconds}"`;
  const suite = `<testsuite name="${xml(report.title)}" timestamp="${report.startedAt}" ${counts}>${cases.join('\n')}</testsuite>`;
  return `<?xml version="1.0" encoding="UTF-8"?>\n<testsuites ${counts}>\n${suite}\n</testsuites>\n`;
}

/** For XML and HTML. What XML 1.0 cannot hold at all becomes a question mark. */
export function xml(text: string): string {
  const entities: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
  const plain = [...text].map((each) => (each < ' ' && !'\n\r\t'.includes(each) ? '?' : each)).join('');
  return plain.replace(/[&<>"]/g, (each) => entities[each] ?? each);
}
