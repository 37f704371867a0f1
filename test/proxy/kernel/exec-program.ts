/**
 * Listens, keeps its first connection, and becomes itself again when it is asked to: what it was is then in another program's
 * hands. Prints who it is.
 */
import { createServer, type Socket } from 'node:net';
import { becomeProgram } from '../../../proxy/kernel/exec.js';
import { handleOf, handleOn, socketOn } from '../../../proxy/kernel/handle.js';

const [, script = '', listenerText, connectionText] = process.argv;
let connection: Socket | undefined;

const server = createServer((socket) => attend(socket));
function attend(socket: Socket): void {
  connection = socket;
  socket.on('data', (bytes) => socket.write(`${listenerText === undefined ? 'first' : 'second'} got ${bytes}\n`));
}

if (listenerText === undefined) server.listen(0, '127.0.0.1', announce);
else {
  server.listen(handleOn(Number(listenerText)), announce);
  const socket = socketOn(handleOn(Number(connectionText)));
  attend(socket);
  socket.resume();
}

function announce(): void {
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : 0;
  console.log(JSON.stringify({ pid: process.pid, port, again: listenerText !== undefined, word: process.env.WORD }));
}

process.on('SIGUSR2', () => {
  const kept = [server, connection].map((socket) => (socket === undefined ? -1 : (handleOf(socket)?.fd ?? -1)));
  try {
    becomeProgram('/no/such/program', [], {}, kept);
  } catch (error) {
    console.log(String(error));
  }
  becomeProgram(process.execPath, [script, ...kept.map(String)], { ...process.env, WORD: 'passed on' }, kept);
});
