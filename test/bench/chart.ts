import { parse, View } from 'vega';
import { compile, type TopLevelSpec } from 'vega-lite';
import { type PathName, pathNames, pathTitles } from './paths.js';
import type { Report } from './report.js';
import type { Row } from './results.js';

/** Grey: nothing between. Blue: HAProxy. Orange: Holdfast. The darker the more is protected. */
const colours: Readonly<Record<PathName, string>> = {
  direct: '#9a9a9a',
  'haproxy-1': '#9ecae1',
  'haproxy-2': '#4292c6',
  'haproxy-2-apart': '#41b6a6',
  'haproxy-2-tls': '#08519c',
  holdfast: '#fd8d3c',
  'holdfast-tls': '#b83b00',
  'holdfast-no-journal': '#fdc28b',
};
const width = 330;
const height = 220;

/** The chart of a report, as SVG. */
export async function chart(report: Report): Promise<string> {
  const view = new View(parse(compile(specification(report)).spec), { renderer: 'none' });
  try {
    return `${await view.toSVG()}\n`;
  } finally {
    view.finalize();
  }
}

function specification(report: Report): TopLevelSpec {
  const { machine, rows } = report;
  const wire = rows.filter(({ level }) => level === 'wire');
  const small = wire.filter(({ load }) => load === 'small').map(datum);
  const bulk = wire.filter(({ load, connections }) => load.startsWith('bulk') && connections === 16).map(datum);
  const fetches = wire.filter(({ load, connections }) => load === 'fetch' && connections === 16).map(datum);
  const many = small.filter(({ connections }) => connections === 256);
  const on = `${machine.processors} x ${machine.model}, Node.js ${machine.node}, HAProxy ${machine.haproxy}, ${report.at.slice(0, 10)}, load before the run ${machine.loadBefore}`;
  return {
    background: 'white',
    padding: 12,
    title: { text: 'Holdfast beside HAProxy, wire level', subtitle: on, anchor: 'start' },
    config: { font: 'sans-serif', legend: { labelLimit: 300 }, concat: { spacing: 40 } },
    resolve: { scale: { xOffset: 'independent' } },
    vconcat: [
      {
        hconcat: [
          lines(small, 'Small calls (250/400 bytes): calls/s', 'rate', 'linear'),
          lines(small, 'Small calls: median round trip, us', 'p50', 'log'),
        ],
      },
      {
        resolve: { scale: { xOffset: 'independent' } },
        hconcat: [
          bars(many, 'Small calls, 256 connections: CPU s per million calls', 'cpu'),
          bars([...bulk, ...fetches], '16 connections: MiB/s', 'mebibytes'),
        ],
      },
    ],
  };
}

interface Datum {
  readonly way: string;
  readonly load: string;
  readonly connections: number;
  readonly rate: number;
  readonly p50: number;
  readonly cpu: number;
  readonly mebibytes: number;
}

function datum(row: Row): Datum {
  const loads: Readonly<Record<string, string>> = { bulkd: 'bulk down', bulku: 'bulk up', fetch: 'fetch 32 KiB' };
  return {
    way: pathTitles[row.path],
    load: loads[row.load] ?? 'small',
    connections: row.connections,
    rate: row.requestsPerSecond.median,
    p50: row.p50Us.median,
    cpu: row.cpuSecondsPerMillion,
    mebibytes: row.mebibytesPerSecond ?? 0,
  };
}

/** The ways there are, in their order and colours. */
function colour(values: readonly Datum[]) {
  const names = pathNames.filter((name) => values.some(({ way }) => way === pathTitles[name]));
  const domain = names.map((name) => pathTitles[name]);
  const scale = { domain, range: names.map((name) => colours[name]) };
  return { field: 'way', type: 'nominal' as const, title: null, sort: domain, scale };
}

function lines(values: readonly Datum[], title: string, field: keyof Datum, scale: 'linear' | 'log') {
  return {
    title,
    width,
    height,
    data: { values: [...values] },
    mark: { type: 'line' as const, point: true },
    encoding: {
      x: { field: 'connections', type: 'ordinal' as const, title: 'connections', axis: { labelAngle: 0 } },
      y: { field, type: 'quantitative' as const, title: null, scale: { type: scale } },
      color: colour(values),
    },
  };
}

function bars(values: readonly Datum[], title: string, field: keyof Datum) {
  return {
    title,
    width,
    height,
    data: { values: [...values] },
    mark: { type: 'bar' as const },
    encoding: {
      x: { field: 'load', type: 'nominal' as const, title: null, axis: { labelAngle: 0 } },
      xOffset: { field: 'way', sort: pathNames.map((name) => pathTitles[name]) },
      y: { field, type: 'quantitative' as const, title: null },
      color: colour(values),
    },
  };
}
