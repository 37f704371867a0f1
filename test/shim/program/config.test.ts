import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { z } from 'zod';
import { ConfigError, loadYaml, option, optional, required, resolveSettings } from '../../../shim/program/config.js';
import { address, count, duration, flag, path } from '../../../shim/program/values.js';

const options = {
  listen: option(address(), '127.0.0.1:1521', 'where drivers connect'),
  'hold-time': option(duration(), '2m', 'how long'),
  'keep-going': option(flag(), 'false', 'whether'),
  'state-dir': optional(path(), 'where'),
  streams: required(count(1, 100), 'how many'),
};

t.test('flags win over the environment, that over the file, that over the default', async (t) => {
  const file = join(
    t.testdir({ 'a.yaml': 'hold-time: 3m\nstreams: 3\nlisten: "file:1"\nkeep-going: true\n' }),
    'a.yaml',
  );
  const environment = { HOLDFAST_STREAMS: '4', HOLDFAST_LISTEN: 'env:2', HOLDFAST_HOLD_TIME: '' };
  const settings = resolveSettings(options, { flags: { listen: 'flag:3' }, environment, file });
  t.same(settings, {
    listen: { host: 'flag', port: 3 },
    holdTime: 180_000,
    keepGoing: true,
    stateDir: undefined,
    streams: 4,
  });
});

t.test('a wrong value is one line that names option, source and what is allowed', async (t) => {
  const file = join(t.testdir({ 'a.yaml': 'streams: 0\n' }), 'a.yaml');
  const resolve =
    (flags: Record<string, unknown>, environment = {}, from?: string) =>
    () =>
      resolveSettings(options, { flags, environment, file: from });
  t.throws(resolve({ streams: '1', listen: 'x' }), {
    code: 'bad-option',
    message: '--listen: "x" is not allowed, expected HOST:PORT, for example 127.0.0.1:1521 or [::1]:1521',
  });
  t.throws(resolve({ streams: '1' }, { HOLDFAST_HOLD_TIME: '5' }), {
    message:
      'HOLDFAST_HOLD_TIME (environment): "5" is not allowed, expected a duration such as 500ms, 30s, 2m, 1h or 7d',
  });
  t.throws(resolve({}, {}, file), {
    message: `streams (in ${file}): 0 is not allowed, expected a whole number from 1 to 100`,
  });
  t.throws(resolve({}), {
    message: '--streams is missing: give it as a flag, as HOLDFAST_STREAMS or in the file of --config',
  });
});

t.test('an unknown name in the file is refused, and so is a file that is no list of options', async (t) => {
  const dir = t.testdir({ 'a.yaml': 'strems: 1\n', 'b.yaml': '- 1\n', 'c.yaml': 'a: [\n', 'empty.yaml': '' });
  const from = (name: string) => () =>
    resolveSettings(options, { flags: { streams: '1' }, environment: {}, file: join(dir, name) });
  t.throws(from('a.yaml'), { code: 'bad-option', message: /^strems \(in .*no such option, known are listen, / });
  t.throws(from('b.yaml'), { code: 'bad-file' });
  t.throws(from('c.yaml'), { code: 'bad-file', message: /cannot be read: [^\n]*$/ });
  t.throws(from('none.yaml'), { code: 'bad-file', message: /ENOENT/ });
  t.equal(from('empty.yaml')().streams, 1);
});

t.test('a YAML file of another shape names the place that is wrong', async (t) => {
  const file = join(t.testdir(), 'cluster.yaml');
  writeFileSync(file, 'nodes:\n  a: {agent: 5}\n');
  chmodSync(file, 0o600);
  const schema = z.object({ nodes: z.record(z.string(), z.object({ agent: address().schema })) });
  t.throws(
    () => loadYaml(file, schema),
    new ConfigError('bad-file', `${file}: nodes.a.agent: expected HOST:PORT, for example 127.0.0.1:1521 or [::1]:1521`),
  );
});
