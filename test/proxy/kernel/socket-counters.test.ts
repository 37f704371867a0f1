import { once } from 'node:events';
import net, { type AddressInfo, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { handleOf } from '../../../proxy/kernel/handle.js';
import { type SocketCounters, socketCounters } from '../../../proxy/kernel/socket-counters.js';

/** Two ends of a loopback connection. The dialed end reads nothing before it is told to. */
async function pair(t: Test): Promise<{ dialed: Socket; accepted: Socket; counters(): SocketCounters | undefined }> {
  const server = net.createServer({ pauseOnConnect: true, allowHalfOpen: true });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const dialed = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  dialed.pause();
  const accepting = once(server, 'connection');
  await once(dialed, 'connect');
  const [accepted] = await accepting;
  t.teardown(() => {
    for (const socket of [dialed, accepted]) socket.destroy();
    server.close();
  });
  const fd = handleOf(dialed)?.fd ?? -1;
  return { dialed, accepted, counters: () => socketCounters(fd) };
}

const waitMsMax = 30_000;

/** Looks until it is so: acknowledgements take the kernel a moment, of its own time. */
async function becomes(isSo: () => boolean): Promise<void> {
  const untilMs = performance.now() + waitMsMax;
  while (!isSo() && performance.now() < untilMs) await new Promise(setImmediate);
}

t.test('bytes count as written once the kernel has them, also those the peer does not take', async (t) => {
  const { dialed, counters } = await pair(t);
  t.match(counters(), { writtenBytes: 0, readBytes: 0, peerEnded: false, ended: false });
  dialed.write(Buffer.alloc(1_000));
  t.match(counters(), { writtenBytes: 1_000 });
  // More than both kernels hold: the rest waits in this process, and would die with it.
  const much = 32 * 1024 * 1024;
  dialed.write(Buffer.alloc(much));
  const { writtenBytes = 0 } = counters() ?? {};
  t.ok(writtenBytes > 100_000 && writtenBytes < much, `${writtenBytes} of ${much} bytes`);
});

t.test('bytes count as read once they have left the kernel', async (t) => {
  const { dialed, accepted, counters } = await pair(t);
  const seen: Buffer[] = [];
  dialed.on('data', (chunk: Buffer) => {
    seen.push(chunk);
    t.equal(counters()?.readBytes, Buffer.concat(seen).length);
    if (Buffer.concat(seen).length === 700) dialed.emit('all');
  });
  accepted.write(Buffer.alloc(500));
  accepted.write(Buffer.alloc(200));
  dialed.resume();
  await once(dialed, 'all');
  t.match(counters(), { readBytes: 700, writtenBytes: 0 });
});

t.test('the ends of both directions do not count as bytes', async (t) => {
  const { dialed, accepted, counters } = await pair(t);
  accepted.end(Buffer.alloc(300));
  dialed.resume();
  await once(dialed, 'end');
  t.match(counters(), { readBytes: 300, peerEnded: true, ended: false });
  const other = await pair(t);
  other.dialed.end(Buffer.alloc(40));
  await becomes(() => other.counters()?.ended === true);
  t.match(other.counters(), { writtenBytes: 40, readBytes: 0, peerEnded: false, ended: true });
});

t.test('a connection that was reset has no counters, nor has what is no socket', async (t) => {
  const { accepted, counters } = await pair(t);
  accepted.resetAndDestroy();
  await becomes(() => counters() === undefined);
  t.equal(counters(), undefined);
  t.equal(socketCounters(0), undefined);
});
