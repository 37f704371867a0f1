/** Who a session is, gathered from the connect data, the driver's login messages and the database's answers to them. */
import { type Connect, type DescriptorNode, descriptorValue, parseDescriptor, TnsError } from '../tns/index.js';
import {
  agreedCapabilities,
  type LoginRequest,
  offeredCapabilities,
  readDataTypesRequest,
  readFastAuthRequest,
  readLoginReply,
  readLoginRequest,
  readProtocolReply,
  type TtcCapabilities,
} from '../ttc/index.js';
import { limits } from './limits.js';
import type { KnownHead } from './requests.js';
import type { IdentityState, SessionIdentity } from './view.js';
import type { Writable } from './writable.js';

/** Until both ends have told: no end-of-call status, so that nothing is concluded from it. */
export const unknownCapabilities: TtcCapabilities = {
  fieldVersion: 0,
  endOfCallStatus: false,
  endOfResponse: true,
  plainTexts: false,
  wideScales: false,
};

/** Keys of a server's login answer. Session keys and password proofs are never looked at. */
const replyKeys = [
  'AUTH_SESSION_ID',
  'AUTH_SERIAL_NUM',
  'AUTH_SC_SERVICE_NAME',
  'AUTH_SC_INSTANCE_NAME',
  'AUTH_INSTANCENAME',
  'AUTH_SC_DBUNIQUE_NAME',
  'AUTH_DBNAME',
] as const;

export const unknownIdentity: IdentityState = {
  known: {
    user: undefined,
    service: undefined,
    sid: undefined,
    serial: undefined,
    instance: undefined,
    database: undefined,
    driver: undefined,
    driverVersion: undefined,
    program: undefined,
    machine: undefined,
    osUser: undefined,
    processId: undefined,
    stale: false,
  },
  capabilities: unknownCapabilities,
  client: undefined,
  server: undefined,
};

export class IdentityTracker {
  readonly #at: Writable<IdentityState>;
  readonly #known: Writable<SessionIdentity>;

  constructor(state: IdentityState) {
    this.#known = { ...state.known };
    this.#at = { ...state, known: this.#known };
  }

  state(): IdentityState {
    return { ...this.#at, known: { ...this.#known } };
  }

  get capabilities(): TtcCapabilities {
    return this.#at.capabilities;
  }

  /** The session may be another's after this (DRCP). */
  released(): void {
    this.#known.stale = true;
  }

  /** The database's pool has given the driver a session. */
  switched(session: { readonly sid: number; readonly serial: number }): void {
    this.#known.sid = session.sid;
    this.#known.serial = session.serial;
    this.#known.stale = false;
  }

  connected(connect: Connect | undefined, connectData: string | undefined): void {
    if (connect === undefined || connectData === undefined) return;
    const descriptor = parse(connectData);
    if (descriptor === undefined) return;
    const data = (...path: string[]): string | undefined => clean(descriptorValue(descriptor, 'CONNECT_DATA', ...path));
    this.#known.service = data('SERVICE_NAME') ?? data('SID');
    this.#known.program = data('CID', 'PROGRAM');
    this.#known.machine = data('CID', 'HOST');
    this.#known.osUser = data('CID', 'USER');
  }

  /** A login or negotiation message of the driver, whole. */
  fromDriver(head: KnownHead, payload: Buffer): void {
    if (head.kind === 'fast-auth') {
      const request = readFastAuthRequest(payload);
      if (request.kind !== 'read') return;
      this.#known.driver = clean(request.value.driver);
      this.#at.client = offeredCapabilities(request.value.client);
      this.#login(request.value.login);
    } else if (head.kind === 'negotiation' && head.message === 'data-types') {
      const request = readDataTypesRequest(payload);
      if (request.kind === 'read') this.#at.client = offeredCapabilities(request.value);
    } else if (head.kind === 'call') {
      const request = readLoginRequest(payload, this.#at.capabilities);
      if (request.kind === 'read') this.#login(request.value);
    }
    this.#negotiate();
  }

  /** The database's answer to one of them, whole. Returns true when it names the session: the login is done. */
  fromDatabase(payload: Buffer): boolean {
    const protocol = readProtocolReply(payload);
    if (protocol.kind === 'read') {
      this.#at.server = offeredCapabilities(protocol.value);
      this.#negotiate();
    }
    const pairs = readLoginReply(payload, replyKeys);
    const sid = Number(pairs.get('AUTH_SESSION_ID'));
    if (!Number.isInteger(sid)) return false;
    const serial = Number(pairs.get('AUTH_SERIAL_NUM'));
    const known = this.#known;
    known.sid = sid;
    known.serial = Number.isInteger(serial) ? serial : undefined;
    known.service = clean(pairs.get('AUTH_SC_SERVICE_NAME')) ?? known.service;
    known.instance = clean(pairs.get('AUTH_SC_INSTANCE_NAME') ?? pairs.get('AUTH_INSTANCENAME'));
    known.database = clean(pairs.get('AUTH_SC_DBUNIQUE_NAME') ?? pairs.get('AUTH_DBNAME'));
    known.stale = false;
    return true;
  }

  #login(login: LoginRequest): void {
    const known = this.#known;
    const value = (key: string): string | undefined => clean(login.pairs.get(key));
    known.user = clean(login.user) ?? known.user;
    known.program = value('AUTH_PROGRAM_NM') ?? known.program;
    known.machine = value('AUTH_MACHINE') ?? known.machine;
    known.osUser = value('AUTH_SID') ?? known.osUser;
    known.processId = value('AUTH_PID') ?? known.processId;
    known.driver = value('SESSION_CLIENT_DRIVER_NAME') ?? known.driver;
    known.driverVersion = value('SESSION_CLIENT_VERSION') ?? known.driverVersion;
  }

  #negotiate(): void {
    const { client, server } = this.#at;
    if (client !== undefined && server !== undefined) this.#at.capabilities = agreedCapabilities(client, server);
  }
}

function parse(connectData: string): DescriptorNode | undefined {
  try {
    return parseDescriptor(connectData, 'frontend');
  } catch (error) {
    if (error instanceof TnsError) return undefined;
    throw error;
  }
}

/** A value fit for tables and logs: bounded, no control characters, nothing for the empty text. */
function clean(value: string | undefined): string | undefined {
  if (value === undefined) return undefined;
  const printable = value.slice(0, limits.identityCharactersMax).replaceAll(/\p{Cc}/gu, '');
  return printable === '' ? undefined : printable;
}
