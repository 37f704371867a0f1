/** What the real driver makes of a session that could not be made. */
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import oracledb from 'oracledb';
import t, { type Test } from 'tap';
import { type BackendLimits, defaultBackendLimits } from '../../../proxy/backend/limits.js';
import { pipe } from './pipe.js';

/** A port nobody listens on, for now. */
async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

async function connectError(t: Test, port: number, limits: Partial<BackendLimits> = {}): Promise<Error> {
  const front = await pipe(t, { host: '127.0.0.1', port }, { limits: { ...defaultBackendLimits, ...limits } });
  const connectString = `127.0.0.1:${front.port}/orders`;
  try {
    await oracledb.getConnection({ user: 'app', password: 'app', connectString });
  } catch (error) {
    if (error instanceof Error) return error;
  }
  throw new Error('the driver connected');
}

t.test('no listener is shown by the driver as ORA-12541', async (t) => {
  const error = await connectError(t, await freePort());
  t.match(error.message, /NJS-511.*ORA-12541/s);
});

t.test('a listener that does not answer is shown by the driver as ORA-12535', async (t) => {
  const server = createServer(() => {});
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  const error = await connectError(t, (server.address() as AddressInfo).port, { connectMs: 50 });
  t.match(error.message, /ORA-12535/);
});

t.test('a listener that closes without an answer is shown by the driver as ORA-12537', async (t) => {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', () => socket.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  const error = await connectError(t, (server.address() as AddressInfo).port);
  t.match(error.message, /ORA-12537/);
});
