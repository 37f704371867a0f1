import { once } from 'node:events';
import { connect } from 'node:net';
import t from 'tap';
import { childrenOf } from '../../../fixtures/lab/program.js';
import { portOf, secretFile, start } from '../../errors/parts.js';

t.setTimeout(120_000);

const anywhere = '127.0.0.1:0';

t.test('a keeper is replaced under its process id, with its sockets, again and again', async (t) => {
  const options = ['--database', '127.0.0.1:1', '--listen', anywhere, '--control-listen', anywhere];
  const proxy = start(t, 'holdfast-proxy', ...options, '--secret-file', secretFile(t));
  const port = await portOf(proxy);
  const pid = proxy.child.pid ?? 0;
  let told = 0;
  const serves = async (): Promise<number> => {
    const line = new RegExp(`(?:(?:.*\\n)*.*"a worker serves"){${told + 1}}`);
    await proxy.printed(line);
    told += 1;
    return childrenOf(pid)[0] ?? 0;
  };
  let worker = await serves();
  for (let time = 0; time < 2; time += 1) {
    proxy.child.kill('SIGUSR2');
    const next = await serves();
    t.not(next, worker, 'another worker');
    worker = next;
    const socket = connect(port, '127.0.0.1');
    await once(socket, 'connect');
    socket.destroy();
  }
  t.equal(proxy.child.exitCode, null, 'and it is still the process that was started');
});
