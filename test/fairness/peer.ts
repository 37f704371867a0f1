/**
 * The two ends of a conversation that only measures the way between them. They speak as much Oracle Net as a proxy must see: CONNECT and
 * ACCEPT, then DATA packets with nothing in them that means anything.
 *
 *     node peer.js database PORT                       echoes; sends or takes many bytes when asked
 *     node peer.js busy HOST:PORT down|up BYTES        moves bytes through one connection until SIGTERM, says when it was so many
 *     node peer.js quiet HOST:PORT COUNT               round trips of a small packet until SIGTERM, says when there were so many
 *
 * Which of busy and quiet has enough first is a matter of the machine: the busy one goes on until both have been told to stop.
 */
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { dataHeaderBytes, encodeAccept, encodeConnect, encodeData, PacketCollector } from '../../proxy/tns/index.js';

const sduBytes = 8192;
const fields = { version: 319, options: 0, sduBytes, tduBytes: 65_536 };
const accept = encodeAccept({ ...fields, uuid: Buffer.alloc(16), flags2: 0 });
const fullPacket = encodeData(Buffer.alloc(sduBytes - dataHeaderBytes, 'x'), 0, 'u32');
/** Written at one time. */
const burst = Buffer.concat(Array(8).fill(fullPacket));
const smallPacket = encodeData(Buffer.alloc(100, 'x'), 0, 'u32');
/** A round trip, and then this pause: the way is to be looked at, not filled. */
const pauseMs = 1;

/** What the busy one prints at its end. */
export interface Moved {
  readonly bytes: number;
  readonly tookMs: number;
}

/** Printed when so much has been done. */
const enough = 'enough';

function connectFor(service: string): Buffer {
  const descriptor = `(DESCRIPTION=(CONNECT_DATA=(SERVICE_NAME=${service})))`;
  return Buffer.concat(encodeConnect({ ...fields, versionLowest: 300, flags2: 0 }, descriptor));
}

/** @returns a connection of which ACCEPT has been read */
async function dial(address: string, service: string): Promise<Socket> {
  const [host = '', port = ''] = address.split(':');
  const socket = connect({ host, port: Number(port), noDelay: true });
  socket.write(connectFor(service));
  await received(socket, accept.length);
  return socket;
}

/** Reads until so many bytes have come. */
async function received(socket: Socket, bytes: number): Promise<void> {
  let left = bytes;
  await new Promise<void>((resolve, reject) => {
    const onData = (chunk: Buffer): void => {
      left -= chunk.length;
      if (left > 0) return;
      socket.off('data', onData).off('close', onClose);
      resolve();
    };
    const onClose = (): void => reject(new Error('the connection was closed'));
    socket.on('data', onData).once('close', onClose);
  });
}

/** Sends as fast as it goes. */
async function send(socket: Socket, onSent: (bytes: number) => void = () => undefined): Promise<void> {
  for (; !socket.destroyed; onSent(burst.length)) if (!socket.write(burst)) await once(socket, 'drain');
}

function serveDatabase(port: number): void {
  const server = createServer({ noDelay: true }, (socket) => {
    const collector = new PacketCollector('frontend', 65_535);
    socket.on('error', () => undefined);
    socket.on('data', function answerConnect(chunk: Buffer) {
      collector.push(chunk);
      const packet = collector.next()?.bytes;
      if (packet === undefined) return;
      socket.off('data', answerConnect);
      const [, what] = /SERVICE_NAME=([a-z]+)/.exec(packet.toString('latin1')) ?? [];
      socket.write(accept);
      if (what === 'down') void send(socket).catch(() => undefined);
      else if (what === 'up') socket.resume();
      else socket.on('data', (echoed) => void socket.write(echoed));
    });
  });
  server.listen(port, '127.0.0.1', () => console.log('ready'));
}

async function beBusy(address: string, direction: string, bytesMin: number): Promise<void> {
  const socket = await dial(address, direction);
  const stopped = stopAsked();
  const from = performance.now();
  let bytes = 0;
  const onMoved = (more: number): void => {
    if (bytes < bytesMin && bytes + more >= bytesMin) console.log(enough);
    bytes += more;
  };
  console.log('moving');
  if (direction === 'down') socket.on('data', ({ length }) => onMoved(length));
  else void send(socket, onMoved);
  const closed = once(socket, 'close').then(() => {
    throw new Error('the connection was closed');
  });
  await Promise.race([once(stopped, 'abort'), closed]);
  console.log(JSON.stringify({ bytes, tookMs: performance.now() - from } satisfies Moved));
  socket.destroy();
}

async function beQuiet(address: string, countMin: number): Promise<void> {
  const socket = await dial(address, 'echo');
  const stopped = stopAsked();
  const tripsMs: number[] = [];
  console.log('quiet');
  while (!stopped.aborted) {
    const from = performance.now();
    socket.write(smallPacket);
    await received(socket, smallPacket.length);
    tripsMs.push(performance.now() - from);
    if (tripsMs.length === countMin) console.log(enough);
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
  console.log(JSON.stringify(tripsMs));
  socket.destroy();
}

function stopAsked(): AbortSignal {
  const controller = new AbortController();
  process.once('SIGTERM', () => controller.abort());
  return controller.signal;
}

const [role, where = '', ...rest] = process.argv.slice(2);
if (role === 'database') serveDatabase(Number(where));
else if (role === 'busy') await beBusy(where, rest[0] ?? 'down', Number(rest[1]));
else await beQuiet(where, Number(rest[0]));
