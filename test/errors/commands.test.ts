import { randomBytes } from 'node:crypto';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import oracledb from 'oracledb';
import t from 'tap';
import { Program } from '../../fixtures/lab/program.js';
import { type CommandName, commands, directory, logOf, portOf, rejection, secretFile, start } from './parts.js';

/** Each command as somebody meets it on a command line. */

const plain = '--insecure-plaintext';
const nowhere = '127.0.0.1:1';
const run = (name: CommandName, ...words: readonly string[]) =>
  new Program(name, { file: process.execPath, args: [commands[name], ...words] }).ended;
/** The same of one text; no word in it has a space. */
const runLine = (line: string) => {
  const [name, ...words] = line.split(' ');
  return run(name as CommandName, ...words);
};

t.test('each command and sub-command has a help of its own, and a version', async (t) => {
  const verbs = [
    'agent',
    'run',
    'move',
    'sessions',
    'workloads',
    'nodes',
    'preflight',
    'holds',
    'hold',
    'await',
    'stop',
  ].map((verb) => `holdfast ${verb}`);
  for (const line of [...Object.keys(commands), ...verbs, 'holdfast ps']) {
    const help = await runLine(`${line} --help`);
    t.match(help, { code: 0, stderr: '' });
    t.ok(help.stdout.startsWith(`Usage: ${line.replace(/ps|workloads/, 'workloads|ps')} `), line);
    t.match(help.stdout, line === 'holdfast' ? /\nFirst steps:\n/ : /\nExamples:\n {2}\S/);
    const isExample = (text: string) => text.startsWith('    ');
    t.notOk(help.stdout.split('\n').some((text) => text.length > 80 && !isExample(text)));
  }
  t.match(await run('holdfast', '--version'), { code: 0, stdout: /^\d+\.\d+\.\d+\n$/ });
});

t.test('wrong use is one line that says what is wrong, and exit code 2', async (t) => {
  const home = directory(t);
  const file = (name: string, content: string, mode = 0o600) => {
    const path = join(home, name);
    writeFileSync(path, content);
    chmodSync(path, mode);
    return path;
  };
  const short = file('short', 'too short');
  const open = file('open', randomBytes(32).toString('base64'), 0o644);
  const cluster = file('cluster', 'nodes: { a: { agent: somewhere } }\nproxy: { data: x:1, control: x:2 }\n');
  const shim = 'holdfast-shim --workload w --proxy';
  const cases: [string, RegExp][] = [
    [
      'holdfast-proxy --databse x:1',
      /unknown option '--databse' \(Did you mean --database\?\); see holdfast-proxy --h/,
    ],
    ['holdfast mvoe', /unknown command 'mvoe' \(Did you mean move\?\); see holdfast --help/],
    ['holdfast move', /missing required argument 'workload'; see holdfast move --help/],
    ['holdfast move orders', /--to is missing/],
    [`holdfast hold keep orders ${plain} --cluster ${cluster}`, /"keep" is not allowed, expected one of extend, rel/],
    [`holdfast-proxy --database x:1 --hold-rules [{"idle":"5m"}]`, /--hold-rules: .* expected service or user: what/],
    [
      `holdfast-proxy --database x:1 --hold-idle soon`,
      /--hold-idle: "soon" is not allowed, expected a duration such as/,
    ],
    [`${shim} ${nowhere}`, /sockets are not protected: choose one of/],
    [`${shim} ${nowhere} ${plain} --secret-file ${open}`, /protected in more than one way/],
    [`${shim} ${nowhere} --secret-file ${open}`, /open can be read by everybody: chmod 600/],
    [`${shim} ${nowhere} --secret-file ${short}`, /short is shorter than 32 characters/],
    [`holdfast sessions ${plain} --cluster ${home}/missing`, /missing cannot be read: ENOENT/],
    [`holdfast sessions ${plain} --cluster ${cluster}`, /cluster: nodes\.a\.agent: expected HOST:PORT/],
    [`holdfast nodes ${plain} --cluster ${file('empty', 'proxy: {}\n')}`, /empty: nodes: is missing/],
    [
      `holdfast-proxy --config ${file('broken', 'database: [x\n')}`,
      /broken cannot be read: .* at line 2, column \d+\n$/,
    ],
    [
      `holdfast-proxy --config ${file('typo', 'databse: x:1\n')}`,
      /databse \(in .*\): no such option, known are database/,
    ],
    [`holdfast-oracle --config ${home}`, /cannot be read: EISDIR/],
    ['holdfast-oracle --user secretive', /--user: entry 1: expected NAME\/PASSWORD/],
  ];
  for (const [line, expected] of cases) {
    const { code, stdout, stderr } = await runLine(line);
    t.equal(code, 2, line);
    t.equal(stdout, '');
    t.match(stderr, expected);
    t.match(stderr, /^holdfast[a-z -]*: [^\n]+\n$/, 'one line');
    t.notMatch(stderr, /secretive|too short/, 'no secret');
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

/** Less than anything that a service may wait for when it stops; enough for a machine that has other work. */
const stopMsMax = 10_000;

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
    t.ok(performance.now() - askedMs < stopMsMax, `${name} has waited for nothing`);
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
  t.ok(performance.now() - askedMs < stopMsMax);
  const file = join(home, 'file');
  writeFileSync(file, '');
  const noDirectory = await run('holdfast', 'agent', '--state-dir', file, '--cluster', cluster, plain, '--node', 'a');
  t.match(noDirectory, { code: 2, stderr: /^holdfast agent: --state-dir: [^\n]* cannot be used: ENOTDIR[^\n]*\n$/ });
});

t.test('on a terminal logs are for people', async (t) => {
  const line = [process.execPath, commands['holdfast-shim'], ...services['holdfast-shim']('127.0.0.1:0')].join(' ');
  const terminal = new Program('script', {
    file: 'script',
    args: ['-qec', `echo "pid $$"; exec ${line}`, '/dev/null'],
  });
  const [, pid] = await terminal.printed(/pid (\d+)/);
  await terminal.printed(/link-unreachable/);
  process.kill(Number(pid));
  const { stdout } = await terminal.ended;
  t.match(stdout, /\[\d\d:\d\d:\d\d\.\d+\].*INFO.*listening for drivers/);
  t.match(stdout, /WARN.*no link to the proxy/);
  // With a colour or without, as the environment has it.
  t.match(stdout, /\bcode\b.*: .*link-unreachable/);
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
  const wrong = await run('holdfast-proxy', '--database', nowhere, '--secret-file', file, '--tls-key', file);
  const printed = [oracle, proxy, shim].map(({ stdout, stderr }) => stdout + stderr).join('');
  t.match(printed, /"level":(10|20)/, 'the most talkative level was on');
  t.notMatch(`${printed}${error.message}${wrong.stderr}`, /planted/);
});
