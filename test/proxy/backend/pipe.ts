/** A byte pipe from drivers to back-end sessions: what the link does, without the link. */
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { pino } from 'pino';
import type { Test } from 'tap';
import type { DatabaseAddress } from '../../../proxy/backend/connect-phase.js';
import { type BackendLimits, defaultBackendLimits } from '../../../proxy/backend/limits.js';
import { BackendSession } from '../../../proxy/backend/session.js';

export interface Pipe {
  readonly port: number;
  /** One for each connection of a driver, in order. */
  readonly sessions: BackendSession[];
}

export async function pipe(
  t: Test,
  address: DatabaseAddress,
  options: { limits?: BackendLimits; chunk?: (bytes: Buffer) => readonly Buffer[] } = {},
): Promise<Pipe> {
  const sessions: BackendSession[] = [];
  const cut = options.chunk ?? ((bytes: Buffer) => [bytes]);
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (driver: Socket) => {
    const session = new BackendSession({
      address,
      limits: options.limits ?? defaultBackendLimits,
      log: pino({ level: 'silent' }),
      now: () => Date.now(),
      events: {
        data: (chunk) => driver.write(chunk),
        consumed: () => {},
        end: () => driver.end(),
        closed: () => driver.destroySoon(),
      },
    });
    sessions.push(session);
    driver.on('data', (chunk: Buffer) => {
      for (const part of cut(chunk)) session.write(part);
    });
    driver.on('end', () => session.end());
    driver.on('error', () => session.destroy());
    t.teardown(() => {
      driver.destroy();
      session.destroy();
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  return { port: (server.address() as AddressInfo).port, sessions };
}
