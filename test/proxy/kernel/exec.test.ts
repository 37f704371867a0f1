import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import t from 'tap';
import { Program } from '../../../fixtures/lab/program.js';
import { node } from '../../../fixtures/lab/world.js';

async function answer(socket: Socket, question: string): Promise<string> {
  socket.write(question);
  const [bytes] = await once(socket, 'data');
  return String(bytes);
}

t.test('a process becomes another program, with its sockets and under its process id', async (t) => {
  const script = new URL('./exec-program.js', import.meta.url).pathname;
  const program = new Program('exec', node(script));
  t.teardown(() => program.stop());
  const [first] = await program.printed(/^\{.*"again":false.*\}/m);
  const { pid, port } = JSON.parse(first);
  const socket = connect(port, '127.0.0.1');
  t.teardown(() => socket.destroy());
  t.equal(await answer(socket, 'hello'), 'first got hello\n');

  program.child.kill('SIGUSR2');
  await program.printed(/no\/such\/program cannot be started: error 2/);
  const [second] = await program.printed(/^\{.*"again":true.*\}/m);
  t.match(JSON.parse(second), { pid, port, word: 'passed on' });
  t.equal(await answer(socket, 'there?'), 'second got there?\n', 'the connection goes on');
  const another = connect(port, '127.0.0.1');
  t.teardown(() => another.destroy());
  t.equal(await answer(another, 'new'), 'second got new\n', 'and it still listens');
});
