import { option } from '../../shim/program/config.js';
import { defineCommand } from '../../shim/program/run.js';
import { flag } from '../../shim/program/values.js';
import { stopMsMax } from '../limits.js';
import { Operator, operatorOptions } from '../operator.js';
import { printJson } from '../output.js';

export const stop = defineCommand({
  name: 'stop',
  summary: 'Ends a workload: SIGTERM to the application, SIGKILL when that does not help.',
  positional: '<workload>',
  options: {
    json: option(flag(), 'false', 'print the end as JSON'),
    ...operatorOptions,
  },
  examples: [['holdfast stop orders', 'End the workload started as "orders"']],
  async main({ settings, args }) {
    const operator = new Operator(settings);
    const workload = await operator.find(args[0] ?? '');
    const { exitCode } = await operator.ask(
      workload.node,
      'stop',
      { name: workload.name },
      { timeoutMs: 3 * stopMsMax },
    );
    if (settings.json) printJson({ name: workload.name, ...(exitCode === undefined ? {} : { exitCode }) });
    else process.stdout.write(`${workload.name} has ended${exitCode === undefined ? '' : ` with ${exitCode}`}\n`);
    return 0;
  },
});
