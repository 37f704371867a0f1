import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import oracledb from 'oracledb';
import t, { type Test } from 'tap';
import { Program } from '../../fixtures/lab/program.js';
import { type CommandName, commands, directory, logOf, portOf, rejection, secretFile, start } from './parts.js';

/** Each command as somebody meets it on a command line. */

t.setTimeout(180_000);
const plain = '--insecure-plaintext';
const run = (name: CommandName, ...words: readonly string[]) =>
  new Program(name, { file: process.execPath, args: [commands[name], ...words] }).ended;
const names = Object.keys(commands) as CommandName[];
const verbs = ['agent', 'run', 'move', 'sessions', 'workloads', 'ps', 'nodes', 'stop'];
const nowhere = '127.0.0.1:1';

t.test('each command and sub-command has a help of its own, and a version', async (t) => {
  const lines = [...names.map((name) => [name]), ...verbs.map((verb) => ['holdfast', verb])] as [
    CommandName,
    ...string[],
  ][];
  const { stdout: version } = await run('holdfast', '--version');
  t.match(version, /^\d+\.\d+\.\d+\n$/);
  for (const [name, ...words] of lines) {
    const help = await run(name, ...words, '--help');
    t.match(help, { code: 0, stderr: '' });
    const title = words[0] === 'ps' ? 'Usage: holdfast workloads|ps' : `Usage: ${[name, ...words].join(' ')}`;
    t.ok(help.stdout.startsWith(title) || help.stdout.includes(words[0] ?? name), title);
    t.match(help.stdout, words.length > 0 || name !== 'holdfast' ? /\nExamples:\n {2}\S/ : /\nFirst steps:\n/);
    t.strictSame(
      help.stdout.split('\n').filter((line) => line.length > 80 && !line.startsWith('    ')),
      [],
    );
  }
});

t.test('wrong use is one line that says what is wrong, and exit code 2', async (t) => {
  const home = directory(t);
  const file = (name: string, content: string) => {
    const path = join(home, name);
    writeFileSync(path, content, { mode: 0o600 });
    return path;
  };
  const short = file('short', 'too short');
  const open = file('open', randomBytes(32).toString('base64'));
  chmodSync(open, 0o644);
  const cluster = file('cluster', 'nodes: { a: { agent: somewhere } }\nproxy: { data: x:1, control: x:2 }\n');
  const cases: [RegExp, CommandName, ...string[]][] = [
    [
      /unknown option '--databse' \(Did you mean --database\?\); see holdfast-proxy --help/,
      'holdfast-proxy',
      '--databse',
      'x:1',
    ],
    [/unknown command 'mvoe' \(Did you mean move\?\); see holdfast --help/, 'holdfast', 'mvoe'],
    [/missing required argument 'workload'; see holdfast move --help/, 'holdfast', 'move'],
    [/--to is missing/, 'holdfast', 'move', 'orders', plain],
    [
      /--hold-idle: "soon" is not allowed, expected a duration such as/,
      'holdfast-proxy',
      '--hold-idle',
      'soon',
      '--database',
      nowhere,
    ],
    [
      /--link-window: "1" is not allowed, expected a size/,
      'holdfast-shim',
      '--workload',
      'w',
      '--proxy',
      nowhere,
      '--link-window',
      '1',
    ],
    [
      /--workload: "a\/b" is not allowed, expected a name/,
      'holdfast-shim',
      '--workload',
      'a/b',
      '--proxy',
      nowhere,
      plain,
    ],
    [/sockets are not protected: choose one of/, 'holdfast-shim', '--workload', 'w', '--proxy', nowhere],
    [/protected in more than one way/, 'holdfast-proxy', '--database', nowhere, plain, '--secret-file', open],
    [/open can be read by everybody: chmod 600/, 'holdfast-proxy', '--database', nowhere, '--secret-file', open],
    [/short is shorter than 32 characters/, 'holdfast-proxy', '--database', nowhere, '--secret-file', short],
    [/missing.yaml cannot be read: ENOENT/, 'holdfast', 'sessions', plain, '--cluster', join(home, 'missing.yaml')],
    [/cluster: nodes\.a\.agent: expected HOST:PORT/, 'holdfast', 'sessions', plain, '--cluster', cluster],
    [/empty: nodes: is missing/, 'holdfast', 'nodes', plain, '--cluster', file('empty', 'proxy: {}\n')],
    [
      /broken cannot be read: .* at line 2, column \d+$/,
      'holdfast-proxy',
      '--config',
      file('broken', 'database: [x\n'),
    ],
    [/listing: expected "option: value" lines/, 'holdfast-proxy', '--config', file('listing', '- x\n')],
    [
      /databse \(in .*\): no such option, known are database, listen/,
      'holdfast-proxy',
      '--config',
      file('typo', 'databse: x:1\n'),
    ],
    [
      /database \(in .*\): 7 is not allowed, expected HOST:PORT/,
      'holdfast-proxy',
      '--config',
      file('number', 'database: 7\n'),
    ],
    [/cannot be read: EISDIR/, 'holdfast-oracle', '--config', home],
    [/--user: entry 1: expected NAME\/PASSWORD/, 'holdfast-oracle', '--user', 'secretive'],
  ];
  for (const [expected, name, ...words] of cases) {
    const { code, stdout, stderr } = await run(name, ...words);
    const line = stderr.replace(/\n$/, '');
    t.equal(code, 2, [name, ...words].join(' '));
    t.equal(stdout, '');
    t.match(line, expected);
    t.match(line, new RegExp(`^${name}[^:\\n]*: [^\\n]+$`), 'one line');
    t.notMatch(line, /secretive|too short/, 'no secret');
  }
});

t.test('holdfast-oracle without its PostgreSQL says so, and not what the URL is', async (t) => {
  const dead = await run(
    'holdfast-oracle',
    '--listen',
    '127.0.0.1:0',
    '--postgres',
    'postgres://u:planted@127.0.0.1:1/x',
  );
  t.match(dead, {
    code: 1,
    stderr: /^holdfast-oracle: postgres-unavailable: no PostgreSQL: connect ECONNREFUSED[^\n]*\n$/,
  });
  const nonsense = await run('holdfast-oracle', '--postgres', 'planted');
  t.match(nonsense, { code: 2, stderr: /^holdfast-oracle: --postgres: expected a URL such as [^\n]*\n$/ });
  t.notMatch(dead.stderr + nonsense.stderr, /planted/);
});

/** Services with all they need to start; `at` is where they are to listen. */
const services: Record<'holdfast-shim' | 'holdfast-proxy' | 'holdfast-oracle', (at: string) => string[]> = {
  'holdfast-shim': (at) => ['--workload', 'w', '--proxy', nowhere, plain, '--listen', at],
  'holdfast-proxy': (at) => ['--database', nowhere, plain, '--control-listen', '127.0.0.1:0', '--listen', at],
  'holdfast-oracle': (at) => ['--listen', at],
};

t.test('services log JSON, name a port that is taken, and stop at once with 0 when asked', async (t) => {
  for (const [name, options] of Object.entries(services) as [keyof typeof services, (at: string) => string[]][]) {
    const first = start(t, name, ...options('127.0.0.1:0'));
    const at = `127.0.0.1:${await portOf(first)}`;
    const second = await run(name, ...options(at));
    t.equal(second.code, 1);
    t.match(
      second.stderr.split('\n').at(-2),
      new RegExp(`^${name}: address-in-use: cannot listen on ${at}: .*EADDRINUSE`),
    );
    const askedMs = performance.now();
    t.match(await first.stop(), { code: 0 });
    t.ok(performance.now() - askedMs < 1_000, `${name} stopped within a second`);
    t.match(logOf(first).at(-1), { name, msg: 'stopping', signal: 'SIGTERM' });
    t.notMatch(first.stderr, /"stack"/);
  }
});

t.test('an agent too', async (t) => {
  const home = directory(t);
  const at = '127.0.0.1:0';
  const cluster = join(home, 'cluster.yaml');
  const probe = start(t, 'holdfast-shim', ...services['holdfast-shim'](at));
  const taken = `127.0.0.1:${await portOf(probe)}`;
  writeFileSync(cluster, `nodes: { a: { agent: ${taken} } }\nproxy: { data: ${nowhere}, control: ${nowhere} }\n`);
  const words = ['agent', '--state-dir', join(home, 'state'), '--cluster', cluster, plain, '--node'];
  t.match(await run('holdfast', ...words, 'a'), {
    code: 1,
    stderr: /^holdfast agent: address-in-use: cannot listen on /,
  });
  t.match(await run('holdfast', ...words, 'b'), {
    code: 1,
    stderr: /^holdfast agent: unknown-node: there is no node b; .* a\n$/,
  });
  await probe.stop();
  const agent = start(t, 'holdfast', ...words, 'a');
  await agent.printed(/agent ready/);
  const askedMs = performance.now();
  t.match(await agent.stop(), { code: 0 });
  t.ok(performance.now() - askedMs < 1_000);
  const file = join(home, 'file');
  writeFileSync(file, '');
  const noDirectory = await run('holdfast', 'agent', '--state-dir', file, '--cluster', cluster, plain, '--node', 'a');
  t.match(noDirectory, { code: 2, stderr: /^holdfast agent: --state-dir: [^\n]* cannot be used: ENOTDIR[^\n]*\n$/ });
});

t.test('on a terminal logs are for people', async (t) => {
  const line = [process.execPath, commands['holdfast-shim'], ...services['holdfast-shim']('127.0.0.1:0')].join(' ');
  const terminal = new Program('script', { file: 'script', args: ['-qec', `timeout -s TERM 3 ${line}`, '/dev/null'] });
  const { stdout } = await terminal.ended;
  t.match(stdout, /\[\d\d:\d\d:\d\d\.\d+\].*INFO.*listening for drivers/);
  t.match(stdout, /WARN.*no link to the proxy/);
  t.match(stdout, /code: .*link-unreachable/);
  t.notMatch(stdout, /\{"level"/);
});

t.test('no password, secret or token is ever in a log or an error', async (t) => {
  const password = 'planted-Passw0rd';
  const secret = `planted-secret-${randomBytes(32).toString('hex')}`;
  const file = secretFile(t, secret);
  const debug = ['--log-level', 'trace'];
  const oracle = start(t, 'holdfast-oracle', '--listen', '127.0.0.1:0', '--user', `app/${password}`, ...debug);
  const database = `127.0.0.1:${await portOf(oracle)}`;
  const secured = ['--secret-file', file, ...debug];
  const listen = ['--listen', '127.0.0.1:0', '--control-listen', '127.0.0.1:0'];
  const proxy = start(t, 'holdfast-proxy', '--database', database, ...listen, ...secured);
  const link = ['--proxy', `127.0.0.1:${await portOf(proxy)}`, '--listen', '127.0.0.1:0', '--workload', 'w'];
  const shim = start(t, 'holdfast-shim', ...link, ...secured);
  const connectString = `127.0.0.1:${await portOf(shim)}/orders`;
  const login = { user: 'app', connectString };
  const connection = await oracledb.getConnection({ ...login, password });
  const error = await rejection(oracledb.getConnection({ ...login, password: `${password}!` }));
  const statement = await rejection(connection.execute(`SELECT '${password}' FROM no_such_table`));
  t.match(statement, { code: 'ORA-00942' });
  await connection.close();
  const home = directory(t);
  mkdirSync(join(home, 'x'));
  const wrong = await run('holdfast-proxy', '--database', nowhere, '--secret-file', file, '--tls-key', file);
  const printed = [oracle, proxy, shim].map(({ stdout, stderr }) => stdout + stderr).join('');
  t.match(printed, /"level":(10|20)/, 'the most talkative level was on');
  t.notMatch(`${printed}${error.message}${wrong.stderr}`, /planted/);
});

/** A process list must not show what `--secret-file` protects. */
t.test('a secret is never on a command line', async (t: Test) => {
  const { stdout } = await promisify(execFile)(process.execPath, [commands['holdfast-proxy'], '--help']);
  t.notMatch(stdout, /--(secret|password)[ =<]/);
});
