/** Sessions of the proxy on loopback listeners that the test plays. */
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { pino } from 'pino';
import type { Test } from 'tap';
import type { BackendError } from '../../../proxy/backend/errors.js';
import { type BackendLimits, defaultBackendLimits } from '../../../proxy/backend/limits.js';
import { BackendSession, type BackendSessionOptions } from '../../../proxy/backend/session.js';
import { encodeAccept, encodeConnect, PacketCollector } from '../../../proxy/tns/index.js';

const acceptFields = { version: 319, options: 0x0401, sduBytes: 8192, tduBytes: 65536, uuid: Buffer.alloc(16) };
export const accept = encodeAccept({ ...acceptFields, flags2: 1 });
export const acceptSeen = encodeAccept({ ...acceptFields, options: 1, flags2: 0 });
export const connect = Buffer.concat(
  encodeConnect(
    { version: 319, versionLowest: 300, options: 1, sduBytes: 8192, tduBytes: 65536, flags2: 0 },
    '(DESCRIPTION=(CONNECT_DATA=(SERVICE_NAME=orders)))',
  ),
);

/** A listener that answers each CONNECT with `answer`, and then leaves the socket to the test. */
export async function listener(t: Test, answer: Buffer | undefined): Promise<{ server: Server; port: number }> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    const collector = new PacketCollector('frontend', 65535);
    socket.on('error', () => {});
    socket.on('data', function answerConnect(chunk: Buffer) {
      collector.push(chunk);
      if (collector.next() === undefined || answer === undefined) return;
      socket.off('data', answerConnect);
      socket.pause();
      socket.write(answer);
      server.emit('accepted', socket);
    });
    t.teardown(() => socket.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  return { server, port: (server.address() as AddressInfo).port };
}

/** A session with all it tells, in order; `when` waits for a condition on it. */
export function open(t: Test, port: number, limits: Partial<BackendLimits> = {}) {
  const seen = {
    events: [] as string[],
    data: Buffer.alloc(0),
    consumed: 0,
    error: undefined as BackendError | undefined,
  };
  const waiting: { condition: () => boolean; done: () => void }[] = [];
  const note = (event?: string): void => {
    if (event !== undefined) seen.events.push(event);
    for (const wait of waiting) if (wait.condition()) wait.done();
  };
  const options: Omit<BackendSessionOptions, 'addresses'> = {
    limits: { ...defaultBackendLimits, ...limits },
    log: pino({ level: 'silent' }),
    now: () => 0,
    events: {
      data: (chunk) => {
        seen.data = Buffer.concat([seen.data, chunk]);
        note();
      },
      consumed: (total) => {
        if (total <= seen.consumed) t.fail('consumed must grow');
        seen.consumed = total;
        note();
      },
      end: () => note('end'),
      closed: (error) => {
        seen.error = error;
        note('closed');
      },
    },
  };
  const session = new BackendSession({ ...options, addresses: [{ host: '127.0.0.1', port }] });
  t.teardown(() => session.destroy());
  const when = (condition: () => boolean): Promise<void> =>
    condition() ? Promise.resolve() : new Promise((done) => waiting.push({ condition, done }));
  return { session, options, seen, when };
}

/** A session past its ACCEPT, and the database's end of it. */
export async function openAccepted(t: Test) {
  const { server, port } = await listener(t, accept);
  const opened = open(t, port);
  const accepted = once(server, 'accepted');
  opened.session.write(connect);
  const [peer] = (await accepted) as [Socket];
  await opened.when(() => opened.seen.data.length >= accept.length);
  return { ...opened, peer, port };
}

/** Bytes in which each place differs from its neighbours, to see loss, repetition and order. */
export function pattern(length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let at = 0; at < length; at++) bytes[at] = (at * 31 + (at >> 8) * 7) & 0xff;
  return bytes;
}

export async function receive(peer: Socket, length: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let held = 0;
  for await (const chunk of peer.iterator({ destroyOnReturn: false })) {
    chunks.push(chunk);
    held += chunk.length;
    if (held >= length) break;
  }
  return Buffer.concat(chunks);
}
