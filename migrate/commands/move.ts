import { createInterface } from 'node:readline/promises';
import { option, required } from '../../shim/program/config.js';
import { errorText } from '../../shim/program/errors.js';
import { defineCommand } from '../../shim/program/run.js';
import { choice, flag, name } from '../../shim/program/values.js';
import { agentAddress } from '../cluster.js';
import { MoveError } from '../errors.js';
import { Operator, operatorOptions, whoAsks } from '../operator.js';
import { printJson } from '../output.js';
import { Progress, summary } from '../progress.js';
import { type MoveRecord, wantedMovers } from '../record.js';
import { conditionOptions, conditionsOf } from './conditions.js';

const json = option(
  flag(),
  'false',
  'print the record as JSON on stdout, and what happens meanwhile on stderr, an object a line',
);

export const move = defineCommand({
  name: 'move',
  summary: 'Moves a running workload to another node; its database sessions and open transactions stay.',
  positional: '<workload>',
  options: {
    to: required(name(), 'node to move to'),
    mover: option(
      { ...choice(...wantedMovers), placeholder: 'MOVER' },
      'own',
      'own: as it was started, criu for processes, runc and podman for containers; relink moves only the link, for trials without root',
    ),
    'allow-unknown': option(flag(), 'false', 'move also sessions that cannot be watched (encrypted, unknown driver)'),
    ...conditionOptions,
    json,
    ...operatorOptions,
  },
  examples: [
    ['holdfast move orders --to node-b --when transaction-end --deadline 1m', 'At a quiet moment, or not'],
    ['holdfast move orders --to node-b', 'Move the workload started as "orders"; Ctrl-C asks, then takes it back'],
    ['holdfast move orders --to node-b --max-blackout 500ms', 'Only if the application need not wait longer'],
    ['holdfast move orders --to node-b --json', 'The same for a program: the record on stdout, events on stderr'],
  ],
  async main({ settings, args, onInterrupt }) {
    const operator = new Operator(settings);
    const progress = new Progress(process.stderr, settings.json);
    agentAddress(operator.cluster, settings.to);
    const { node, name: workload } = await operator.find(args[0] ?? '');
    onInterrupt(interruption(operator, node, progress));
    const { to, mover, allowUnknown } = settings;
    const request = { name: workload, to, mover, allowUnknown, ...conditionsOf(settings), by: whoAsks() };
    return tell(
      'move',
      settings.json,
      await operator.ask(node, 'move', request, { timeoutMs: 0, onEvent: progress.show }),
    );
  },
});

export const resumeMove = defineCommand({
  name: 'resume-move',
  summary: 'Finishes or takes back a move that was cut off, and says which.',
  positional: '<move>',
  options: { json, ...operatorOptions },
  examples: [['holdfast resume-move 20261122181500-3fa4c1', 'As the record or `holdfast ps --json` names it']],
  async main({ settings, args }) {
    const operator = new Operator(settings);
    const progress = new Progress(process.stderr, settings.json);
    const [wanted = ''] = args;
    const errors: unknown[] = [];
    for (const node of operator.nodes) {
      try {
        const options = { timeoutMs: 0, onEvent: progress.show };
        return tell('resume-move', settings.json, await operator.ask(node, 'resumeMove', { move: wanted }, options));
      } catch (error) {
        errors.push(error);
      }
    }
    // A node that knows it and cannot go on says more than those that do not know it.
    const telling = errors.find(
      (error) => !(error instanceof Error && 'code' in error && error.code === 'unknown-move'),
    );
    throw telling ?? new MoveError('unknown-move', `there is no move ${wanted} at ${operator.nodes.join(', ')}`);
  },
});

/** @returns the exit code */
function tell(command: string, isJson: boolean, record: MoveRecord): number {
  if (isJson) printJson(record);
  else if (record.outcome === 'moved') process.stdout.write(summary(record));
  if (record.error === undefined) return 0;
  const { code, message, phase, source } = record.error;
  process.stderr.write(`holdfast ${command}: ${code}: ${message}; in ${phase}; the source ${source}\n`);
  return 1;
}

/** What Ctrl-C does: asks on a terminal, then has the move taken back. A second one leaves it alone: it goes on by itself. */
function interruption(operator: Operator, node: string, progress: Progress): () => void {
  let isAsking = false;
  return () => {
    const { move: name } = progress;
    if (isAsking || name === undefined) {
      process.stderr.write('\nleft alone: the agent goes on with the move\n');
      process.exit(130);
    }
    isAsking = true;
    void confirmed()
      .then(async (isWanted) => {
        if (!isWanted) return progress.say('the move goes on');
        const { state } = await operator.ask(node, 'abortMove', { move: name, by: whoAsks() });
        progress.say(state === 'aborting' ? 'taking it back' : 'too late: the target has the sessions or is about to');
      })
      .catch((error: unknown) => progress.say(`it could not be taken back: ${errorText(error)}`))
      .finally(() => {
        isAsking = false;
      });
  };
}

async function confirmed(): Promise<boolean> {
  if (!process.stdin.isTTY || !process.stderr.isTTY) return true;
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  // On a terminal that is read it is the reading that sees Ctrl-C.
  lines.on('SIGINT', () => process.kill(process.pid, 'SIGINT'));
  try {
    const answer = await lines.question('\ntake the move back? The application then goes on at the source. [y/N] ');
    return /^y(es)?$/i.test(answer.trim());
  } finally {
    lines.close();
  }
}
