import { option } from '../../../shim/program/config.js';
import { CodedError } from '../../../shim/program/errors.js';
import { defineCommand, runPrograms } from '../../../shim/program/run.js';
import { address, choice, count, flag } from '../../../shim/program/values.js';

/** What run.test.ts starts. */
await runPrograms('sample', 'A program to test with.', {
  serve: defineCommand({
    name: 'serve',
    summary: 'Waits for a signal.',
    options: { listen: option(address(), '127.0.0.1:0', 'where it listens') },
    examples: [['sample serve', 'the usual way']],
    async main(run) {
      run.onStop('first', () => console.log('stop first'));
      run.onStop('second', () => console.log('stop second'));
      const stopped = run.serve();
      console.log('ready');
      const alive = setInterval(() => undefined, 60_000);
      await stopped;
      clearInterval(alive);
      return 0;
    },
  }),
  wait: defineCommand({
    name: 'wait',
    summary: 'Takes long.',
    options: {},
    examples: [],
    async main(run) {
      run.onStop('it', () => console.log('stopped'));
      console.log('waiting');
      await new Promise((resolve) => setTimeout(resolve, 60_000));
      return 0;
    },
  }),
  fail: defineCommand({
    name: 'fail',
    summary: 'Fails.',
    options: {
      how: option(choice('coded', 'lost'), 'coded', 'in which way'),
      json: option(flag(), 'false', 'the error as JSON'),
    },
    examples: [],
    async main(run) {
      if (run.settings.how === 'coded') throw new CodedError('out-of-cheese', 'operator', 'there is none left');
      setImmediate(() => {
        throw new Error('nobody caught this');
      });
      await run.serve();
      return 0;
    },
  }),
  tell: defineCommand({
    name: 'tell',
    summary: 'Prints more than any pipe holds.',
    options: { bytes: option(count(1, 100_000_000), '10000000', 'how much') },
    examples: [],
    async main(run) {
      process.stdout.write(`${'x'.repeat(run.settings.bytes)}\n`);
      return 3;
    },
  }),
  wrap: defineCommand({
    name: 'wrap',
    summary: 'Prints the command it is given.',
    positional: '<command...>',
    runsCommand: true,
    options: {},
    examples: [],
    async main(run) {
      console.log(JSON.stringify(run.args));
      return 0;
    },
  }),
  echo: defineCommand({
    name: 'echo',
    alias: 'say',
    summary: 'Prints its arguments.',
    positional: '[words...]',
    options: {},
    examples: [],
    async main(run) {
      console.log(JSON.stringify(run.args));
      return 0;
    },
  }),
});
