import { option, optional } from '../../shim/program/config.js';
import { defineCommand } from '../../shim/program/run.js';
import { count, duration, flag, text } from '../../shim/program/values.js';
import { awaitBound } from '../movers/external.js';
import { Operator, operatorOptions, whoAsks } from '../operator.js';
import { printJson } from '../output.js';

export const awaitCommand = defineCommand({
  name: 'await',
  summary: 'Waits until a workload that was parked with holdfast hold has bound at its new place, and unpins it.',
  positional: '<workload>',
  options: {
    epoch: optional(count(1, Number.MAX_SAFE_INTEGER), 'of the ticket: only a later bind counts'),
    instance: optional(text('ID'), 'of the ticket: only this life of the shim'),
    timeout: option(duration(), '1h', 'how long to wait; the sessions stay pinned when it is over'),
    json: option(flag(), 'false', 'print the workload as JSON'),
    ...operatorOptions,
  },
  examples: [
    ['holdfast await orders', 'When it runs at its new place; a shim that an agent knows is told to bind'],
    ['holdfast await orders --epoch 3 --timeout 10m', 'As the ticket says'],
  ],
  async main({ settings, args }) {
    const [name = ''] = args;
    const { epoch, instance, timeout } = settings;
    process.stderr.write(`holdfast await: waiting for ${name}\n`);
    const row = await awaitBound(new Operator(settings), { name, instance, epoch }, timeout, whoAsks());
    if (settings.json) printJson(row);
    else process.stdout.write(`${name} is bound from ${row.address}, epoch ${row.epoch}, ${row.sessions} sessions\n`);
    return 0;
  },
});
