import { createServer } from 'node:net';
import t from 'tap';
import { listenAt } from '../../../shim/program/listen.js';

t.test('a port that is taken and an address that is not ours have codes of their own', async (t) => {
  const first = createServer();
  t.teardown(() => first.close());
  const port = await listenAt(first, { host: '127.0.0.1', port: 0 });
  t.ok(port > 0, 'the kernel has chosen one');
  const where = { host: '127.0.0.1', port };
  const message = `cannot listen on 127.0.0.1:${port}: listen EADDRINUSE: address already in use 127.0.0.1:${port}`;
  await t.rejects(listenAt(createServer(), where), { code: 'address-in-use', source: 'operator', message });
  await t.rejects(listenAt(createServer(), { host: '192.0.2.1', port: 0 }), { code: 'bad-address' });
});
