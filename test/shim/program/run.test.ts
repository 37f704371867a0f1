import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import t, { type Test } from 'tap';

const program = new URL('./sample-program.js', import.meta.url).pathname;

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function start(t: Test, args: readonly string[], environment: Record<string, string> = {}): ChildProcess {
  const child = spawn(process.execPath, [program, ...args], { env: { PATH: process.env.PATH, ...environment } });
  t.teardown(() => child.kill('SIGKILL'));
  return child;
}

async function ended(child: ChildProcess): Promise<Ended> {
  let stdout = '';
  let stderr = '';
  child.stdout?.on('data', (data) => {
    stdout += data;
  });
  child.stderr?.on('data', (data) => {
    stderr += data;
  });
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stdout, stderr };
}

t.test('help teaches: options with defaults, how else they can be given, and examples', async (t) => {
  const { code, stdout } = await ended(start(t, ['serve', '--help']));
  t.equal(code, 0);
  t.match(stdout, /Options:\n {2}--listen <HOST:PORT>\s+where it listens \(default\s+127\.0\.0\.1:0\)/);
  t.match(stdout, /Common options:\n {2}--config <FILE>/);
  t.match(stdout, /--log-level is\s+HOLDFAST_LOG_LEVEL/);
  t.match(stdout, /Examples:\n {2}the usual way:\n {4}sample serve/);
});

t.test('help fits a terminal of 80 columns, whatever asks for it', async (t) => {
  const asked = [['--help'], ['help'], ['help', 'serve'], ['serve', '--help']];
  for (const words of asked) {
    const { code, stdout, stderr } = await ended(start(t, words));
    t.equal(code, 0);
    t.equal(stderr, '');
    t.match(stdout, /^Usage: sample/);
    t.strictSame(
      stdout.split('\n').filter((line) => line.length > 80),
      [],
    );
  }
});

t.test('all that a command prints is there when it has ended, however much it is', async (t) => {
  const { code, stdout } = await ended(start(t, ['tell']));
  t.equal(code, 3);
  t.equal(stdout.length, 10_000_001);
});

t.test('a line without a command is answered with the help, as wrong use', async (t) => {
  const { code, stdout, stderr } = await ended(start(t, []));
  t.equal(code, 2);
  t.equal(stdout, '');
  t.match(stderr, /^Usage: sample/);
});

t.test('a second word for a command does the same', async (t) => {
  const { stdout } = await ended(start(t, ['say', 'hello']));
  t.equal(stdout, '["hello"]\n');
  t.match((await ended(start(t, ['--help']))).stdout, /echo, say {2}Prints/);
});

t.test('a reader that goes away early does no harm', async (t) => {
  const script = '{ "$0" "$@"; echo "ended with $?" >&2; } | true';
  const { stderr } = await ended(spawn('sh', ['-c', script, process.execPath, program, '--help']));
  t.equal(stderr, 'ended with 0\n');
});

t.test('a service whose log nobody reads any more serves on', async (t) => {
  const child = start(t, ['serve']);
  child.stderr?.destroy();
  child.stdout?.once('data', () => child.kill('SIGTERM'));
  const { code, stdout } = await ended(child);
  t.equal(code, 0);
  t.equal(stdout, 'ready\nstop second\nstop first\n', 'the line about the signal had nowhere to go');
});

t.test('the version is printed', async (t) => {
  const { code, stdout } = await ended(start(t, ['--version']));
  t.equal(code, 0);
  t.match(stdout, /^\d+\.\d+\.\d+\n$/);
});

t.test('bad use is one line and exit code 2', async (t) => {
  const cases: readonly (readonly [readonly string[], RegExp])[] = [
    [
      ['serve', '--listen', 'nowhere'],
      /^sample serve: --listen: "nowhere" is not allowed, expected HOST:PORT, [^\n]*\n$/,
    ],
    [
      ['serve', '--lissen', 'x:1'],
      /^sample serve: unknown option '--lissen' \(Did you mean --listen\?\); see sample serve --help\n$/,
    ],
    [['dance'], /^sample: unknown command 'dance'; see sample --help\n$/],
    [['serve', '--config', '/nonexistent.yaml'], /^sample serve: \/nonexistent.yaml cannot be read: ENOENT[^\n]*\n$/],
    [['serve', 'extra'], /^sample serve: too many arguments[^\n]*\n$/],
  ];
  for (const [args, expected] of cases) {
    const { code, stderr } = await ended(start(t, args));
    t.equal(code, 2, args.join(' '));
    t.match(stderr, expected);
  }
});

t.test('SIGTERM runs the stop functions, last one first, and a service ends with 0', async (t) => {
  const child = start(t, ['serve']);
  child.stdout?.once('data', () => child.kill('SIGTERM'));
  const { code, stdout } = await ended(child);
  t.equal(code, 0);
  t.equal(stdout, 'ready\nstop second\nstop first\n');
});

t.test('SIGHUP does not end a service', async (t) => {
  const child = start(t, ['serve']);
  child.stdout?.once('data', () => child.kill('SIGHUP'));
  child.stderr?.on('data', (line) => {
    if (String(line).includes('SIGHUP')) child.kill('SIGTERM');
  });
  const { code, stdout } = await ended(child);
  t.equal(code, 0);
  t.equal(stdout, 'ready\nstop second\nstop first\n');
});

t.test('a command that is not a service ends with 128 and the number of the signal', async (t) => {
  const child = start(t, ['wait']);
  child.stdout?.once('data', () => child.kill('SIGINT'));
  const { code, stdout } = await ended(child);
  t.equal(code, 130);
  t.equal(stdout, 'waiting\nstopped\n');
});

t.test('a coded error is one line with its code and exit code 1', async (t) => {
  const { code, stderr } = await ended(start(t, ['fail', '--how', 'coded']));
  t.equal(code, 1);
  t.equal(stderr, 'sample fail: out-of-cheese: there is none left\n');
});

t.test('whoever asks for JSON gets errors as JSON too', async (t) => {
  const { code, stdout, stderr } = await ended(start(t, ['fail', '--json']));
  t.equal(code, 1);
  t.strictSame(JSON.parse(stdout), { error: { code: 'out-of-cheese', message: 'there is none left' } });
  t.equal(stderr, 'sample fail: out-of-cheese: there is none left\n');
  const bad = await ended(start(t, ['fail', '--how', 'badly'], { HOLDFAST_JSON: 'true' }));
  t.equal(bad.code, 2);
  const wrong = await ended(start(t, ['fail', '--how', 'badly', '--json']));
  t.match(JSON.parse(wrong.stdout), { error: { code: 'bad-option', message: /^--how: "badly" is not allowed/ } });
});

t.test('an error that nobody caught is one log line and exit code 1', async (t) => {
  const { code, stderr } = await ended(start(t, ['fail', '--how', 'lost']));
  t.equal(code, 1);
  t.equal(stderr.trim().split('\n').length, 1);
  t.match(JSON.parse(stderr), { level: 60, msg: 'unexpected error, exiting', err: { message: 'nobody caught this' } });
});

t.test('words after -- belong to the command, dashes and all', async (t) => {
  const { code, stdout } = await ended(start(t, ['echo', '--', 'ls', '--color', '-l']));
  t.equal(code, 0);
  t.equal(stdout, '["ls","--color","-l"]\n');
});

t.test("options may stand behind words, but for a command line: there they are that command's", async (t) => {
  const words = await ended(start(t, ['echo', 'one', 'two', '--log-level', 'error']));
  t.equal(words.stdout, '["one","two"]\n');
  const line = await ended(start(t, ['wrap', '--log-level', 'error', 'ls', '--color', '-l']));
  t.equal(line.stdout, '["ls","--color","-l"]\n');
});
