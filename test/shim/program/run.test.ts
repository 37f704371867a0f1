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

t.test('help teaches: options with defaults and environment names, and examples', async (t) => {
  const { code, stdout } = await ended(start(t, ['serve', '--help']));
  t.equal(code, 0);
  t.match(stdout, /--listen <HOST:PORT>\s+where it listens\s+\(default 127\.0\.0\.1:0;\s+HOLDFAST_LISTEN\)/);
  t.match(stdout, /Examples:\n {2}the usual way:\n {4}sample serve/);
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
    [['serve', '--lissen', 'x:1'], /^sample: unknown option '--lissen' \(Did you mean --listen\?\)\n$/],
    [['dance'], /^sample: unknown command 'dance'[^\n]*\n$/],
    [['serve', '--config', '/nonexistent.yaml'], /^sample serve: \/nonexistent.yaml cannot be read: ENOENT[^\n]*\n$/],
    [['serve', 'extra'], /^sample: too many arguments[^\n]*\n$/],
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
