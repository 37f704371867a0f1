#!/usr/bin/env node
/** `npm run test:tracker`: is the tracker right about transactions? The driver says. */
import { openDatabase } from '../../fixtures/oracle/postgres.js';
import { type Personality, personalityOf } from '../../fixtures/oracle/wire/personality.js';
import { type Column, printJson, printTable, shownMs } from '../../migrate/output.js';
import { option, optional } from '../../shim/program/config.js';
import { runProgram } from '../../shim/program/run.js';
import { count, flag } from '../../shim/program/values.js';
import { type Disagreement, runTrial, type Trial } from './trial.js';

/** What drivers make different dialects of: framing, login, fields, verifiers. */
const personalities: Readonly<Record<string, Personality>> = {
  '12.2': personalityOf('12.2'),
  '12.2, protocol 315': personalityOf('12.2', { protocolVersion: 315 }),
  '19c': personalityOf('19c'),
  '23ai': personalityOf('23ai'),
  '23ai, ends not marked': personalityOf('23ai', { endOfResponse: false }),
  '23ai, classic login': personalityOf('23ai', { fastAuth: false }),
  '26ai': personalityOf('26ai'),
  '26ai, pooled': personalityOf('26ai'),
  '19c, pooled': personalityOf('19c'),
};

interface Row {
  readonly personality: string;
  readonly protocol: number;
  readonly endOfResponse: boolean;
  readonly seeds: readonly number[];
  readonly calls: number;
  readonly transactions: number;
  readonly errors: number;
  readonly errorNumbers: Readonly<Record<string, number>>;
  /** Per cent of the calls after which tracker and driver say the same. */
  readonly agreement: number;
  readonly disagreements: readonly Disagreement[];
  readonly tookMs: number;
}

/** A session of a program: new tables, another SDU, other cuts. */
const callsOfTrial = 400;
/** Personalities that are tried at the same time: most of it is waiting for PostgreSQL. */
const atOnce = 3;

const columns: readonly Column<Row>[] = [
  { head: 'personality', cell: ({ personality }) => personality },
  { head: 'protocol', cell: ({ protocol }) => protocol, align: 'right' },
  { head: 'ends marked', cell: ({ endOfResponse }) => (endOfResponse ? 'yes' : 'no') },
  { head: 'calls', cell: ({ calls }) => calls, align: 'right' },
  { head: 'transactions', cell: ({ transactions }) => transactions, align: 'right' },
  { head: 'errors', cell: ({ errors }) => errors, align: 'right' },
  { head: 'agreement', cell: ({ agreement }) => `${agreement} %`, align: 'right' },
  { head: 'took', cell: ({ tookMs }) => shownMs(tookMs), align: 'right' },
];

await runProgram({
  name: 'test:tracker',
  summary: 'Holds what the tracker says of transactions against what the driver says, after every call.',
  options: {
    calls: option(count(1, 10_000_000), '20000', 'calls of all personalities together'),
    seed: optional(count(0, 2 ** 31), 'the seed of the first program, to see a disagreement again'),
    json: option(flag(), 'false', 'print a row for each personality as JSON'),
  },
  examples: [
    ['npm run --silent test:tracker', 'A table; exit code 1 for less than 100 %'],
    ['npm run --silent test:tracker -- --json --calls 20000', 'For programs'],
    ['npm run --silent test:tracker -- --seed 4711 --calls 3000', 'The same programs again'],
  ],
  async main({ settings, onStop }) {
    const database = await openDatabase({ services: ['freepdb1'], users: { scott: 'tiger' } });
    onStop('database', () => database.close());
    const firstSeed = settings.seed ?? Date.now() % 2 ** 30;
    const each = Math.ceil(settings.calls / Object.keys(personalities).length);
    const progress = progressOf(each * Object.keys(personalities).length);
    const measure = async ([name, personality]: [string, Personality]): Promise<Row> => {
      const began = performance.now();
      const trials: Trial[] = [];
      for (let left = each, seed = firstSeed; left > 0; left -= callsOfTrial, seed++) {
        const calls = Math.min(left, callsOfTrial);
        const onCall = (): void => progress(name);
        trials.push(await runTrial({ database, personality, seed, calls, onCall, pooled: name.endsWith('pooled') }));
      }
      return rowOf(name, personality, trials, performance.now() - began);
    };
    const rows: Row[] = [];
    const all = Object.entries(personalities);
    for (let at = 0; at < all.length; at += atOnce) {
      rows.push(...(await Promise.all(all.slice(at, at + atOnce).map(measure))));
    }
    progress(undefined);
    if (settings.json) printJson(rows);
    else report(rows);
    return rows.every(({ agreement }) => agreement === 100) ? 0 : 1;
  },
});

function rowOf(name: string, personality: Personality, trials: readonly Trial[], tookMs: number): Row {
  const sum = (of: (trial: Trial) => number): number => trials.reduce((total, trial) => total + of(trial), 0);
  const errorNumbers: Record<string, number> = {};
  for (const [number, times] of trials.flatMap(({ errors }) => Object.entries(errors))) {
    errorNumbers[number] = (errorNumbers[number] ?? 0) + times;
  }
  const calls = sum((trial) => trial.calls);
  const disagreements = trials.flatMap((trial) => trial.disagreements);
  const { protocolVersion: protocol, endOfResponse } = personality;
  return {
    personality: name,
    protocol,
    endOfResponse,
    seeds: trials.map(({ seed }) => seed),
    calls,
    transactions: sum((trial) => trial.transactions),
    errors: Object.values(errorNumbers).reduce((total, times) => total + times, 0),
    errorNumbers,
    // Rounded down: 100 means all.
    agreement: Math.floor(((calls - disagreements.length) / calls) * 10_000) / 100,
    disagreements,
    tookMs: Math.round(tookMs),
  };
}

function report(rows: readonly Row[]): void {
  printTable(columns, rows, 'no personalities');
  for (const { personality, disagreements } of rows) {
    for (const { seed, call, driver, tracker, trail } of disagreements) {
      const said = `${tracker.transaction.kind}, ${tracker.inFlight} calls in flight, ${tracker.movability.reason}`;
      process.stdout.write(
        `\n${personality}, --seed ${seed}, call ${call}: driver ${driver}, tracker ${said} ${tracker.movability.detail}\n  ${trail.join('\n  ')}\n`,
      );
    }
  }
}

/** One line on a terminal, written over once a second; a line each ten seconds elsewhere. */
function progressOf(total: number): (name: string | undefined) => void {
  const { isTTY } = process.stderr;
  const everyMs = isTTY ? 1000 : 10_000;
  let done = 0;
  let lastMs = performance.now();
  return (name) => {
    if (name === undefined) {
      if (isTTY) process.stderr.write('\r\x1b[K');
      return;
    }
    done += 1;
    if (performance.now() - lastMs < everyMs) return;
    lastMs = performance.now();
    const line = `${done} of ${total} calls, ${name}`;
    process.stderr.write(isTTY ? `\r\x1b[K${line}` : `${line}\n`);
  };
}
