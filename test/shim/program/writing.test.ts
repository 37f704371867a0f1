import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import t, { type Test } from 'tap';
import { writeNow } from '../../../shim/program/writing.js';

/** Two ends of a connection; the other one reads nothing before it is asked to. */
async function connected(t: Test): Promise<{ socket: Socket; other: Socket }> {
  const server = createServer({ pauseOnConnect: true });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const accepted = once(server, 'connection');
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  await once(socket, 'connect');
  const [other] = (await accepted) as [Socket];
  t.teardown(() => {
    socket.destroy();
    other.destroy();
    server.close();
  });
  return { socket, other };
}

async function readAll(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

t.test('the kernel has the bytes at once, before what is written after them', async (t) => {
  const { socket, other } = await connected(t);
  t.equal(writeNow(socket, Buffer.from('one ')), 4);
  t.equal(socket.writableLength, 0);
  t.equal(socket.bytesWritten, 0, 'of which the socket knows nothing');
  socket.write('two ');
  t.equal(writeNow(socket, Buffer.from('three')), 5, 'the kernel has the other ones too');
  socket.end();
  t.equal((await readAll(other)).toString(), 'one two three');
});

t.test('nothing overtakes what waits in the socket', async (t) => {
  const { socket, other } = await connected(t);
  socket.cork();
  t.equal(writeNow(socket, Buffer.from('early')), 0, 'something may be gathered for one write');
  socket.write('first ');
  socket.uncork();
  const filling = Buffer.alloc(64 * 1024 * 1024, 'f');
  socket.write(filling);
  t.ok(socket.writableLength > 0);
  t.equal(writeNow(socket, Buffer.from('early')), 0);
  socket.end('last');
  t.equal((await readAll(other)).length, filling.length + 'first last'.length);
});

t.test('of what the kernel has no room for the rest is left', async (t) => {
  const { socket, other } = await connected(t);
  const bytes = Buffer.alloc(64 * 1024 * 1024, 'abcdefg');
  const taken = writeNow(socket, bytes);
  t.ok(taken > 0 && taken < bytes.length, `${taken} taken`);
  t.equal(writeNow(socket, bytes.subarray(taken, taken + 1)), 0, 'full');
  socket.end(bytes.subarray(taken));
  t.ok((await readAll(other)).equals(bytes));
});

t.test('a TLS connection takes none: its descriptor would send them as they are', async (t) => {
  const { socket, other } = await connected(t);
  const secured = new TLSSocket(socket);
  secured.on('error', () => undefined);
  t.ok(secured.writable);
  t.equal(writeNow(secured, Buffer.from('secret')), 0);
  secured.destroy();
  t.notMatch((await readAll(other)).toString('latin1'), /secret/);
});

t.test('one that is over takes none, and what is wrong with one that broke is told by `write`', async (t) => {
  const [ended, broken] = [await connected(t), await connected(t)];
  ended.socket.end();
  t.equal(writeNow(ended.socket, Buffer.from('late')), 0);
  ended.socket.destroy();
  t.equal(writeNow(ended.socket, Buffer.from('late')), 0);

  const closed = new Promise((resolve) => broken.socket.once('close', resolve));
  const errors: string[] = [];
  broken.socket.on('error', ({ code }: NodeJS.ErrnoException) => errors.push(code ?? ''));
  broken.other.resetAndDestroy();
  await once(broken.other, 'close');
  t.equal(writeNow(broken.socket, Buffer.from('late')), 0);
  broken.socket.write('late');
  await closed;
  t.equal(errors.length, 1);
  t.match(errors[0], /^(EPIPE|ECONNRESET)$/);
});
