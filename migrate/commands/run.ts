import { resolve } from 'node:path';
import { ConfigError, option, optional, required } from '../../shim/program/config.js';
import { defineCommand } from '../../shim/program/run.js';
import { address, flag, list, name, path, text } from '../../shim/program/values.js';
import { Operator, operatorOptions } from '../operator.js';
import { printJson } from '../output.js';

export const run = defineCommand({
  name: 'run',
  summary: 'Starts an application together with its shim, as one workload that can be moved.',
  positional: '[command...]',
  runsCommand: true,
  options: {
    name: required(name(), 'name of the workload'),
    node: optional(name(), 'where to start it; the first node of the cluster file when left out'),
    listen: option(address(), '127.0.0.1:1521', 'where the shim listens: the database address of the application'),
    bundle: optional(
      path('DIR'),
      'OCI bundle (config.json and root file system) to start as a container, by runc; its own command when none is given',
    ),
    image: optional(
      text('IMAGE'),
      'image of podman, which must be at every node, to start as a container; its own command when none is given',
    ),
    volume: optional(
      list(text('DIR:DIR[:ro]')),
      'of --image: directories of the node, and where the container sees them; every node needs the same',
    ),
    cwd: optional(path('DIR'), 'working directory of the application; the present one when left out'),
    env: optional(
      list(text('NAME[=VALUE]')),
      'variables for the application besides PATH and HOME; NAME alone hands on the one of this shell',
    ),
    label: optional(
      list(text('KEY=VALUE')),
      'labels; workloads with the same anti-affinity=GROUP are kept on different nodes',
    ),
    json: option(flag(), 'false', 'print the workload as JSON'),
    ...operatorOptions,
  },
  examples: [
    ['holdfast run --name orders -- node orders.js', 'An application that connects to 127.0.0.1:1521'],
    ['holdfast run --name web --bundle /srv/bundles/web', 'A container; its application connects to 127.0.0.1:1521'],
    ['holdfast run --name web --image registry.example/web:7 --volume /srv/web:/data', 'The same by podman'],
    [
      'holdfast run --name billing --node node-b --listen 127.0.0.1:1621 --env ZONE=eu -- ./billing',
      'A second one, elsewhere',
    ],
  ],
  async main({ settings, args }) {
    const { bundle, image, volume } = settings;
    const isContainer = bundle !== undefined || image !== undefined;
    if (args.length === 0 && !isContainer)
      throw new ConfigError('bad-option', 'there is nothing to run: a command, --bundle or --image');
    if (bundle !== undefined && image !== undefined)
      throw new ConfigError('bad-option', '--bundle and --image: a container is made of one of them');
    if (volume !== undefined && image === undefined)
      throw new ConfigError('bad-option', '--volume: it is for --image; a bundle names its own mounts');
    if (isContainer && settings.cwd !== undefined)
      throw new ConfigError('bad-option', '--cwd: the working directory of a container is that of its bundle or image');
    // Those of this shell are not for a container: it has its own.
    const own = !isContainer ? { HOME: process.env.HOME ?? '/', PATH: process.env.PATH ?? '' } : {};
    const operator = new Operator(settings);
    const node = settings.node ?? operator.nodes[0] ?? '';
    const workload = await operator.ask(
      node,
      'run',
      {
        name: settings.name,
        command: [...args],
        cwd: settings.cwd ?? process.cwd(),
        env: { ...own, ...variables(settings.env ?? []) },
        listen: settings.listen,
        labels: labelsOf(settings.label ?? []),
        ...(bundle === undefined ? {} : { bundle: resolve(bundle) }),
        ...(image === undefined ? {} : { image, volumes: [...(volume ?? [])] }),
      },
      { timeoutMs: 0 },
    );
    if (settings.json) printJson(workload);
    else process.stdout.write(`${workload.name} runs at ${workload.node}, process ${workload.pid}\n`);
    return 0;
  },
});

function labelsOf(words: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    words.map((word) => {
      const [, key, value] = /^([^=]+)=(.+)$/.exec(word) ?? [];
      if (key !== undefined && value !== undefined) return [key, value];
      throw new ConfigError('bad-option', `--label: "${word}" is not KEY=VALUE`);
    }),
  );
}

function variables(words: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    words.map((word) => {
      const [name = '', ...rest] = word.split('=');
      // Not the whole word: the value may be a password.
      if (!/^\w+$/.test(name)) throw new ConfigError('bad-option', `--env: "${name}" is not the name of a variable`);
      if (rest.length > 0) return [name, rest.join('=')];
      const value = process.env[name];
      if (value === undefined) throw new ConfigError('bad-option', `--env: there is no ${name} in this shell`);
      return [name, value];
    }),
  );
}
