/** Listeners of all kinds before one Oracle Net server, and the real driver before the proxy's sessions. */
import oracledb from 'oracledb';
import type { Test } from 'tap';
import { type Listener, type ListenerOptions, startListener } from '../../../../fixtures/listener/listener.js';
import { type OracleServer, startOracleServer } from '../../../../fixtures/oracle/server.js';
import { personality23ai } from '../../../../fixtures/oracle/wire/personality.js';
import type { DatabaseAddress } from '../../../../proxy/backend/address.js';
import type { Address } from '../../../../shim/program/address.js';
import { MemoryDatabase } from '../../../fixtures/oracle/memory-database.js';
import { type Pipe, type PipeOptions, pipe } from '../pipe.js';

export const login = { user: 'shop', password: 'tiger£' };
export const service = 'orders';

/** A server whose sessions answer from memory. */
export async function server(t: Test, personality = personality23ai): Promise<OracleServer> {
  const log = { info: () => {}, warn: (fields: object, message: string) => t.comment(message, fields) };
  const started = await startOracleServer({
    database: new MemoryDatabase(),
    host: '127.0.0.1',
    port: 0,
    log,
    personality,
  });
  t.teardown(() => started.close());
  return started;
}

export async function listener(
  t: Test,
  decide: ListenerOptions['decide'],
  options: Omit<ListenerOptions, 'decide'> = {},
): Promise<Listener> {
  const started = await startListener({ ...options, decide });
  t.teardown(() => started.close());
  return started;
}

export const address = ({ host, port }: Address, protocol = 'TCP'): string =>
  `(ADDRESS=(PROTOCOL=${protocol})(HOST=${host})(PORT=${port}))`;

export const forward = (to: Address) => ({ kind: 'forward', to }) as const;

/** A session of the driver through the proxy, closed at the end of the test. */
export async function connect(
  t: Test,
  addresses: DatabaseAddress | readonly DatabaseAddress[],
  options: PipeOptions & { connectString?: (port: number) => string } & Omit<
      oracledb.ConnectionAttributes,
      'connectString'
    > = {},
): Promise<{ readonly connection: oracledb.Connection; readonly front: Pipe }> {
  const { limits, tls, watch, onClosed, chunk, before, connectString, ...attributes } = options;
  const front = await pipe(t, addresses, {
    ...(limits && { limits }),
    ...(tls && { tls }),
    ...(watch && { watch }),
    ...(onClosed && { onClosed }),
    ...(chunk && { chunk }),
    ...(before && { before }),
  });
  const connection = await oracledb.getConnection({
    ...login,
    ...attributes,
    connectString: connectString?.(front.port) ?? `127.0.0.1:${front.port}/${service}`,
  });
  t.teardown(() => connection.close().catch(() => {}));
  return { connection, front };
}

/** Why the driver got no session. */
export async function connectError(...args: Parameters<typeof connect>): Promise<Error> {
  try {
    await connect(...args);
  } catch (error) {
    if (error instanceof Error) return error;
  }
  throw new Error('the driver has connected');
}

/** The session works: a call goes there and back. */
export async function works(t: Test, connection: oracledb.Connection): Promise<void> {
  await connection.ping();
  t.ok(connection.isHealthy(), 'a call goes there and back');
}
