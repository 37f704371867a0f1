import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { Landing, readAnew, readBytes, readingInto } from '../../../shim/program/reading.js';

/** A server whose sockets read into the memory of a landing, and a client of it. */
async function served(t: Test) {
  const landing = new Landing();
  const server = createServer({ pauseOnConnect: true, allowHalfOpen: true }, (accepted) =>
    server.emit('served', readAnew(accepted, landing.next)),
  );
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const served = once(server, 'served');
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const [socket] = (await served) as [Socket];
  t.teardown(() => {
    client.destroy();
    socket.destroy();
    server.close();
  });
  return { landing, server, client, socket };
}

/** The next view of what was read. */
async function next(socket: Socket): Promise<Buffer> {
  const [view] = (await once(socket, 'data')) as [Buffer];
  return view;
}

t.test('the next read takes the place of what was read, unless somebody keeps it', async (t) => {
  const { landing, client, socket } = await served(t);
  client.write('first');
  const first = await next(socket);
  t.equal(first.toString(), 'first');
  client.write('other');
  const other = await next(socket);
  t.equal(first.toString(), 'other', 'the same memory');
  socket.once('data', landing.keep);
  client.write('third');
  const third = await next(socket);
  t.equal(other.toString(), 'third', 'it was told too late for that one');
  client.write('again');
  t.equal((await next(socket)).toString(), 'again');
  t.equal(third.toString(), 'third', 'what was kept stays as it is');
});

t.test('a socket that was accepted and reads anew ends, half by half, and closes; its server counts it', async (t) => {
  const { server, client, socket } = await served(t);
  t.equal(await connections(server), 1);
  t.equal(socket.remotePort, client.localPort);
  socket.on('data', () => undefined);
  client.end('last words');
  await once(socket, 'end');
  const [answered, isClosed] = [next(client), once(socket, 'close')];
  socket.end('answer');
  t.equal((await answered).toString(), 'answer');
  const closed = new Promise((resolve) => server.close(resolve));
  await Promise.all([isClosed, closed]);
  t.equal(await connections(server), 0);
});

t.test('a paused one reads nothing', async (t) => {
  const { client, socket } = await served(t);
  let readTotal = 0;
  socket.on('data', (view: Buffer) => {
    readTotal += view.length;
    socket.pause();
  });
  client.write(Buffer.alloc(4 * readBytes));
  await once(socket, 'data');
  await new Promise((resolve) => setImmediate(resolve));
  t.equal(socket.bytesRead, readTotal, 'what came is in the kernel');
  t.ok(readTotal <= readBytes);
  socket.resume();
  await once(socket, 'data');
  t.ok(readTotal > 0 && socket.bytesRead === readTotal);
});

t.test('a socket that dials may read so too', async (t) => {
  const { client, server } = await served(t);
  client.destroy();
  const memory = Buffer.alloc(readBytes);
  const served2 = once(server, 'served');
  const { port } = server.address() as AddressInfo;
  const socket: Socket = connect({ port, host: '127.0.0.1', ...readingInto(memory, () => socket) });
  t.teardown(() => socket.destroy());
  const [peer] = (await served2) as [Socket];
  t.teardown(() => peer.destroy());
  peer.write('hello');
  const view = await next(socket);
  t.equal(view.buffer, memory.buffer);
  t.equal(view.toString(), 'hello');
});

function connections(server: ReturnType<typeof createServer>): Promise<number> {
  return new Promise((resolve, reject) =>
    server.getConnections((error, count) => (error === null ? resolve(count) : reject(error))),
  );
}
