import { option, optional } from '../../shim/program/config.js';
import { defineCommand } from '../../shim/program/run.js';
import { count, flag, name } from '../../shim/program/values.js';
import { MoveError } from '../errors.js';
import type { BriefMove, SealedRecord } from '../history.js';
import { historyMax } from '../limits.js';
import { Operator, operatorOptions } from '../operator.js';
import { type Column, printJson, printTable, shownMs } from '../output.js';
import { asMarkdown, asText } from '../shown-record.js';
import { reportSilent } from './lists.js';

const columns: readonly Column<BriefMove>[] = [
  { head: 'move', cell: ({ move }) => move },
  { head: 'workload', cell: ({ workload }) => workload },
  { head: 'began', cell: ({ startedAt }) => startedAt, spare: 2 },
  { head: 'from', cell: ({ from }) => from },
  { head: 'to', cell: ({ to }) => to },
  { head: 'mover', cell: ({ mover }) => mover, spare: 3 },
  { head: 'outcome', cell: ({ outcome, code }) => (code === undefined ? outcome : `${outcome}: ${code}`) },
  { head: 'runs', cell: ({ running }) => running, spare: 4 },
  { head: 'blackout', cell: ({ blackoutMs }) => shownMs(blackoutMs), align: 'right' },
  { head: 'by', cell: ({ by }) => `${by.user}@${by.host}`, spare: 1 },
];

export const history = defineCommand({
  name: 'history',
  summary: 'Lists the moves that were made, and those that were taken back.',
  options: {
    workload: optional(name(), 'of this one only'),
    most: option(count(1, historyMax), '50', 'how many of each node, counted from the last'),
    json: option(flag(), 'false', 'print them as JSON'),
    ...operatorOptions,
  },
  examples: [
    ['holdfast history', 'A table, the last move below'],
    ['holdfast history --workload orders --json', 'Of one workload, for programs'],
  ],
  async main({ settings }) {
    const operator = new Operator(settings);
    const { workload, most } = settings;
    const answers = await operator.askAll('history', { most, ...(workload === undefined ? {} : { workload }) });
    const rows = answers.flatMap(({ reply }) => reply ?? []).sort((one, two) => one.move.localeCompare(two.move));
    if (settings.json) printJson(rows);
    else printTable(columns, rows, 'there were no moves');
    return reportSilent('history', answers);
  },
});

export const show = defineCommand({
  name: 'show',
  summary: 'Shows the record of one move: phases, sessions before and after, blackout, who asked.',
  positional: '<move>',
  options: {
    json: option(flag(), 'false', 'print the record with its seal as JSON'),
    markdown: option(flag(), 'false', 'print it for a ticket or a wiki'),
    ...operatorOptions,
  },
  examples: [
    ['holdfast show 20261122183038-3ff6e4', 'As `holdfast history` names it'],
    ['holdfast show 20261122183038-3ff6e4 --markdown >move.md', 'For a change record'],
  ],
  async main({ settings, args }) {
    const sealed = await findMove(new Operator(settings), args[0] ?? '');
    if (settings.json) printJson(sealed);
    else process.stdout.write(settings.markdown ? asMarkdown(sealed) : asText(sealed));
    return 0;
  },
});

export const verify = defineCommand({
  name: 'verify',
  summary: 'Checks that records of moves are as they were written, and that none is missing.',
  positional: '[move]',
  options: { json: option(flag(), 'false', 'print what was found as JSON'), ...operatorOptions },
  examples: [
    ['holdfast verify', 'The records of all nodes'],
    ['holdfast verify 20261122183038-3ff6e4', 'The chain in which this one stands; its hash can be kept elsewhere'],
  ],
  async main({ settings, args }) {
    const operator = new Operator(settings);
    const [move] = args;
    const answers = await operator.askAll('verifyMoves', move === undefined ? {} : { move });
    const chains = answers.flatMap(({ node, reply }) =>
      reply === undefined || (move !== undefined && reply.seal === undefined) ? [] : [{ node, ...reply }],
    );
    const faults = chains.flatMap((chain) => chain.faults.map((fault) => ({ node: chain.node, ...fault })));
    if (settings.json) printJson(chains);
    else {
      for (const { node, records, faults: own, seal } of chains) {
        const what = seal === undefined ? `${records} records` : `entry ${seal.n} of ${records}, ${seal.hash}`;
        process.stdout.write(`${node}: ${what}: ${own.length === 0 ? 'whole' : `${own.length} faults`}\n`);
      }
    }
    const [first] = faults;
    if (first !== undefined) {
      const more = faults.length === 1 ? '' : `, and ${faults.length - 1} more`;
      throw new MoveError('record-altered', `records of ${first.node}: ${first.kind}: ${first.text}${more}`);
    }
    if (move !== undefined && chains.length === 0) throw unknownMove(operator, move, answers);
    return reportSilent('verify', answers);
  },
});

async function findMove(operator: Operator, move: string): Promise<SealedRecord> {
  const answers = await operator.askAll('showMove', { move });
  // Of a move that was taken up again the last attempt says how it ended.
  const found = answers.flatMap(({ reply }) => reply?.sealed ?? []).at(-1);
  if (found !== undefined) return found;
  throw unknownMove(operator, move, answers);
}

function unknownMove(operator: Operator, move: string, answers: readonly { readonly error?: MoveError }[]): MoveError {
  const silent = answers.flatMap(({ error }) => error ?? [])[0];
  return silent ?? new MoveError('unknown-move', `there is no record of move ${move} at ${operator.nodes.join(', ')}`);
}
