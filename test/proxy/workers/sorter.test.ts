import { once } from 'node:events';
import net, { type Socket } from 'node:net';
import tls from 'node:tls';
import { pino } from 'pino';
import t, { type Test } from 'tap';
import { slotOf } from '../../../proxy/workers/slot.js';
import { Sorter } from '../../../proxy/workers/sorter.js';
import { decodeRejected, type Epoch, encodeResume, frameTypes } from '../../../shim/link/index.js';
import { clientTls, type Security } from '../../../shim/program/security.js';
import { linkServerName } from '../../../shim/program/server-name.js';
import { Gate, TestShim, until } from '../gate.js';
import { HandClock } from '../inject/hand-clock.js';

const of = 2;
const nameIn = (slot: number): string => ['a', 'b', 'c', 'd', 'e', 'f'].find((name) => slotOf(name, of) === slot) ?? '';
const [own, foreign] = [nameIn(0), nameIn(1)];
const slot = { index: 0, of, meeting: '' };

/** A server behind a sorter: what it was given, and what went to the other worker. */
async function stage(t: Test, waitingMax = 10) {
  const clock = new HandClock();
  const accepted: string[] = [];
  const passed: { to: number; bytes: Buffer }[] = [];
  const server = net.createServer((socket) => socket.on('data', (bytes) => accepted.push(bytes.toString('latin1'))));
  const sorter = new Sorter(server, {
    slot,
    isTls: false,
    waitingMax,
    waitMs: 5_000,
    pass: (to, bytes, _handle, gone) => {
      passed.push({ to, bytes });
      gone();
    },
    log: pino({ level: 'silent' }),
    clock,
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const sockets: Socket[] = [];
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    sorter.close();
    server.close();
  });
  const dial = async (): Promise<Socket> => {
    const socket = net.connect(port, '127.0.0.1').setNoDelay(true);
    sockets.push(socket);
    socket.on('error', () => undefined);
    await once(socket, 'connect');
    return socket;
  };
  return { clock, accepted, passed, dial, sorter };
}

function resume(workload: string): Buffer {
  const token = Buffer.alloc(32);
  const first = { version: 1, workload, instance: 'i', epoch: 0 as Epoch, token, attempt: 1 };
  return encodeResume({ ...first, lastStream: 0, windowBytes: 65_536, sentTotal: 0, receivedTotal: 0, streams: [] });
}

t.test('an own link goes on with every byte that it has said, and those that follow', async (t) => {
  const { accepted, passed, dial } = await stage(t);
  const socket = await dial();
  const bytes = resume(own);
  socket.write(bytes.subarray(0, 30));
  await new Promise(setImmediate);
  socket.write(bytes.subarray(30));
  socket.write('more');
  const expected = `${bytes.toString('latin1')}more`;
  await until(() => accepted.join('') === expected);
  t.strictSame(passed, []);
});

t.test("another worker's link is given away with what was read of it", async (t) => {
  const { accepted, passed, dial } = await stage(t);
  const socket = await dial();
  const bytes = resume(foreign);
  for (const byte of bytes) {
    socket.write(Buffer.of(byte));
    await new Promise(setImmediate);
  }
  await until(() => passed.length === 1);
  t.match(passed, [{ to: 1 }]);
  t.ok(passed[0]?.bytes.equals(bytes.subarray(0, passed[0].bytes.length)));
  t.strictSame(accepted, []);
});

t.test('who does not say whose he is stays here, where he is refused', async (t) => {
  const { accepted, dial } = await stage(t);
  (await dial()).write('GET / HTTP/1.1');
  await until(() => accepted.length === 1);
  t.strictSame(accepted, ['GET / HTTP/1.1']);
});

t.test('who says nothing is closed after a while, and beyond so many at once', async (t) => {
  const { clock, dial } = await stage(t, 2);
  const silent = [await dial(), await dial()];
  silent[0]?.write(resume(own).subarray(0, 10));
  const third = await dial();
  await once(third, 'close');
  t.notOk(
    silent.some(({ closed }) => closed),
    'those before wait',
  );
  const gone = silent.map((socket) => once(socket, 'close'));
  clock.pass(4_999);
  t.notOk(silent.some(({ closed }) => closed));
  clock.pass(1);
  await Promise.all(gone);
  const next = await dial();
  next.end();
  await once(next, 'close');
  t.pass('there is room again, and who hangs up is forgotten');
});

t.test('a server name does not bind: a workload of another worker is refused behind the handshake', async (t) => {
  const security: Security = { kind: 'secret', secret: Buffer.from('s'.repeat(32)) };
  const passed: number[] = [];
  const pass = (to: number) => void passed.push(to);
  const proxy = await new Gate({ security, worker: { slot, pass } }).start();
  t.teardown(() => proxy.stop());
  for (const servername of [linkServerName(own), 'proxy.example']) {
    const secured = clientTls(security, 'link', { role: 'proxy' });
    const socket = tls.connect({ ...secured, host: '127.0.0.1', port: proxy.port, servername });
    socket.write(resume(foreign));
    const [answer] = (await once(socket, 'data')) as [Buffer];
    t.equal(answer[0], frameTypes.rejected);
    t.match(decodeRejected(answer.subarray(24)), { verdict: 'try-later', reason: /wrong worker/ });
    await once(socket, 'close');
  }
  t.equal(proxy.registry.workloads.length, 0);
  const app = new TestShim(proxy, { workload: own, security });
  t.teardown(() => app.stop());
  await (await app.start()).dialer.attach();
  t.equal(proxy.registry.workloads.length, 1, 'an own workload binds');
  t.strictSame(passed, []);
});
