import { join } from 'node:path';
import oracledb from 'oracledb';
import { freePort } from '../../fixtures/lab/ports.js';
import { account, node, openWorld, type World } from '../../fixtures/lab/world.js';
import { parseAddress } from '../../shim/program/address.js';
import { errorText } from '../../shim/program/errors.js';
import { loadSecurity } from '../../shim/program/security.js';
import { type FaultTarget, relayTarget } from '../inject/targets.js';
import { Operator } from '../operator.js';
import { imageEnvironment } from './copies.js';
import { RehearseError } from './errors.js';
import type { Launch } from './load.js';
import type { ApplicationPlan } from './plan.js';
import { Stranger } from './stranger.js';

/** Where transactions go, and as whom. */
export interface Database {
  /** HOST:PORT. */
  readonly address: string;
  readonly service: string;
  readonly user: string;
  readonly password: string;
}

/** A whole installation of its own, on this machine and without root: two nodes, agents, a proxy; and a database, if none is named. */
export class Ground {
  readonly world: World;
  readonly operator: Operator;
  readonly database: Database;
  /** Who dials the proxy, and is no shim of an application. */
  readonly stranger: Stranger;
  /** Makes faults of transport, where there is one. */
  readonly relay: FaultTarget | undefined;

  private constructor(world: World, database: Database) {
    this.world = world;
    this.database = database;
    this.relay = world.relays === undefined ? undefined : relayTarget(world.relays.api);
    const [, cluster = '', , secretFile] = world.files;
    const certificates = { tlsCert: undefined, tlsKey: undefined, tlsCa: undefined };
    this.operator = new Operator({ cluster, secretFile, insecurePlaintext: false, ...certificates });
    const proxy = parseAddress(world.proxyAddress);
    if (proxy === undefined) throw new Error(`${world.proxyAddress} is no address`);
    this.stranger = new Stranger(proxy, loadSecurity({ secretFile, insecurePlaintext: false, ...certificates }));
    // For applications, in their environment: everybody may read command lines.
    process.env[passwordVariable] = database.password;
  }

  /** @param database a database of one's own; left out, `holdfast-oracle` is started */
  static async open(
    database: Database | undefined,
    proxyOptions: readonly string[],
    proxyFlags: readonly string[] = [],
  ): Promise<Ground> {
    const own = database === undefined ? {} : { database: database.address };
    const world = await openWorld({ mover: 'relink', relays: true, proxyOptions, proxyFlags, ...own });
    return new Ground(world, database ?? { address: world.databaseAddress, ...account });
  }

  /** A connection that no fault can reach. @throws {RehearseError} database-unusable */
  async connect(): Promise<oracledb.Connection> {
    const { address, service, user, password } = this.database;
    try {
      return await oracledb.getConnection({ user, password, connectString: `${address}/${service}` });
    } catch (cause) {
      throw new RehearseError('database-unusable', `no connection to ${address}/${service}: ${errorText(cause)}`, {
        cause,
      });
    }
  }

  /** Applications as workloads at node-a, each with its shim. @param keepsImages see `Copies` */
  launchWorkload(keepsImages: boolean): Launch {
    return (name, plan) => this.#launchWorkload(name, plan, keepsImages ? imageEnvironment : {});
  }

  async #launchWorkload(name: string, plan: ApplicationPlan, more: Readonly<Record<string, string>>): Promise<string> {
    const listen = `127.0.0.1:${await freePort('127.0.0.1')}`;
    const { file, args } = this.#command(listen, JSON.stringify(plan));
    const host = parseAddress(listen);
    if (host === undefined) throw new Error(`${listen} is no address`);
    const env = { HOME: '/', PATH: process.env.PATH ?? '', [passwordVariable]: this.database.password, ...more };
    const request = { name, command: [file, ...args], cwd: process.cwd(), env, listen: host };
    await this.operator.ask('node-a', 'run', request, { timeoutMs: 0 });
    return join(this.world.directory, 'state/workloads', name, 'app.log');
  }

  /** Applications that connect to `address`, with nothing of Holdfast in between. */
  launchAt(address: string): Launch {
    return async (name, plan) => {
      this.world.start(name, 'center', this.#command(address, JSON.stringify(plan)));
      return join(this.world.directory, `${name}.log`);
    };
  }

  /** Ends what is left of a workload. */
  async stop(name: string): Promise<void> {
    const { node: at } = await this.operator.find(name);
    await this.operator.ask(at, 'stop', { name }, { timeoutMs: 0 });
  }

  close(): Promise<void> {
    return this.world.close();
  }

  #command(address: string, plan: string): ReturnType<typeof node> {
    const { service, user } = this.database;
    return node(application, `${address}/${service}`, user, plan);
  }
}

const passwordVariable = 'REHEARSE_PASSWORD';
const application = new URL('./application.js', import.meta.url).pathname;
