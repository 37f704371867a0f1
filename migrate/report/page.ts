import { anomalies } from '../judge/anomaly.js';
import { shownMs } from '../output.js';
import type { Lane, Report, RunReport, Span, Timeline } from './model.js';
import { spansMax } from './model.js';
import { script, style } from './page-parts.js';
import { straightCell, xml } from './text.js';

/**
 * One page, complete in itself: no request leaves it, so it can be mailed, kept beside a build, and opened in ten years. Times are
 * shares of a width, so that looking closer only makes that width greater.
 */
export function pageHtml(report: Report): string {
  const failed = report.runs.filter(({ passed }) => !passed).length;
  const all = report.runs.length;
  const sums = sumsOf(report.runs);
  const what = all === 1 ? 'the run' : `${all} runs`;
  const words = failed === 0 ? `Everything held in ${what}.` : `${failed} of ${all} did not hold.`;
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>${xml(report.title)}: ${failed === 0 ? 'passed' : 'FAILED'}</title><style>${style}</style></head>
<body><header><p class="eyebrow">Holdfast ${xml(report.version)} &middot; ${xml(report.title)}</p>
<h1 class="${failed === 0 ? 'good' : 'bad'}">${words}</h1>
<p class="sub">${xml(report.startedAt.replace('T', ' ').slice(0, 19))} UTC, ${shownMs(report.seconds * 1_000)}</p></header>
<main>${tiles(sums)}
${all > 1 ? overview(report.runs) : ''}
${report.runs.map((run, index) => section(run, index, all === 1 || !run.passed)).join('\n')}
</main><aside id="tip" hidden></aside><script>${script}</script></body></html>
`;
}

interface Sums {
  readonly transactions: number;
  readonly faults: number;
  readonly kinds: number;
  readonly lost: number;
  readonly duplicated: number;
  readonly wrong: number;
  readonly rolledBack: number;
  readonly straight: number | undefined;
}

function sumsOf(runs: readonly RunReport[]): Sums {
  const sum = (of: (run: RunReport) => number) => runs.reduce((total, run) => total + of(run), 0);
  const controls = runs.filter(({ control }) => control !== undefined);
  return {
    transactions: sum(({ transactions }) => transactions),
    faults: sum(({ faultsActed }) => faultsActed),
    kinds: new Set(runs.flatMap(({ faults }) => faults.map(({ kind }) => kind))).size,
    lost: sum(({ verdict }) => verdict.lost),
    duplicated: sum(({ verdict }) => verdict.duplicated),
    wrong: sum(({ verdict }) => verdict.wrong),
    rolledBack: sum(({ verdict }) => verdict.rolledBack),
    straight: controls.length === 0 ? undefined : sum(({ control }) => control?.verdict.rolledBack ?? 0),
  };
}

function tiles({ transactions, faults, kinds, lost, duplicated, wrong, rolledBack, straight }: Sums): string {
  const tile = (value: number, name: string, mood: 'plain' | 'zero' | 'warn' = 'plain') => {
    const isBad = mood === 'zero' && value > 0;
    const tone = isBad ? 'bad' : mood === 'warn' && value > 0 ? 'warn' : mood === 'zero' ? 'good' : '';
    return `<li class="${tone}"><b>${value.toLocaleString('en')}</b><span>${name}</span></li>`;
  };
  const beside = straight === undefined ? '' : tile(straight, 'rolled back without Holdfast', 'warn');
  return `<ul class="tiles">${tile(transactions, 'transactions')}${tile(faults, `faults of ${kinds} kinds`)}
${tile(lost, 'lost', 'zero')}${tile(duplicated, 'duplicated', 'zero')}${tile(wrong, 'wrong', 'zero')}
${tile(rolledBack, 'rolled back', 'warn')}${beside}</ul>`;
}

function overview(runs: readonly RunReport[]): string {
  const rows = runs.map(
    (run, index) => `<tr><td><a href="#run-${index}">${xml(run.name)}</a></td>
<td class="${run.passed ? 'good' : 'bad'}">${run.passed ? 'passed' : 'failed'}</td><td>${run.transactions}</td>
<td>${run.faultsActed}</td><td>${run.verdict.lost}</td><td>${run.verdict.duplicated}</td>
<td>${run.verdict.rolledBack}</td><td>${straightCell(run) ?? ''}</td></tr>`,
  );
  const heads = ['run', '', 'transactions', 'faults', 'lost', 'duplicated', 'rolled back', 'straight'];
  return `<section class="card scroll"><table><thead><tr>${heads.map((head) => `<th>${head}</th>`).join('')}</tr></thead>
<tbody>${rows.join('')}</tbody></table></section>`;
}

function section(run: RunReport, index: number, isOpen: boolean): string {
  const most = Math.max(1, ...run.faults.map(({ acts }) => acts));
  const bars = run.faults.map(
    ({ kind, acts }) =>
      `<li><span>${xml(kind)}</span><i style="width:${((acts / most) * 100).toFixed(1)}%"></i><b>${acts}</b></li>`,
  );
  const wrong = [
    ...run.failures.map((text) => `<li>${xml(text)}</li>`),
    ...run.verdict.anomalies.slice(0, 20).map(({ name, operations, detail }) => {
      const who = operations.length === 0 ? '' : ` <small>operation ${operations.join(', ')}</small>`;
      return `<li><code>${name}</code> ${xml(detail)}${who}<br><small>${anomalies[name].means}</small></li>`;
    }),
  ];
  const mark = `<b class="${run.passed ? 'good' : 'bad'}">${run.passed ? '✓' : '✗'}</b>`;
  return `<details class="card" id="run-${index}"${isOpen ? ' open' : ''}><summary>${mark} ${xml(run.name)}
<span class="sub">${xml(run.about)}</span></summary>
${wrong.length === 0 ? '' : `<ul class="wrong">${wrong.join('')}</ul>`}
${timelineHtml(run.timeline)}
<h3>Faults that acted</h3><ul class="bars">${bars.join('')}</ul>
<p class="sub">Seed ${run.seed}, ${run.seconds} s; ${run.verdict.unknown} COMMITs got no answer, ${run.verdict.unknownCommitted}
of these were done; the database was asked about ${run.verdict.unknownAsked} by their logical transaction ids.</p></details>`;
}

const legend = [
  ['ok', 'committed'],
  ['rollback', 'rolled back on purpose'],
  ['fail', 'broken off'],
  ['info', 'nobody answered'],
  ['call', 'a call that waited'],
  ['blackout', 'blackout'],
  ['fault', 'fault'],
  ['bind', 'bind'],
] as const;

function timelineHtml(timeline: Timeline): string {
  const spans = timeline.lanes.reduce((sum, lane) => sum + lane.spans.length, 0);
  const shortestMs = spans <= spansMax ? 0 : shortest(timeline, spansMax);
  const left = spans <= spansMax ? '' : `<p class="sub">Transactions under ${shownMs(shortestMs)} are not drawn.</p>`;
  const names = timeline.lanes.map(({ name, group }) => `<li data-group="${xml(group)}">${xml(name)}</li>`);
  const rows = timeline.lanes.map((lane) => laneSvg(lane, timeline.lengthMs, shortestMs));
  const keys = legend.map(([kind, name]) => `<li><i class="k ${kind}"></i>${name}</li>`);
  return `<div class="tools"><label>Look closer <input type="range" min="1" max="40" value="1" step="0.5"></label>
<ul class="legend">${keys.join('')}</ul></div>${left}
<div class="time"><ul class="names"><li class="axis"></li>${names.join('')}</ul>
<div class="wide"><div class="inner">${axis(timeline.lengthMs)}${rows.join('')}</div></div></div>`;
}

/** Marks of the axis: about ten, at round times. */
function axis(lengthMs: number): string {
  const rough = lengthMs / 8_000;
  const step = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300].find((each) => each >= rough) ?? 600;
  const ticks: string[] = [];
  for (let at = 0; at * 1_000 < lengthMs; at += step) {
    const x = share(at * 1_000, lengthMs);
    ticks.push(`<line x1="${x}" x2="${x}" y1="14" y2="22"/><text x="${x}" y="11">${Number(at.toFixed(1))} s</text>`);
  }
  return `<svg class="axis" height="22" width="100%">${ticks.join('')}</svg>`;
}

function laneSvg(lane: Lane, lengthMs: number, shortestMs: number): string {
  const isShown = ({ kind, beganMs, endedMs }: Span) => kind !== 'ok' || endedMs - beganMs >= shortestMs;
  const spans = lane.spans.filter(isShown).map(({ kind, beganMs, endedMs, label }) => {
    const [y, height] = kind === 'blackout' ? [0, 22] : kind === 'call' ? [3, 3] : [6, 11];
    const place = `x="${share(beganMs, lengthMs)}" width="${share(Math.max(0, endedMs - beganMs), lengthMs)}"`;
    return `<rect class="${kind}" ${place} y="${y}" height="${height}" data-t="${xml(label)}"/>`;
  });
  const marks = lane.marks.map(({ kind, atMs, label }) => {
    const x = share(atMs, lengthMs);
    return kind === 'bind'
      ? `<line class="bind" x1="${x}" x2="${x}" y1="0" y2="22" data-t="${xml(label)}"/>`
      : `<circle class="${kind}" cx="${x}" cy="11" r="3.5" data-t="${xml(label)}"/>`;
  });
  return `<svg class="lane" data-group="${xml(lane.group)}" height="22" width="100%">${spans.join('')}${marks.join('')}</svg>`;
}

/** From which length on so many spans remain. */
function shortest(timeline: Timeline, most: number): number {
  const lengths = timeline.lanes.flatMap(({ spans }) => spans.map(({ beganMs, endedMs }) => endedMs - beganMs));
  return lengths.sort((one, other) => other - one)[most] ?? 0;
}

function share(ms: number, ofMs: number): string {
  return `${((Math.min(Math.max(ms, 0), ofMs) / Math.max(1, ofMs)) * 100).toFixed(3)}%`;
}
