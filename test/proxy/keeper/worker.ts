/**
 * A worker for tests of the keeper. It dials a counting server, has the socket kept, and says over it, again and again, which
 * worker it is. Its worst moments come from a file: `crash`, `unready`, `storm` (it has sockets kept, and no time for beats).
 */
import { readFileSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { KeeperChannel } from '../../../proxy/keeper/channel.js';
import { type NativeHandle, socketOn } from '../../../proxy/kernel/handle.js';

const [, , port = '', moodFile = ''] = process.argv;
const listenerId = 1;
const connectionId = 2;

function mood(): string {
  return readFileSync(moodFile, 'utf8');
}

let upstream: Socket | undefined;
let server: Server | undefined;
const channel = new KeeperChannel({
  takeOver(sockets, crashed) {
    listen(sockets.get(listenerId));
    const kept = sockets.get(connectionId);
    upstream = kept === undefined ? connect(Number(port), '127.0.0.1', keep) : socketOn(kept);
    upstream.on('data', () => undefined);
    channel.serving();
    announce(`${process.pid} ${crashed ? 'after a crash' : 'in order'} ${sockets.size}\n`);
    if (mood() === 'crash') process.abort();
  },
  release() {
    channel.released();
    process.exit(0);
  },
  link() {},
  alarm() {},
  alone() {},
});

process.on('SIGTERM', () => {
  upstream?.end('bye\n');
  server?.close();
  process.disconnect();
});

function keep(): void {
  if (upstream !== undefined) channel.keep(connectionId, upstream);
}

/** Once there is nothing that could be lost. */
function announce(line: string): void {
  if (channel.isKept(listenerId) && channel.isKept(connectionId)) upstream?.write(line);
  else setImmediate(announce, line);
}

/** Whoever connects learns who answers. */
function listen(kept: NativeHandle | undefined): void {
  server = createServer((socket) => socket.end(`${process.pid}\n`));
  if (kept !== undefined) server.listen(kept);
  else server.listen(0, '127.0.0.1', () => server !== undefined && channel.keep(listenerId, server));
}

process.on('SIGUSR1', () => upstream?.write(`port ${JSON.stringify(server?.address())}\n`));
process.on('SIGUSR2', () => {
  for (;;);
});
if (mood() === 'unready') process.exit(3);
const aDayMs = 86_400_000;
channel.ready(mood() === 'storm' ? aDayMs : 50);
if (mood() === 'storm') {
  let keeps = 0;
  setInterval(() => {
    keep();
    if (++keeps === 70) announce(`${keeps} keeps\n`);
  }, 50).unref();
}
