import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { Keeper } from '../../../proxy/keeper/keeper.js';
import type { LifecycleState } from '../../../proxy/keeper/lifecycle.js';
import type { KeeperLimits } from '../../../proxy/keeper/limits.js';

const program = new URL('./worker.js', import.meta.url).pathname;

/** A keeper with real workers, and the server that they dial. */
async function stage(t: Test, limits: Partial<KeeperLimits> = {}) {
  const directory = mkdtempSync(join(tmpdir(), 'hf-keeper-'));
  const moodFile = join(directory, 'mood');
  const setMood = (mood: string) => writeFileSync(moodFile, mood);
  setMood('');
  const connections: Socket[] = [];
  let heard = '';
  const server = createServer((socket) => {
    connections.push(socket);
    socket.on('data', (bytes) => {
      heard += bytes;
      server.emit('heard');
    });
    socket.on('error', () => undefined);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : undefined;
  const told: string[] = [];
  let exited: (code: number) => void;
  const exit = new Promise<number>((resolve) => {
    exited = resolve;
  });
  const keeper = new Keeper({
    program: () => program,
    args: [String(port), moodFile],
    limits: { backOffMs: 10, ...limits },
    tell: (level, { alarm }) => void told.push(`${level} ${alarm}`),
    exit: (code) => exited(code),
  });
  t.teardown(async () => {
    keeper.ask({ kind: 'stop' });
    await exit;
    for (const socket of connections) socket.destroy();
    server.close();
    rmSync(directory, { recursive: true });
  });
  keeper.begin();
  return {
    keeper,
    connections,
    told,
    exit,
    setMood,
    async becomes(kind: LifecycleState['kind']): Promise<void> {
      while (keeper.state.kind !== kind) await new Promise(setImmediate);
    },
    /** Waits until the server has been told something that matches. */
    async hears(pattern: RegExp): Promise<RegExpExecArray> {
      for (;;) {
        const found = pattern.exec(heard);
        if (found !== null) {
          heard = heard.slice(found.index + found[0].length);
          return found;
        }
        await once(server, 'heard');
      }
    },
  };
}

async function who(port: number): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  const [bytes] = await once(socket, 'data');
  socket.destroy();
  return String(bytes).trim();
}

t.test('a worker is killed again and again: its connection and its port go to the next one', async (t) => {
  const { keeper, connections, told, hears } = await stage(t);
  const [, first = ''] = await hears(/(\d+) in order 0\n/);
  let pid = Number(first);
  keeper.signal('SIGUSR1');
  const [, port = ''] = await hears(/"port":(\d+)/);
  for (let kill = 0; kill < 5; kill++) {
    t.equal(await who(Number(port)), String(pid));
    process.kill(pid, 'SIGKILL');
    const [, next = ''] = await hears(/(\d+) after a crash 2\n/);
    t.not(next, String(pid));
    pid = Number(next);
  }
  t.equal(connections.length, 1, 'all of them spoke over one connection');
  t.strictSame(new Set(told), new Set(['error crashed']));
});

t.test('an upgrade hands everything over in order; one that cannot start changes nothing', async (t) => {
  const { keeper, connections, told, hears, setMood, becomes } = await stage(t);
  await hears(/in order 0\n/);
  await becomes('serving');
  keeper.ask({ kind: 'upgrade', program });
  await hears(/in order 2\n/);
  await becomes('serving');
  setMood('unready');
  keeper.ask({ kind: 'upgrade', program });
  t.equal(keeper.state.kind, 'upgrading');
  await becomes('serving');
  t.equal(connections.length, 1);
  t.strictSame(told, ['info upgraded', 'error upgrade-failed']);
});

t.test('a worker that hangs is killed', async (t) => {
  // A worker says something every 50 ms: one that is healthy must not seem to hang because the machine is busy.
  const { keeper, told, hears } = await stage(t, { silenceMs: 2_500 });
  await hears(/in order 0\n/);
  keeper.signal('SIGUSR2');
  await hears(/after a crash 2\n/);
  t.strictSame(told, ['error hangs', 'error crashed']);
});

t.test('a worker that has no time for beats, because sockets are before them, does not hang', async (t) => {
  const { keeper, told, hears, setMood } = await stage(t, { silenceMs: 2_500 });
  await hears(/in order 0\n/);
  setMood('storm');
  keeper.ask({ kind: 'upgrade', program });
  await hears(/70 keeps\n/);
  t.strictSame(told, ['info upgraded']);
});

t.test('a keeper that stood still itself does not take its worker for one that hangs', async (t) => {
  const { told, hears, becomes } = await stage(t, { silenceMs: 2_500 });
  await hears(/in order 0\n/);
  await becomes('serving');
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 3_000);
  // What was due has been done by then.
  for (let turn = 0; turn < 10; turn++) await new Promise(setImmediate);
  t.strictSame(told, []);
});

t.test(
  'workers that die again and again: the connection is held, and an operator can have it tried again',
  async (t) => {
    const { keeper, connections, told, hears, setMood, becomes } = await stage(t, { crashesMax: 3 });
    await hears(/in order 0\n/);
    setMood('crash');
    keeper.signal('SIGKILL');
    await becomes('holding');
    t.equal(told.at(-1), 'fatal crash-loop');
    t.equal(keeper.sockets.size, 2);
    setMood('');
    keeper.ask({ kind: 'upgrade', program });
    await hears(/after a crash 2\n/);
    t.equal(connections.length, 1);
  },
);
