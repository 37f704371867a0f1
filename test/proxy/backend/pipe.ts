/** A byte pipe from drivers to back-end sessions: what the link does, without the link. */
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { pino } from 'pino';
import type { Test } from 'tap';
import type { DatabaseAddress } from '../../../proxy/backend/address.js';
import type { BackendError } from '../../../proxy/backend/errors.js';
import { type BackendLimits, defaultBackendLimits } from '../../../proxy/backend/limits.js';
import { packRecord, type SessionRecord, unpackRecord } from '../../../proxy/backend/record.js';
import { type BackendEvents, BackendSession } from '../../../proxy/backend/session.js';
import type { DatabaseTls } from '../../../proxy/backend/tls.js';
import type { Backend } from '../../../proxy/bridge.js';

export interface Pipe {
  readonly port: number;
  /** One for each connection of a driver, in order. */
  readonly sessions: readonly BackendSession[];
  /** Puts another session in the place of one, through its record and its socket. */
  replace(index: number): SessionRecord;
}

export interface PipeOptions {
  readonly limits?: BackendLimits;
  readonly tls?: DatabaseTls;
  /** How the driver's bytes are cut before the session gets them. */
  readonly chunk?: (bytes: Buffer) => readonly Buffer[];
  /** Told when a session is over. */
  readonly onClosed?: (error: BackendError | undefined) => void;
  /** Sees bytes before they go on: the driver's before the session has them, the database's after. */
  readonly watch?: (from: 'driver' | 'database', bytes: Buffer, session: BackendSession) => void;
  /** Puts something between the driver and its session. */
  readonly before?: (events: BackendEvents, make: (events: BackendEvents) => BackendSession) => Backend;
}

export async function pipe(
  t: Pick<Test, 'teardown'>,
  database: DatabaseAddress | readonly DatabaseAddress[],
  options: PipeOptions = {},
): Promise<Pipe> {
  const addresses = [database].flat();
  const sessions: BackendSession[] = [];
  const receivers: BackendEvents[] = [];
  const cut = options.chunk ?? ((bytes: Buffer) => [bytes]);
  const log = pino({ level: 'silent' });
  const common = { limits: options.limits ?? defaultBackendLimits, log, now: () => performance.now() };
  const at = <T>(list: readonly T[], index: number): T => {
    const found = list[index];
    if (found === undefined) throw new Error(`no session ${index}`);
    return found;
  };
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (driver: Socket) => {
    const index = sessions.length;
    const session = (): BackendSession => at(sessions, index);
    const events: BackendEvents = {
      data: (chunk) => {
        options.watch?.('database', chunk, session());
        driver.write(Buffer.from(chunk));
      },
      consumed: () => {},
      end: () => driver.end(),
      closed: (error) => {
        options.onClosed?.(error);
        driver.destroySoon();
      },
    };
    const make = (own: BackendEvents): BackendSession => {
      const made = new BackendSession({ ...common, addresses, events: own, ...(options.tls && { tls: options.tls }) });
      sessions.push(made);
      return made;
    };
    const front = (options.before ?? ((own, inner) => inner(own)))(events, make);
    const target = (): Backend => (options.before === undefined ? session() : front);
    receivers.push(events);
    driver.on('data', (chunk: Buffer) => {
      for (const part of cut(chunk)) {
        options.watch?.('driver', part, session());
        target().write(part);
      }
    });
    driver.on('end', () => target().end());
    driver.on('error', () => target().destroy());
    t.teardown(() => {
      driver.destroy();
      target().destroy();
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  return {
    port: (server.address() as AddressInfo).port,
    sessions,
    replace(index) {
      const released = at(sessions, index).release();
      if (released === undefined) throw new Error(`session ${index} has no record`);
      const record = unpackRecord(packRecord(released.record));
      sessions[index] = BackendSession.takeUp(record, released.socket, { ...common, events: at(receivers, index) });
      return record;
    },
  };
}
