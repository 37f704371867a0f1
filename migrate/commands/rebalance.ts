import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { ConfigError, loadYaml, option, optional } from '../../shim/program/config.js';
import { defineCommand } from '../../shim/program/run.js';
import { choice, count, duration, flag, path } from '../../shim/program/values.js';
import { MoveError } from '../errors.js';
import {
  type Balance,
  type BalanceMove,
  type BalanceState,
  balanceState,
  judgeBalance,
  neverBalanced,
  noteMove,
  pressureOf,
} from '../fleet/balance.js';
import type { NodeLoad } from '../fleet/messages.js';
import { Operator, operatorOptions, whoAsks } from '../operator.js';
import { type Column, printJson, printTable } from '../output.js';
import { type WantedMover, wantedMovers } from '../record.js';
import { readOrNothing } from '../workload/process.js';

export const rebalance = defineCommand({
  name: 'rebalance',
  summary: 'Proposes moves from loaded nodes to others, or makes them; to be run every few minutes.',
  options: {
    do: option(flag(), 'false', 'make the moves, once it has been uneven for long enough; else only propose them'),
    high: option(count(1, 100), '25', 'uneven: the most and the least loaded node differ by so many percent'),
    low: option(count(1, 100), '10', 'even again: they differ by less than so many percent'),
    for: option(duration(), '10m', 'it must have been uneven for so long'),
    'cool-down': option(duration(), '30m', 'between two rounds of moves, and two moves of one workload'),
    'moves-max': option(count(1, 100), '3', 'moves in one round'),
    mover: option({ ...choice(...wantedMovers), placeholder: 'MOVER' }, 'own', 'as of holdfast move'),
    state: optional(path(), 'file that remembers the last looks; rebalance.json below ~/.local/state/holdfast'),
    json: option(flag(), 'false', 'print loads, verdict and moves as JSON'),
    ...operatorOptions,
  },
  examples: [
    ['holdfast rebalance', 'Look, and see what would be moved'],
    ['holdfast rebalance --do --for 15m', 'For a timer, every few minutes'],
  ],
  async main({ settings }) {
    const { high, low, mover, movesMax, coolDown } = settings;
    if (low >= high) throw new ConfigError('bad-option', '--low must be less than --high');
    const operator = new Operator(settings);
    const file = settings.state ?? defaultFile();
    const answers = await operator.askAll('load', {});
    const loads = answers.flatMap(({ reply }) => reply ?? []);
    if (loads.length < 2) {
      const reasons = answers.flatMap(({ error }) => error?.message ?? []).join('; ') || 'the cluster file names one';
      throw new MoveError('no-target', `there are no two nodes that answer: ${reasons}`);
    }
    const marks = { highShare: high / 100, lowShare: low / 100, sustainMs: settings.for };
    const options = { ...marks, coolDownMs: coolDown, movesMax };
    const before = readOrNothing(file) === undefined ? neverBalanced : loadYaml(file, balanceState);
    const balance = judgeBalance(before, loads, options, Date.now());
    keep(file, balance.state);
    const isDone = settings.do && balance.verdict === 'act';
    const done = isDone ? await makeMoves(operator, balance, mover, file) : { moved: [] };
    if (settings.json) printJson({ loads, ...balance, ...done });
    else show(loads, balance, isDone ? done.moved.length : undefined);
    for (const { code, message } of answers.flatMap(({ error }) => error ?? []))
      process.stderr.write(`holdfast rebalance: ${code}: ${message}\n`);
    if (done.error === undefined) return 0;
    process.stderr.write(`holdfast rebalance: ${done.error.code}: ${done.error.message}\n`);
    return 1;
  },
});

interface Done {
  readonly moved: readonly string[];
  readonly error?: { readonly code: string; readonly message: string };
}

/** One after the other; the first that fails is the last. */
async function makeMoves(
  operator: Operator,
  { moves, state }: Balance,
  mover: WantedMover,
  file: string,
): Promise<Done> {
  const moved: string[] = [];
  let now = state;
  for (const { workload, from, to } of moves) {
    now = noteMove(now, workload, Date.now());
    keep(file, now);
    const request = { name: workload, to, mover, by: whoAsks() };
    const { error, warnings } = await operator.ask(from, 'move', request, { timeoutMs: 0 });
    const fault = error ?? warnings[0];
    if (fault !== undefined) return { moved, error: { code: fault.code, message: `${workload}: ${fault.message}` } };
    moved.push(workload);
  }
  return { moved };
}

function defaultFile(): string {
  return join(process.env.XDG_STATE_HOME || join(homedir(), '.local/state'), 'holdfast/rebalance.json');
}

function keep(file: string, state: BalanceState): void {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  writeFileSync(`${file}.new`, `${JSON.stringify(state)}\n`, { flush: true });
  renameSync(`${file}.new`, file);
}

const percent = (share: number) => `${Math.round(share * 100)} %`;

const nodeColumns: readonly Column<NodeLoad>[] = [
  { head: 'node', cell: ({ node }) => node },
  { head: 'processors', cell: ({ cpuBusy, cpus }) => `${percent(cpuBusy)} of ${cpus}`, align: 'right' },
  { head: 'memory', cell: (load) => percent(pressureOf({ ...load, cpuBusy: 0 })), align: 'right' },
  { head: 'workloads', cell: ({ workloads }) => workloads.length, align: 'right' },
  { head: 'state', cell: ({ evacuating }) => (evacuating ? 'being emptied' : 'up') },
];

const moveColumns: readonly Column<BalanceMove>[] = [
  { head: 'workload', cell: ({ workload }) => workload },
  { head: 'from', cell: ({ from }) => from },
  { head: 'to', cell: ({ to }) => to },
  { head: 'memory', cell: ({ memoryBytes }) => `${Math.ceil(memoryBytes / 1_048_576)} MiB`, align: 'right' },
  { head: 'processors', cell: ({ cpus }) => cpus, align: 'right' },
];

const words: Readonly<Record<Balance['verdict'], string>> = {
  even: 'the load is even',
  'not-for-long': 'uneven, but not for long enough',
  'cooling-down': 'uneven, but the last moves are too fresh',
  'no-move-helps': 'uneven, and no single move would make it better',
  act: 'uneven for long enough: --do makes these moves',
};

function show(loads: readonly NodeLoad[], { verdict, spread, moves }: Balance, moved: number | undefined): void {
  printTable(nodeColumns, loads, '');
  const end = moved === undefined ? words[verdict] : `${moved} of ${moves.length} moved`;
  process.stdout.write(`\nthe nodes are ${percent(spread)} apart; ${end}\n`);
  if (moves.length > 0) printTable(moveColumns, moves, '');
}
