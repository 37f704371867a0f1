import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { foreignConnections, lookAgain, parseUnixSockets, treeFacts } from '../../../migrate/preflight/tree.js';
import { processState, waitUntil } from '../../../migrate/workload/process.js';

/** Starts a Node.js process that leads a session of its own, as a workload without root does. */
async function program(t: Test, script: string, ...args: string[]) {
  const directory = t.testdir();
  const ready = join(directory, 'ready');
  const code = `const fs = require('node:fs'), net = require('node:net'); const done = () => fs.writeFileSync(${JSON.stringify(ready)}, ''); ${script}; setInterval(() => {}, 1e6)`;
  const child = spawn(process.execPath, ['-e', code, ...args], { cwd: directory, detached: true, stdio: 'ignore' });
  t.teardown(async () => {
    child.kill('SIGKILL');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  });
  t.ok(await waitUntil(() => existsSync(ready), 30_000), 'it runs');
  const pid = child.pid ?? 0;
  const workload = { name: 'w', node: 'a', pid, startTicks: processState(pid)?.startTicks ?? '', isolated: false };
  return {
    directory,
    facts: () => treeFacts({ ...workload, mover: 'criu', command: [], startedAt: '' }, -1, (path) => path),
  };
}

t.test('memory, threads, and files with their sizes are seen; a deleted one is told apart', async (t) => {
  const { directory, facts } = await program(
    t,
    `fs.writeFileSync('log', 'twelve bytes'); fs.openSync('log', 'a'); fs.writeFileSync('gone', '1234'); fs.openSync('gone'); fs.unlinkSync('gone'); done()`,
  );
  const found = await facts();
  t.ok(found.memoryBytes > 2 ** 20 && found.memoryBytes < 2 ** 30, `${found.memoryBytes}`);
  t.ok(found.threads > 1);
  t.equal(found.processes, 1);
  t.same(
    found.files.find(({ path }) => path === join(directory, 'log')),
    { path: join(directory, 'log'), kind: 'file', bytes: 12, written: true },
  );
  t.match(
    found.files.find(({ path }) => path === process.execPath),
    { kind: 'file', written: false },
    'the program itself is mapped',
  );
  t.same(found.deleted, [{ path: join(directory, 'gone'), bytes: 4 }]);
  t.same([found.terminals, found.unsupported, found.traced, found.hasSharedMemory], [[], [], [], false]);
});

t.test('connections within the tree move, those to a process outside do not', async (t) => {
  const outside = createServer((socket) => socket.on('error', () => undefined));
  outside.listen(0, '127.0.0.1');
  await once(outside, 'listening');
  const accepted = once(outside, 'connection');
  const { port } = outside.address() as { port: number };
  const { facts } = await program(
    t,
    `const own = net.createServer(() => {}).listen(0, '127.0.0.1', () => net.connect(own.address().port, '127.0.0.1', () => net.connect(${port}, '127.0.0.1', done)))`,
  );
  const [socket] = await accepted;
  const found = await facts();
  t.equal(found.ports.length, 1);
  t.equal(found.foreignConnections.length, 1);
  t.match(found.foreignConnections[0], new RegExp(`to 127\\.0\\.0\\.1:${port}$`));
  socket.destroy();
  outside.close();
});

t.test('a Unix socket to a process outside is seen, or it is said that nobody could look', async (t) => {
  // Names of sockets have an end, and that of a test's own directory may be behind it.
  const home = mkdtempSync(join(tmpdir(), 'hf-'));
  t.teardown(() => rmSync(home, { recursive: true, force: true }));
  const path = join(home, 's');
  const outside = createServer((socket) => socket.on('error', () => undefined)).listen(path);
  await once(outside, 'listening');
  const accepted = once(outside, 'connection');
  const { facts } = await program(t, `net.connect(process.argv[1], done)`, path);
  const [socket] = await accepted;
  const hasSs = (process.env.PATH ?? '').split(':').some((each) => existsSync(join(each, 'ss')));
  t.equal((await facts()).foreignSockets?.length, hasSs ? 1 : undefined);
  socket.destroy();
  outside.close();
});

const socket = (local: number, remote: number, inode: string, listening = false) => ({
  local: { host: '127.0.0.1', port: local },
  remote: { host: '127.0.0.1', port: remote },
  listening,
  inode,
});

t.test('a connection that its listener has not accepted yet belongs to the listener', async (t) => {
  const table = [socket(1521, 0, '1', true), socket(40_000, 1521, '2'), socket(1521, 40_000, '0')];
  t.same(foreignConnections(table, new Set(['1', '2']), new Set(['1', '2'])), []);
});

t.test('whatever goes over the wire is foreign', async (t) => {
  const wire = { ...socket(40_000, 1521, '2'), remote: { host: '10.0.0.1', port: 1521 } };
  t.same(foreignConnections([wire], new Set(['2']), new Set(['2'])), ['127.0.0.1:40000 to 10.0.0.1:1521']);
  t.same(foreignConnections([wire], new Set(), new Set(['2'])), [], "the shim's own link is closed before the freeze");
});

t.test('what ss prints is read, with and without names', async (t) => {
  const text = `u_str ESTAB  0      0       * 4513712            * 4513713
u_str LISTEN 0      4096    /run/a b.sock 100    * 0
u_dgr UNCONN 0      0       /dev/log 55          * 0
u_str ESTAB  0      0       @/tmp/x 12           * 13  `;
  t.same(parseUnixSockets(text), [
    { name: 'without a name (u_str)', inode: '4513712', peer: '4513713' },
    { name: '/run/a b.sock (u_str)', inode: '100', peer: '0' },
    { name: '/dev/log (u_dgr)', inode: '55', peer: '0' },
    { name: '@/tmp/x (u_str)', inode: '12', peer: '13' },
  ]);
});

t.test('a file that is gone is missing', async (t) => {
  t.same(lookAgain(['/nonexistent/x']), [{ path: '/nonexistent/x', kind: 'missing', bytes: 0, written: false }]);
});
