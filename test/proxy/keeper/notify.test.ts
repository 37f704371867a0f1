import { once } from 'node:events';
import { closeSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { inheritedDescriptors, ServiceManager } from '../../../proxy/keeper/notify.js';
import { handleOf, handleOn, socketOn } from '../../../proxy/kernel/handle.js';
import { NotifySocket } from './notify-socket.js';

function managed(t: Test, more: Readonly<Record<string, string>> = {}, path?: string) {
  const socket = new NotifySocket(path);
  t.teardown(() => socket.close());
  const failed: number[] = [];
  const manager = ServiceManager.of({ NOTIFY_SOCKET: socket.path, ...more }, 7, (errno) => failed.push(errno));
  if (manager === undefined) throw new Error('nobody wants to be told');
  return { socket, manager, failed };
}

/** Both ends of a connection. */
async function connected(t: Test): Promise<readonly [Socket, Socket]> {
  const server = createServer().listen(0, '127.0.0.1');
  t.teardown(() => server.close());
  await once(server, 'listening');
  const address = server.address();
  const near = connect(typeof address === 'object' ? (address?.port ?? 0) : 0, '127.0.0.1');
  const [far]: Socket[] = await once(server, 'connection');
  if (far === undefined) throw new Error('nobody came');
  if (near.connecting) await once(near, 'connect');
  return [near, far];
}

t.test('a manager is told what the keeper does, one datagram each', async (t) => {
  const { socket, manager, failed } = managed(t);
  manager.ready('12 sessions');
  manager.alive();
  manager.status('two\nlines');
  manager.stopping();
  t.same((await socket.next()).text, 'READY=1\nSTATUS=12 sessions');
  t.same((await socket.next()).text, 'WATCHDOG=1');
  t.same((await socket.next()).text, 'STATUS=two lines');
  t.same((await socket.next()).text, 'STOPPING=1');
  t.same(failed, []);
});

t.test('the name of the socket may be an abstract one', async (t) => {
  const { socket, manager } = managed(t, {}, `@holdfast-test-${process.pid}`);
  manager.alive();
  t.same((await socket.next()).text, 'WATCHDOG=1');
});

t.test('who is not told where to, tells nobody', async (t) => {
  for (const path of [undefined, '', 'relative/path', `/${'long'.repeat(40)}`]) {
    t.equal(
      ServiceManager.of({ NOTIFY_SOCKET: path }, 7, () => undefined),
      undefined,
      String(path),
    );
  }
});

t.test('a manager that is not there is an error that ends nothing', async (t) => {
  const failed: number[] = [];
  const manager = ServiceManager.of({ NOTIFY_SOCKET: '/nobody/listens/here' }, 7, (errno) => failed.push(errno));
  manager?.alive();
  t.equal(failed.length, 1);
});

t.test('the watchdog is for the process it names', async (t) => {
  const { manager } = managed(t, { WATCHDOG_USEC: '3000000' });
  t.equal(manager.watchdogMs, 3_000);
  t.equal(managed(t, { WATCHDOG_USEC: '3000000', WATCHDOG_PID: '7' }).manager.watchdogMs, 3_000);
  t.equal(managed(t, { WATCHDOG_USEC: '3000000', WATCHDOG_PID: '8' }).manager.watchdogMs, undefined);
  t.equal(managed(t).manager.watchdogMs, undefined);
});

t.test('a connection that the manager keeps lives on when the process has closed its own', async (t) => {
  const { socket, manager } = managed(t);
  const [near, far] = await connected(t);
  manager.keep('session-5', handleOf(near)?.fd ?? -1);
  const { text, fd } = await socket.next();
  t.equal(text, 'FDSTORE=1\nFDNAME=session-5');
  near.destroy();
  const again = socketOn(handleOn(fd ?? -1));
  t.teardown(() => again.destroy());
  again.resume();
  again.end('still here');
  const bytes: string[] = [];
  for await (const chunk of far) bytes.push(String(chunk));
  t.equal(bytes.join(''), 'still here');
  manager.forget('session-5');
  t.equal((await socket.next()).text, 'FDSTOREREMOVE=1\nFDNAME=session-5');
});

t.test('a manager that does not keep up hears all of it later, in order', async (t) => {
  const { socket, manager, failed } = managed(t);
  const file = 0;
  // More than any queue of datagrams takes (net.unix.max_dgram_qlen).
  const count = 700;
  for (let index = 0; index < count; index += 1) manager.keep(`s${index}`, file);
  manager.forget(`s${count - 1}`);
  manager.stopping();
  const names: string[] = [];
  for (let next = await socket.next(); next.text !== 'STOPPING=1'; next = await socket.next()) {
    names.push(next.text);
    if (next.fd !== undefined) closeSync(next.fd);
  }
  const wanted = Array.from({ length: count - 1 }, (_, index) => `FDSTORE=1\nFDNAME=s${index}`);
  t.same(names, wanted, 'what was forgotten before it was said is never said');
  t.same(failed, []);
});

t.test('a keeper finds what was kept for it, and not for another', async (t) => {
  const environment = { LISTEN_PID: '7', LISTEN_FDS: '2', LISTEN_FDNAMES: 'listener:session-5' };
  t.same(
    [...inheritedDescriptors(environment, 7)],
    [
      ['listener', 3],
      ['session-5', 4],
    ],
  );
  t.same([...inheritedDescriptors(environment, 8)], []);
  t.same([...inheritedDescriptors({}, 7)], []);
});
