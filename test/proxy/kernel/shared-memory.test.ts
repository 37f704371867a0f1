import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { sharedMemory } from '../../../proxy/kernel/shared-memory.js';

const directory = mkdtempSync(join(tmpdir(), 'hf-memory-'));
t.teardown(() => rmSync(directory, { recursive: true }));

t.test('what is written into it is in its file at once', async (t) => {
  const path = join(directory, 'written');
  const memory = sharedMemory(path, 8_192);
  memory.write('hello', 4_000);
  t.equal(readFileSync(path).toString('utf8', 4_000, 4_005), 'hello');
  t.equal(readFileSync(path).length, 8_192);
  t.equal(sharedMemory(path, 8_192).toString('utf8', 4_000, 4_005), 'hello', 'and whoever maps it finds it');
});

t.test('what a socket has read into it is there after the process was killed', async (t) => {
  const path = join(directory, 'read');
  const server = createServer((socket) => socket.write('bytes of the database')).listen(0, '127.0.0.1');
  t.teardown(() => server.close());
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : 0;
  const memory = new URL('../../../proxy/kernel/shared-memory.js', import.meta.url).href;
  const script = `
    import { connect } from 'node:net';
    import { sharedMemory } from '${memory}';
    const buffer = sharedMemory('${path}', 65536);
    connect({ port: ${port}, host: '127.0.0.1', onread: { buffer, callback: () => process.kill(process.pid, 'SIGKILL') } });`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', script]);
  const [, signal] = await once(child, 'exit');
  t.equal(signal, 'SIGKILL');
  t.equal(readFileSync(path).toString('utf8', 0, 21), 'bytes of the database');
});

t.test('a place where no file can be is an error', async (t) => {
  t.throws(() => sharedMemory('/no/such/directory/memory', 4_096), { code: 'ENOENT' });
});
