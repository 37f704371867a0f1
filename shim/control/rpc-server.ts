import { createConnection, createServer, type Server as NetServer, type Socket } from 'node:net';
import { type Connection, Server } from 'net-ipc';
import type { Address } from '../program/address.js';
import { errorCode, errorText } from '../program/errors.js';
import { type Guard, type GuardLimits, guardServer } from '../program/guard.js';
import { mayCall, type Peer, peerText } from '../program/identity.js';
import type { ListeningHandle } from '../program/listen.js';
import type { Logger } from '../program/log.js';
import { peerOf, type Security, serverTls } from '../program/security.js';
import * as limits from './limits.js';
import {
  type Contract,
  ControlError,
  type EventOf,
  firstIssue,
  type Hello,
  limitCodecs,
  limitMessages,
  type ReplyOf,
  type RequestOf,
  type ServerMessage,
  toWire,
  type Verb,
  type Verbs,
} from './rpc.js';

/**
 * Where a control server listens. Unix sockets are protected by their mode, TCP by `security`. With `handle` it listens there
 * already, and is only taken over.
 */
export type ControlListen =
  | { readonly path: string }
  | { readonly address: Address; readonly security: Security; readonly handle?: ListeningHandle | undefined };

/** The emit function goes to the caller of this request only; after the caller has gone it does nothing. */
export type Handler<V> = (
  request: RequestOf<V>,
  emit: (event: EventOf<V>) => void,
  caller: Peer,
) => Promise<ReplyOf<V>>;
export type Handlers<V extends Verbs> = { readonly [Name in keyof V]: Handler<V[Name]> };

export interface ControlServerOptions {
  readonly messageBytesMax?: number;
  readonly messagePauseMsMax?: number;
  readonly connectionsMax?: number;
  /** Time for the TLS handshake, and again for the hello. */
  readonly connectMsMax?: number;
  readonly newcomers?: GuardLimits;
  /** Told of callers that are not let in, and of calls they may not make. */
  readonly log?: Logger;
}

export interface ControlServer {
  /** The port that was chosen when port 0 was asked for; 0 for a Unix socket. */
  readonly port: number;
  /** The listening socket, for whoever keeps it. */
  readonly server: NetServer;
  /** Connections whose other end has not gone yet. */
  readonly connections: number;
  /** Lets running handlers finish for a moment, then closes all connections. */
  close(): Promise<void>;
}

/**
 * Answers the verbs of a contract.
 * @throws {ControlError} address-in-use, bad-address
 */
export async function serveControl<V extends Verbs>(
  contract: Contract<V>,
  handlers: Handlers<V>,
  listen: ControlListen,
  options: ControlServerOptions = {},
): Promise<ControlServer> {
  const place = await placeOf(listen);
  const security = 'path' in listen ? undefined : serverTls(listen.security, 'control');
  const newcomers = options.newcomers ?? limits;
  const connectionsMax = options.connectionsMax ?? limits.connectionsMax;
  const connectMsMax = options.connectMsMax ?? limits.connectMsMax;
  const ipc = new Server({
    ...place.net,
    tls: security !== undefined,
    options: { ...security, handshakeTimeout: connectMsMax },
    max: connectionsMax + (security === undefined ? 0 : newcomers.newcomersMax),
    retries: 0,
  });
  const whoIs = (socket: Socket): Peer =>
    'path' in listen ? { kind: 'trusted', by: 'file-mode' } : peerOf(socket, listen.security);
  const callers = new Callers({ ...options, connectionsMax, connectMsMax });
  const calls = new Calls(contract, handlers as Handlers<Verbs>, whoIs, options.log);
  ipc.on('connect', (connection, hello: Hello | undefined) => {
    if (calls.greet(connection, hello)) callers.welcome(connection.connection);
  });
  ipc.on('message', (message: unknown, connection) => calls.receive(connection, message));
  await start(ipc, place);
  ipc.on('error', () => undefined);
  const guard =
    'path' in listen
      ? undefined
      : guardServer(ipc.server, listen.security, newcomers, ({ cause: _cause, ...event }) =>
          options.log?.warn({ code: 'not-authorised', ...event }, 'a caller was not let in'),
        );
  ipc.server.on(security === undefined ? 'connection' : 'secureConnection', (socket) => callers.add(socket));
  let closing: Promise<void> | undefined;
  return {
    port: portOf(ipc.server),
    server: ipc.server,
    get connections() {
      return callers.sockets.size;
    },
    close: () => {
      closing ??= closeServer(ipc, calls, callers.sockets, guard);
      return closing;
    },
  };
}

type CallersOptions = ControlServerOptions & { readonly connectionsMax: number; readonly connectMsMax: number };

/** The connections of one server that have proved who they are, and what each may send. */
class Callers {
  readonly sockets = new Set<Socket>();
  readonly #welcomed = new WeakSet<Socket>();
  readonly #options: CallersOptions;

  constructor(options: CallersOptions) {
    this.#options = options;
  }

  add(socket: Socket): void {
    const { connectionsMax, connectMsMax } = this.#options;
    const { messageBytesMax = limits.messageBytesMax, messagePauseMsMax = limits.messagePauseMsMax } = this.#options;
    if (this.sockets.size >= connectionsMax) {
      socket.destroy();
      return;
    }
    this.sockets.add(socket);
    // net-ipc answers an error by its own close, which waits for the write queues of all connections of the process and then
    // writes to a socket that is gone: an error that nobody catches, and the end of the process. Here it ends the connection.
    socket.removeAllListeners('error');
    socket.on('error', () => socket.destroy());
    // net-ipc closes those that say no hello in order, which a caller need not answer.
    const late = setTimeout(() => {
      if (!this.#welcomed.has(socket)) socket.destroy();
    }, connectMsMax);
    socket.on('close', () => {
      clearTimeout(late);
      this.sockets.delete(socket);
    });
    const bytesMax = () => (this.#welcomed.has(socket) ? messageBytesMax : limits.helloBytesMax);
    limitCodecs(socket);
    limitMessages(socket, bytesMax, messagePauseMsMax);
  }

  welcome(socket: Socket): void {
    this.#welcomed.add(socket);
  }
}

/** Not net-ipc's own close: that waits for the write queues of all connections of the process. */
async function closeServer(
  ipc: Server,
  calls: Calls,
  sockets: ReadonlySet<Socket>,
  guard: Guard | undefined,
): Promise<void> {
  const closed = new Promise((resolve) => ipc.server.once('close', resolve));
  ipc.server.close();
  guard?.close();
  await calls.settled(limits.closeMsMax);
  for (const connection of [...ipc.connections]) connection.destroy();
  for (const socket of sockets) socket.destroy();
  await closed;
}

interface Place {
  readonly text: string;
  readonly net:
    | { readonly path: string; readonly port?: never }
    | { readonly port: number; readonly listenOptions: { host: string; handle?: ListeningHandle } };
}

async function placeOf(listen: ControlListen): Promise<Place> {
  if ('path' in listen) {
    const { path } = listen;
    if (Buffer.byteLength(path) > limits.unixPathBytesMax) {
      const message = `${path} is too long for a Unix socket: at most ${limits.unixPathBytesMax} bytes`;
      throw new ControlError('bad-address', 'operator', message);
    }
    // net-ipc unlinks whatever is at the path: a live server would be cut off without a word.
    if (await answers(path)) throw new ControlError('address-in-use', 'operator', `another program answers on ${path}`);
    return { text: path, net: { path } };
  }
  const { address, handle } = listen;
  const { host, port } = address;
  // Node.js takes it for where to listen, and looks at the rest no more.
  if (handle !== undefined)
    return { text: 'a socket that was kept', net: { port: port || 1, listenOptions: { host, handle } } };
  const chosen = port === 0 ? await freePort(host) : port;
  return { text: `${host}:${chosen}`, net: { port: chosen, listenOptions: { host } } };
}

function portOf(server: NetServer): number {
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

/** net-ipc takes port 0 for "no port given", so the kernel is asked for a free one first. */
function freePort(host: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, host, () => {
      const address = probe.address();
      probe.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createConnection(path);
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', () => resolve(false));
  });
}

/** net-ipc's start never rejects; what goes wrong comes as an event. */
function start(ipc: Server, place: Place): Promise<void> {
  return new Promise((resolve, reject) => {
    ipc.on('error', (cause) => {
      const code = errorCode(cause) === 'EADDRINUSE' ? 'address-in-use' : 'bad-address';
      reject(new ControlError(code, 'operator', `cannot listen on ${place.text}: ${errorText(cause)}`, { cause }));
    });
    // The socket file is made inside this call, with the mode that the umask leaves: only its owner may connect.
    const umask = process.umask(0o177);
    ipc.start().then(() => resolve(), reject);
    process.umask(umask);
  });
}

/** The calls of all connections of one server. */
class Calls {
  readonly #contract: Contract;
  readonly #handlers: Handlers<Verbs>;
  readonly #whoIs: (socket: Socket) => Peer;
  readonly #log: Logger | undefined;
  readonly #running = new Map<Connection, { calls: number; readonly caller: Peer }>();
  readonly #promises = new Set<Promise<void>>();

  constructor(contract: Contract, handlers: Handlers<Verbs>, whoIs: (socket: Socket) => Peer, log?: Logger) {
    this.#contract = contract;
    this.#handlers = handlers;
    this.#whoIs = whoIs;
    this.#log = log;
  }

  /** @returns whether the caller wants what this is */
  greet(connection: Connection, hello: Hello | undefined): boolean {
    const { name, version } = this.#contract;
    if (hello?.contract === name && hello.version === version) {
      this.#running.set(connection, { calls: 0, caller: this.#whoIs(connection.connection) });
      connection.connection.once('close', () => this.#running.delete(connection));
      send(connection, { kind: 'welcome' });
      return true;
    }
    const wanted = `${hello?.contract ?? 'nothing'} ${hello?.version ?? ''}`.trim();
    const message = `this is ${name} ${version}, the caller wants ${wanted}`;
    send(connection, { kind: 'refused', error: { code: 'wrong-contract', source: 'operator', message } });
    connection.connection.destroySoon();
    return false;
  }

  receive(connection: Connection, message: unknown): void {
    const call = readCall(message);
    const running = this.#running.get(connection);
    if (call === undefined || running === undefined) {
      connection.destroy();
      return;
    }
    const run = this.#run(connection, running, call).finally(() => this.#promises.delete(run));
    this.#promises.add(run);
  }

  async settled(waitMs: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const expired = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, waitMs);
    });
    await Promise.race([Promise.all(this.#promises), expired]);
    clearTimeout(timer);
  }

  async #run(connection: Connection, running: { calls: number; readonly caller: Peer }, call: Call): Promise<void> {
    const { id, verb, body } = call;
    const { caller } = running;
    running.calls += 1;
    try {
      if (running.calls > limits.callsMax) {
        throw new ControlError('too-many-calls', 'operator', `more than ${limits.callsMax} calls at once`);
      }
      const request = this.#check(verb, body, caller);
      const handler = this.#handlers[verb] as Handler<Verb<unknown, unknown, unknown>>;
      const reply = await handler(request, (event) => send(connection, { kind: 'event', id, body: event }), caller);
      send(connection, { kind: 'reply', id, body: reply });
    } catch (thrown) {
      send(connection, { kind: 'failed', id, error: toWire(thrown) });
    } finally {
      running.calls -= 1;
    }
  }

  #check(verb: string, body: unknown, caller: Peer): unknown {
    const { name, verbs } = this.#contract;
    const spec = Object.hasOwn(verbs, verb) ? verbs[verb] : undefined;
    if (spec === undefined) throw new ControlError('unknown-verb', 'operator', `${name} has no verb ${verb}`);
    const { callers = [] } = spec;
    if (!mayCall(caller, callers)) {
      const message = `${peerText(caller)} may not call ${verb} of ${name}: it is for ${['operator', ...callers].join(', ')}`;
      this.#log?.warn({ code: 'not-authorised', why: message }, 'a call was refused');
      throw new ControlError('not-authorised', 'operator', message);
    }
    const result = spec.request.safeParse(body);
    if (result.success) return result.data;
    throw new ControlError('bad-request', 'operator', `${verb}: ${firstIssue(result.error)}`);
  }
}

interface Call {
  readonly id: number;
  readonly verb: string;
  readonly body: unknown;
}

function readCall(message: unknown): Call | undefined {
  if (typeof message !== 'object' || message === null || !('kind' in message) || message.kind !== 'call')
    return undefined;
  const { id, verb, body } = message as { id?: unknown; verb?: unknown; body?: unknown };
  return typeof id === 'number' && typeof verb === 'string' ? { id, verb, body } : undefined;
}

/** net-ipc returns write errors instead of throwing them; they mean that the caller has gone, and there is nobody to tell. */
function send(connection: Connection, message: ServerMessage): void {
  if (connection.connection?.writable) connection.send(message).catch(() => undefined);
}
