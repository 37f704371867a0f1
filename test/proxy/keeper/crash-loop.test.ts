import { setTimeout } from 'node:timers/promises';
import t from 'tap';
import { childrenOf } from '../../../fixtures/lab/program.js';
import { secretFile, start } from '../../errors/parts.js';

t.setTimeout(120_000);

const anywhere = '127.0.0.1:0';

t.test('a keeper whose workers die again and again waits for an operator, and then goes on', async (t) => {
  const options = ['--database', '127.0.0.1:1', '--listen', anywhere, '--control-listen', anywhere];
  const proxy = start(t, 'holdfast-proxy', ...options, '--secret-file', secretFile(t));
  await proxy.printed(/"a worker serves"/);
  const pid = proxy.child.pid ?? 0;
  while (!proxy.stderr.includes('"alarm":"crash-loop"')) {
    // As soon as there is one.
    for (const worker of childrenOf(pid)) {
      try {
        process.kill(worker, 'SIGKILL');
      } catch {
        // It has ended in the meantime.
      }
    }
    await setTimeout(20);
  }
  t.equal(childrenOf(pid).length, 0, 'no worker is started any more');
  // Nothing is left that would keep the process by itself. It must stay all the same: it has the sockets.
  const ended = await Promise.race([proxy.ended.then(() => true), setTimeout(500).then(() => false)]);
  t.equal(ended, false, 'the keeper stays');
  proxy.child.kill('SIGHUP');
  await proxy.printed(/"a worker serves".*\n(.*\n)*.*"a worker serves"/);
});
