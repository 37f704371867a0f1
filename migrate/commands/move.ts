import { option, required } from '../../shim/program/config.js';
import { defineCommand } from '../../shim/program/run.js';
import { choice, flag, name } from '../../shim/program/values.js';
import { agentAddress } from '../cluster.js';
import { Operator, operatorOptions, whoAsks } from '../operator.js';
import { printJson } from '../output.js';
import { Progress, summary } from '../progress.js';
import type { MoveRecord } from '../record.js';

export const move = defineCommand({
  name: 'move',
  summary: 'Moves a running workload to another node; its database sessions and open transactions stay.',
  positional: '<workload>',
  options: {
    to: required(name(), 'node to move to'),
    mover: option(
      choice('criu', 'relink'),
      'criu',
      'criu moves the processes; relink only the link, for trials without root',
    ),
    'allow-unknown': option(flag(), 'false', 'move also sessions that cannot be watched (encrypted, unknown driver)'),
    json: option(flag(), 'false', 'print the record of the move as JSON'),
    ...operatorOptions,
  },
  examples: [
    ['holdfast move orders --to node-b', 'Move the workload started as "orders"'],
    ['holdfast move orders --to node-b --json', 'The same for a program: the record on stdout, progress on stderr'],
  ],
  async main({ settings, args }) {
    const record = await moveIt(new Operator(settings), args[0] ?? '', settings);
    if (settings.json) printJson(record);
    else if (record.outcome === 'moved') process.stdout.write(summary(record));
    if (record.error === undefined) return 0;
    const { code, message, phase, source } = record.error;
    process.stderr.write(`holdfast move: ${code}: ${message}; in ${phase}; the source ${source}\n`);
    return 1;
  },
});

async function moveIt(
  operator: Operator,
  workload: string,
  how: { to: string; mover: 'criu' | 'relink'; allowUnknown: boolean },
): Promise<MoveRecord> {
  agentAddress(operator.cluster, how.to);
  const { node } = await operator.find(workload);
  const progress = new Progress(process.stderr);
  const request = { name: workload, to: how.to, mover: how.mover, allowUnknown: how.allowUnknown, by: whoAsks() };
  return operator.ask(node, 'move', request, { timeoutMs: 0, onEvent: progress.show });
}
