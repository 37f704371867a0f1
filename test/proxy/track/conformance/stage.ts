/**
 * The real driver, a session of the proxy with its tracker, and a database of one personality; between proxy and database an
 * interceptor that can say what the fixture does not: the driver is the judge of whether it was said rightly.
 */
import { once } from 'node:events';
import { type AddressInfo, connect as connectSocket, createServer, type Socket } from 'node:net';
import oracledb from 'oracledb';
import type { Test } from 'tap';
import { startOracleServer } from '../../../../fixtures/oracle/server.js';
import { type Personality, personalityOf } from '../../../../fixtures/oracle/wire/personality.js';
import { lengthFormOf, PacketCollector, PacketType, parseAccept } from '../../../../proxy/tns/index.js';
import type { SessionTrack } from '../../../../proxy/track/view.js';
import type { TpcConnection } from '../../../fixtures/oracle/tpc.js';
import { pipe } from '../../backend/pipe.js';

/** Each dialect that answers are told apart by: marked at their ends, and not. */
export const dialects: readonly Personality[] = [
  personalityOf('23ai', { transactionGuard: true }),
  personalityOf('19c'),
];

/** The other side of a packet: where it may say something of its own, or nothing. */
export interface Wire {
  toDatabase(packet: Buffer): void;
  toDriver(packet: Buffer): void;
}

/** Is given every packet behind ACCEPT; without one of them packets go on as they are. */
export interface Interceptor {
  fromDriver?(packet: Buffer, wire: Wire): void;
  fromDatabase?(packet: Buffer, wire: Wire): void;
}

export interface Stage {
  readonly connection: TpcConnection;
  /** For more connections to the same server; the tracker is that of the first. */
  readonly login: oracledb.ConnectionAttributes;
  track(): SessionTrack;
  /** What the tracker said after each chunk that passed, in order. */
  readonly seen: SessionTrack[];
  /** Set it when the login is done. */
  interceptor: Interceptor;
}

export interface StageOptions {
  readonly personality: Personality;
  readonly database: Parameters<typeof startOracleServer>[0]['database'];
  /** Behind the service name: `:pooled`, `?sdu=512`. */
  readonly more?: string;
  /** How the driver gets its connection, instead of by itself. */
  readonly connect?: (login: oracledb.ConnectionAttributes) => Promise<oracledb.Connection>;
}

export async function openStage(t: Test, options: StageOptions): Promise<Stage> {
  const { personality, database } = options;
  const log = { info: () => {}, warn: (fields: object, message: string) => t.comment(message, fields) };
  const server = await startOracleServer({ database, host: '127.0.0.1', port: 0, log, personality });
  t.teardown(() => server.close());
  const seen: SessionTrack[] = [];
  const stage: { interceptor: Interceptor } = { interceptor: {} };
  const port = await intercept(t, server.port, () => stage.interceptor);
  const front = await pipe(
    t,
    { host: '127.0.0.1', port },
    { watch: (_from, _bytes, session) => seen.push(session.describe().track) },
  );
  const connectString = `127.0.0.1:${front.port}/freepdb1${options.more ?? ''}`;
  const login = { user: 'scott', password: 'tiger', connectString };
  const connection = (await (options.connect ?? oracledb.getConnection)(login)) as TpcConnection;
  t.teardown(() => connection.close().catch(() => {}));
  const track = (): SessionTrack => {
    const [session] = front.sessions;
    if (session === undefined) throw new Error('the driver has no session');
    return session.describe().track;
  };
  return Object.assign(stage, { connection, login, track, seen });
}

/** A relay of whole packets. @returns its port */
async function intercept(t: Test, target: number, interceptor: () => Interceptor): Promise<number> {
  const sockets = new Set<Socket>();
  const relay = createServer({ noDelay: true }, (near) => {
    const far = connectSocket({ port: target, host: '127.0.0.1', noDelay: true });
    const wire = {
      toDatabase: (packet: Buffer) => far.write(packet),
      toDriver: (packet: Buffer) => near.write(packet),
    };
    const fromDriver = new PacketCollector('frontend', 2 ** 21);
    const fromDatabase = new PacketCollector('backend', 2 ** 21);
    let isAccepted = false;
    near.on('data', (chunk: Buffer) => {
      fromDriver.push(chunk);
      for (let packet = fromDriver.next(); packet !== undefined; packet = fromDriver.next()) {
        const hook = isAccepted ? interceptor().fromDriver : undefined;
        if (hook === undefined) wire.toDatabase(packet.bytes);
        else hook(packet.bytes, wire);
      }
    });
    far.on('data', (chunk: Buffer) => {
      fromDatabase.push(chunk);
      for (let packet = fromDatabase.next(); packet !== undefined; packet = fromDatabase.next()) {
        const hook = isAccepted ? interceptor().fromDatabase : undefined;
        if (hook === undefined) wire.toDriver(packet.bytes);
        else hook(packet.bytes, wire);
        if (packet.type !== PacketType.accept) continue;
        isAccepted = true;
        const form = lengthFormOf(parseAccept(packet.bytes, 'backend').version);
        fromDriver.lengthForm = form;
        fromDatabase.lengthForm = form;
      }
    });
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from);
      from.on('error', () => to.destroy());
      from.on('close', () => to.destroy());
      from.on('end', () => to.end());
    }
  });
  relay.listen(0, '127.0.0.1');
  await once(relay, 'listening');
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    relay.close();
  });
  return (relay.address() as AddressInfo).port;
}
