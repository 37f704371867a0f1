/**
 * One relay: an address that is listened on, and one that every connection goes on to. Whether it listens is decided in one
 * place: it is enabled, and no toxic has taken it down.
 */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import type { Cancel, Clock } from '../../shim/link/index.js';
import { type Address, formatAddress } from '../../shim/program/address.js';
import { errorText } from '../../shim/program/errors.js';
import type { FaultAct, Leg } from '../inject/contract.js';
import { type ActiveToxic, RelayConnection, type Stream } from './connection.js';
import { RelayError } from './errors.js';
import { toxicsMax } from './limits.js';

export interface RelayOptions {
  readonly name: string;
  readonly listen: Address;
  readonly upstream: Address;
  readonly leg: Leg | undefined;
  /** One more is reset at once. */
  readonly connectionsMax: number;
  readonly clock: Clock;
  readonly acted: (act: Omit<FaultAct, 'seq' | 'at'>) => void;
}

export class Relay {
  readonly name: string;
  readonly leg: Leg | undefined;
  upstream: Address;
  readonly toxics = new Map<string, ActiveToxic>();
  #listen: Address;
  #isEnabled = false;
  readonly #options: RelayOptions;
  readonly #connections = new Set<RelayConnection>();
  #server: Server | undefined;
  #count = 0;
  /** Toxics that keep it down now; a flap does so half of the time. */
  readonly #downBy = new Set<string>();
  readonly #flaps = new Map<string, Cancel>();
  #settling: Promise<void> = Promise.resolve();

  constructor(options: RelayOptions) {
    this.#options = options;
    this.name = options.name;
    this.leg = options.leg;
    this.upstream = options.upstream;
    this.#listen = options.listen;
  }

  get listen(): Address {
    return this.#listen;
  }
  get isEnabled(): boolean {
    return this.#isEnabled;
  }
  get connections(): number {
    return this.#connections.size;
  }

  /** @throws {RelayError} relay-listen-failed */
  async enable(isEnabled: boolean): Promise<void> {
    this.#isEnabled = isEnabled;
    await this.#settle();
  }

  /** Connections that there are end. @throws {RelayError} relay-listen-failed */
  async move(listen: Address, upstream: Address): Promise<void> {
    const wasEnabled = this.#isEnabled;
    await this.enable(false);
    this.#listen = listen;
    this.upstream = upstream;
    await this.enable(wasEnabled);
  }

  /** @throws {RelayError} toxic-exists, relay-too-many, relay-listen-failed */
  async add(toxic: ActiveToxic): Promise<void> {
    if (this.toxics.has(toxic.name)) throw new RelayError('toxic-exists', 'toxic already exists');
    if (this.toxics.size >= toxicsMax) throw new RelayError('relay-too-many', `more than ${toxicsMax} toxics`);
    this.toxics.set(toxic.name, toxic);
    for (const connection of this.#connections) connection.apply(toxic);
    const { type, attributes } = toxic.toxic;
    if (type === 'down') this.#takeDown(toxic);
    if (type === 'flap') this.#flap(toxic, attributes.up, attributes.down);
    await this.#settle();
  }

  /** @returns whether it was there @throws {RelayError} relay-listen-failed */
  async remove(name: string): Promise<boolean> {
    const wasThere = this.toxics.delete(name);
    for (const connection of this.#connections) connection.lift(name);
    this.#flaps.get(name)?.();
    this.#flaps.delete(name);
    this.#downBy.delete(name);
    await this.#settle();
    return wasThere;
  }

  async close(): Promise<void> {
    for (const cancel of this.#flaps.values()) cancel();
    await this.enable(false);
  }

  #takeDown({ name, toxic }: ActiveToxic): void {
    this.#downBy.add(name);
    this.#options.acted({ rule: name, action: toxic.type, relay: this.name, ...this.#leg() });
  }

  #flap(toxic: ActiveToxic, upMs: number, downMs: number): void {
    const { clock } = this.#options;
    const turn = (isDown: boolean): void => {
      if (isDown) this.#takeDown(toxic);
      else this.#downBy.delete(toxic.name);
      // A port that somebody else has taken meanwhile is tried again the next time.
      void this.#settle().catch(() => undefined);
      this.#flaps.set(
        toxic.name,
        clock.after(isDown ? downMs : upMs, () => turn(!isDown)),
      );
    };
    turn(true);
  }

  /** One change after the other. */
  #settle(): Promise<void> {
    const done = this.#settling.then(() => this.#reconcile());
    this.#settling = done.catch(() => undefined);
    return done;
  }

  async #reconcile(): Promise<void> {
    const shouldListen = this.#isEnabled && this.#downBy.size === 0;
    if (shouldListen && this.#server === undefined) await this.#open();
    else if (!shouldListen && this.#server !== undefined) await this.#shut(this.#server);
  }

  async #open(): Promise<void> {
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (client) => this.#take(client));
    try {
      server.listen(this.#listen.port, this.#listen.host);
      await once(server, 'listening');
    } catch (cause) {
      this.#isEnabled = false;
      const message = `${formatAddress(this.#listen)} cannot be listened on: ${errorText(cause)}`;
      throw new RelayError('relay-listen-failed', message, { cause });
    }
    this.#server = server;
    this.#listen = { host: this.#listen.host, port: (server.address() as AddressInfo).port };
  }

  async #shut(server: Server): Promise<void> {
    this.#server = undefined;
    const closed = once(server, 'close');
    server.close();
    for (const connection of this.#connections) connection.cut('reset');
    await closed;
  }

  #take(client: Socket): void {
    if (this.#connections.size >= this.#options.connectionsMax) {
      client.resetAndDestroy();
      return;
    }
    this.#count += 1;
    const number = this.#count;
    const server = connect({ ...this.upstream, allowHalfOpen: true });
    const connection = new RelayConnection(client, server, {
      number,
      clock: this.#options.clock,
      acted: (toxic, stream) => this.#acted(toxic, stream, number),
    });
    this.#connections.add(connection);
    for (const socket of [client, server]) {
      socket.on('close', () => {
        if (client.closed && server.closed) this.#connections.delete(connection);
      });
    }
    for (const toxic of this.toxics.values()) connection.apply(toxic);
    server.once('connect', () => client.resume());
  }

  #acted({ name, toxic }: ActiveToxic, _stream: Stream, connection: number): void {
    this.#options.acted({ rule: name, action: toxic.type, relay: this.name, connection, ...this.#leg() });
  }

  #leg(): { leg?: Leg } {
    return this.leg === undefined ? {} : { leg: this.leg };
  }
}
