/**
 * The two ends of a conversation that only measures the way between them. They speak as much Oracle Net as a proxy must see: CONNECT and
 * ACCEPT, then DATA packets with nothing in them that means anything.
 *
 *     node peer.js database PORT                       echoes; sends or takes many bytes when asked
 *     node peer.js busy HOST:PORT down|up BYTES        moves so many bytes through one connection
 *     node peer.js quiet HOST:PORT                     round trips of a small packet until SIGTERM, prints their times
 */
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { dataHeaderBytes, encodeAccept, encodeConnect, encodeData, PacketCollector } from '../../proxy/tns/index.js';
import { machineMs } from '../storm/machine.js';

const sduBytes = 8192;
const fields = { version: 319, options: 0, sduBytes, tduBytes: 65_536 };
const accept = encodeAccept({ ...fields, uuid: Buffer.alloc(16), flags2: 0 });
const fullPacket = encodeData(Buffer.alloc(sduBytes - dataHeaderBytes, 'x'), 0, 'u32');
/** Written at one time. */
const burst = Buffer.concat(Array(8).fill(fullPacket));
const smallPacket = encodeData(Buffer.alloc(100, 'x'), 0, 'u32');
/** A round trip, and then this pause: the way is to be looked at, not filled. */
const pauseMs = 1;

/** Moments of the machine's clock, see machineMs. */
export interface Span {
  readonly fromMs: number;
  readonly toMs: number;
}

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
      socket.off('data', onData);
      resolve();
    };
    socket.on('data', onData);
    socket.once('close', () => reject(new Error('the connection was closed')));
  });
}

async function sent(socket: Socket, bytes: number): Promise<void> {
  for (let left = bytes; left > 0; left -= burst.length) if (!socket.write(burst)) await once(socket, 'drain');
}

function bursts(bytes: number): number {
  return Math.ceil(bytes / burst.length) * burst.length;
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
      const [, what, bytes] = /SERVICE_NAME=([a-z]+)(\d*)/.exec(packet.toString('latin1')) ?? [];
      socket.write(accept);
      if (what === 'down') socket.once('data', () => void sent(socket, Number(bytes)));
      else if (what === 'up') void received(socket, bursts(Number(bytes))).then(() => socket.write(smallPacket));
      else socket.on('data', (echoed) => void socket.write(echoed));
    });
  });
  server.listen(port, '127.0.0.1', () => console.log('ready'));
}

async function beBusy(address: string, direction: string, bytes: number): Promise<void> {
  const socket = await dial(address, `${direction}${bytes}`);
  const fromMs = machineMs();
  if (direction === 'down') {
    socket.write(smallPacket);
    await received(socket, bursts(bytes));
  } else {
    const answered = received(socket, smallPacket.length);
    await sent(socket, bytes);
    await answered;
  }
  console.log(JSON.stringify({ fromMs, toMs: machineMs() } satisfies Span));
  socket.destroy();
}

async function beQuiet(address: string): Promise<void> {
  const socket = await dial(address, 'echo');
  const roundTrips: Span[] = [];
  let isOver = false;
  process.once('SIGTERM', () => {
    isOver = true;
  });
  console.log('quiet');
  while (!isOver) {
    const fromMs = machineMs();
    socket.write(smallPacket);
    await received(socket, smallPacket.length);
    roundTrips.push({ fromMs, toMs: machineMs() });
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
  console.log(JSON.stringify(roundTrips));
  socket.destroy();
}

const [role, where = '', ...rest] = process.argv.slice(2);
if (role === 'database') serveDatabase(Number(where));
else if (role === 'busy') await beBusy(where, rest[0] ?? 'down', Number(rest[1]));
else await beQuiet(where);
