/**
 * The connect phase of one session: from the driver's CONNECT to the one answer the driver sees. Pure; session.ts performs
 * the actions.
 *
 *                 CONNECT whole                 dialed                    ACCEPT or REFUSE
 *   ┌────────────┐ ─────────► ┌─────────┐ ──────────────► ┌───────────┐ ───────────────────► ┌─────────┐
 *   │ collecting │            │ dialing │                 │ answering │◄──┐ RESEND: the same  │ settled │
 *   └────────────┘            └─────────┘ ◄────────────── └───────────┘ ──┘ CONNECT again     └─────────┘
 *          │ TLS handshake      │   ▲     REDIRECT: dial                                          ▲
 *          └──────────────────► │   │     its address                                             │
 *                               └───┴── dialed, for TLS: everything passes, nothing is read ──────┘
 *   any state ── limit, not Oracle Net, dial failed, database gone ──► failed (a REFUSE to the driver where it understands one)
 *
 * The driver must not see REDIRECT or RESEND: it would walk around the proxy (oracle-net facts, 2), and once a proxy has
 * changed the CONNECT, its RESEND would have to be changed again. The bits that offer out-of-band breaks are cleared both ways,
 * because no proxy written in Node.js can carry the urgent byte (oracle-net facts, 3).
 *
 * The database is dialed when the CONNECT is whole, not before: port scans and health checks of the shim's port make no
 * connection to the database.
 */
import {
  type Accept,
  acceptWithoutOutOfBand,
  type Connect,
  connectWithData,
  connectWithoutOutOfBand,
  type DescriptorNode,
  dataHeaderBytes,
  descriptorValue,
  encodeRefuse,
  findDescriptor,
  type Packet,
  PacketCollector,
  PacketFlag,
  PacketType,
  parseAccept,
  parseConnect,
  parseDescriptor,
  parseRedirect,
  parseRefuse,
  payloadOf,
  redirectTarget,
  refuseError,
  TnsError,
  tnsLimits,
} from '../tns/index.js';
import { BackendError, refuseNumber } from './errors.js';
import type { BackendLimits } from './limits.js';

export interface DatabaseAddress {
  readonly host: string;
  readonly port: number;
}

/** What the connect phase found out; the session starts from it. */
export interface Settled {
  readonly kind: 'settled';
  readonly outcome:
    | { readonly kind: 'accepted'; readonly accept: Accept }
    /** The listener said no; `number` is its ORA/TNS number where the text has one. */
    | { readonly kind: 'refused'; readonly number: number | undefined }
    /** TLS from end to end. */
    | { readonly kind: 'opaque' };
  /** The driver's CONNECT; undefined when it speaks TLS. */
  readonly connect: Connect | undefined;
  /** The connect descriptor, wherever it stood. */
  readonly connectData: string | undefined;
  /** Bytes of the driver that this phase answered itself. */
  readonly answeredBytes: number;
  /** Bytes of the driver behind those, to be sent on. */
  readonly fromDriver: Buffer;
  /** Bytes of the database behind its answer, to be passed on. */
  readonly fromDatabase: Buffer;
}

export type ConnectAction =
  /** Connect to this address, instead of the present connection if there is one. */
  | { readonly kind: 'dial'; readonly address: DatabaseAddress }
  | { readonly kind: 'send'; readonly bytes: Buffer }
  /** Bytes for the driver. */
  | { readonly kind: 'answer'; readonly bytes: Buffer }
  | Settled
  | { readonly kind: 'fail'; readonly error: BackendError };

export type ConnectPhaseState = 'collecting' | 'dialing' | 'answering' | 'settled' | 'failed';

/** First byte of a TLS record that carries a handshake, and its major version. A CONNECT has length and checksum there. */
const tlsHandshake = 0x16;
const tlsMajor = 0x03;
const packetTypeOffset = 4;
const headBytes = 8;
/** What listeners put into the reason byte of a REFUSE. */
const refuseReasons = { user: 34, system: 0 } as const;

export class ConnectPhase {
  state: ConnectPhaseState = 'collecting';
  readonly #limits: BackendLimits;
  #address: DatabaseAddress;
  #driver = new PacketCollector('frontend', tnsLimits.connectPacketBytesMax);
  #database = new PacketCollector('backend', tnsLimits.connectPacketBytesMax);
  #isTls = false;
  #connect: Connect | undefined;
  #connectData = '';
  #answeredBytes = 0;
  /** The CONNECT as it goes to the database: without the out-of-band bits, with the connect data of the last redirect. */
  #packets: Buffer[] = [];
  #redirects = 0;
  #resends = 0;
  /** A REDIRECT whose data comes in the DATA packets behind it. */
  #redirect: { flags: number; dataBytes: number; data: Buffer } | undefined;

  constructor(options: { address: DatabaseAddress; limits: BackendLimits }) {
    this.#address = options.address;
    this.#limits = options.limits;
  }

  /** Where the database is, after the redirects so far. */
  get address(): DatabaseAddress {
    return this.#address;
  }

  /** Bytes of the driver; in state `dialing` and `answering` they are kept for later, up to `earlyBytesMax`. */
  fromDriver(chunk: Buffer): readonly ConnectAction[] {
    this.#driver.push(chunk);
    if (this.state === 'collecting') return this.#guard(() => this.#collect());
    if (this.#driver.heldBytes > this.#limits.earlyBytesMax) {
      return this.#fail(
        'driver-too-early',
        `more than ${this.#limits.earlyBytesMax} bytes before the database answered`,
      );
    }
    return [];
  }

  dialed(): readonly ConnectAction[] {
    if (this.#isTls) return [this.#settle({ kind: 'opaque' })];
    this.state = 'answering';
    return this.#sendConnect();
  }

  /** The connection could not be made; `cause` is the system's error. */
  dialFailed(cause: { readonly code?: string | undefined; readonly message: string }): readonly ConnectAction[] {
    const code = (cause.code !== undefined && dialFailures[cause.code]) || 'database-dial-failed';
    return this.#fail(code, `no connection to ${this.#where()}: ${cause.message}`, cause);
  }

  fromDatabase(chunk: Buffer): readonly ConnectAction[] {
    this.#database.push(chunk);
    return this.#guard(() => this.#answers());
  }

  databaseEnded(cause?: Error): readonly ConnectAction[] {
    return this.#fail('database-closed-early', `${this.#where()} closed the connection without an answer`, cause);
  }

  /** `connectMs` is over. */
  timedOut(): readonly ConnectAction[] {
    const ms = this.#limits.connectMs;
    if (this.state === 'collecting') return this.#fail('driver-connect-timeout', `no whole CONNECT within ${ms} ms`);
    if (this.state === 'dialing') {
      return this.#fail('database-dial-timeout', `no connection to ${this.#where()} within ${ms} ms`);
    }
    return this.#fail('database-answer-timeout', `${this.#where()} did not answer within ${ms} ms`);
  }

  #collect(): readonly ConnectAction[] {
    if (this.#connect === undefined) {
      const head = peek(this.#driver);
      if (looksLikeTls(head)) {
        this.#isTls = true;
        return this.#dial(this.#address);
      }
      if (head.length >= headBytes && head[packetTypeOffset] !== PacketType.connect) {
        return this.#fail('driver-not-oracle-net', 'the first bytes are no Oracle Net CONNECT');
      }
    }
    for (;;) {
      const packet = this.#driver.next();
      if (packet === undefined) return [];
      this.#answeredBytes += packet.bytes.length;
      if (this.#takeConnect(packet)) return this.#dial(this.#address);
    }
  }

  /** Takes the CONNECT or a DATA packet behind it; true when connect data is whole. */
  #takeConnect(packet: Packet): boolean {
    if (this.#connect === undefined) {
      this.#connect = parseConnect(packet.bytes, 'frontend');
      this.#packets.push(connectWithoutOutOfBand(packet.bytes));
      this.#connectData = this.#connect.connectData ?? '';
      return this.#connect.connectData !== undefined;
    }
    if (packet.type !== PacketType.data) {
      throw new TnsError('packet-unexpected', 'frontend', `packet of type ${packet.type} instead of connect data`);
    }
    const payload = payloadOf(packet.bytes);
    // Empty packets would make an endless CONNECT.
    if (payload.length === 0) throw new TnsError('field-invalid', 'frontend', 'a DATA packet without connect data');
    this.#packets.push(packet.bytes);
    this.#connectData += payload.toString('latin1');
    return this.#connectData.length >= this.#connect.connectDataBytes;
  }

  #dial(address: DatabaseAddress): readonly ConnectAction[] {
    this.state = 'dialing';
    this.#address = address;
    this.#database = new PacketCollector('backend', tnsLimits.connectPacketBytesMax);
    return [{ kind: 'dial', address }];
  }

  #sendConnect(): readonly ConnectAction[] {
    return this.#packets.map((bytes) => ({ kind: 'send', bytes }) as const);
  }

  #answers(): readonly ConnectAction[] {
    const head = peek(this.#database);
    if (head.length >= headBytes && !answerTypes.has(head[packetTypeOffset] ?? 0)) {
      return this.#fail('database-not-oracle-net', `${this.#where()} did not answer in Oracle Net`);
    }
    const packet = this.#database.next();
    return packet === undefined ? [] : this.#answer(packet);
  }

  #answer(packet: Packet): readonly ConnectAction[] {
    if (this.#redirect !== undefined) return this.#redirectData(packet, this.#redirect);
    switch (packet.type) {
      case PacketType.accept: {
        const accept = parseAccept(packet.bytes, 'backend');
        const bytes = acceptWithoutOutOfBand(packet.bytes);
        return [{ kind: 'answer', bytes }, this.#settle({ kind: 'accepted', accept })];
      }
      case PacketType.refuse: {
        const text = parseRefuse(packet.bytes, 'backend').text;
        const number = text === undefined ? undefined : refuseError(text);
        return [{ kind: 'answer', bytes: packet.bytes }, this.#settle({ kind: 'refused', number })];
      }
      case PacketType.resend:
        return this.#resend(packet);
      case PacketType.redirect: {
        const { data, dataBytes } = parseRedirect(packet.bytes, 'backend');
        if (data !== undefined) return this.#follow(packet.flags, data);
        this.#redirect = { flags: packet.flags, dataBytes, data: Buffer.alloc(0) };
        return this.#answers();
      }
      default:
        throw new TnsError('packet-unexpected', 'backend', `packet of type ${packet.type} as an answer to CONNECT`);
    }
  }

  #resend(packet: Packet): readonly ConnectAction[] {
    if ((packet.flags & PacketFlag.tlsRenegotiate) !== 0) {
      return this.#fail('database-wants-tls', `${this.#where()} asks for a new TLS handshake`);
    }
    this.#resends += 1;
    if (this.#resends > this.#limits.resendsMax) {
      return this.#fail('database-too-many-redirects', `${this.#where()} asked for the CONNECT again too often`);
    }
    return this.#sendConnect();
  }

  #redirectData(
    packet: Packet,
    redirect: { flags: number; dataBytes: number; data: Buffer },
  ): readonly ConnectAction[] {
    if (packet.type !== PacketType.data) {
      throw new TnsError('packet-unexpected', 'backend', `packet of type ${packet.type} instead of redirect data`);
    }
    redirect.data = Buffer.concat([redirect.data, packet.bytes.subarray(dataHeaderBytes)]);
    if (redirect.data.length < redirect.dataBytes) return this.#answers();
    this.#redirect = undefined;
    return this.#follow(redirect.flags, redirect.data);
  }

  #follow(flags: number, data: Buffer): readonly ConnectAction[] {
    this.#redirects += 1;
    if (this.#redirects > this.#limits.redirectsMax) {
      return this.#fail('database-too-many-redirects', `more than ${this.#limits.redirectsMax} redirects`);
    }
    const target = redirectTarget(flags, data);
    const address = addressOf(target.address);
    if (address === undefined) {
      return this.#fail('database-redirect-unusable', `redirected to ${JSON.stringify(target.address)}`);
    }
    const [connect] = this.#packets;
    if (connect === undefined) throw new Error('a redirect without a CONNECT');
    this.#packets = connectWithData(connect, target.connectData ?? this.#connectData, { redirected: true });
    return this.#dial(address);
  }

  #settle(outcome: Settled['outcome']): Settled {
    this.state = 'settled';
    return {
      kind: 'settled',
      outcome,
      connect: this.#connect,
      connectData: this.#connect === undefined ? undefined : this.#connectData,
      answeredBytes: this.#answeredBytes,
      fromDriver: this.#driver.takeRest(),
      fromDatabase: this.#database.takeRest(),
    };
  }

  #fail(code: BackendError['code'], message: string, cause?: unknown): readonly ConnectAction[] {
    const understandsRefuse = this.#connect !== undefined && this.state !== 'collecting';
    this.state = 'failed';
    const error = new BackendError(code, message, cause);
    const number = refuseNumber(error);
    if (!understandsRefuse || number === undefined) return [{ kind: 'fail', error }];
    return [
      { kind: 'answer', bytes: refusal(number) },
      { kind: 'fail', error },
    ];
  }

  /** Codec errors become ours: whose bytes they were decides the code. */
  #guard(step: () => readonly ConnectAction[]): readonly ConnectAction[] {
    try {
      return step();
    } catch (error) {
      if (!(error instanceof TnsError)) throw error;
      const code = error.source === 'frontend' ? 'driver-not-oracle-net' : 'database-not-oracle-net';
      return this.#fail(code, error.message, error);
    }
  }

  #where(): string {
    return `${this.#address.host}:${this.#address.port}`;
  }
}

const dialFailures: Readonly<Record<string, BackendError['code']>> = {
  ECONNREFUSED: 'database-no-listener',
  ETIMEDOUT: 'database-dial-timeout',
  EHOSTUNREACH: 'database-unreachable',
  ENETUNREACH: 'database-unreachable',
  ENOTFOUND: 'database-unknown-host',
  EAI_AGAIN: 'database-unknown-host',
};

const answerTypes: ReadonlySet<number> = new Set([
  PacketType.accept,
  PacketType.refuse,
  PacketType.redirect,
  PacketType.resend,
  PacketType.data,
]);

/** The REFUSE a listener would send for this number. */
function refusal(number: number): Buffer {
  const text = `(DESCRIPTION=(TMP=)(VSNNUM=0)(ERR=${number})(ERROR_STACK=(ERROR=(CODE=${number})(EMFI=4))))`;
  return Buffer.concat(encodeRefuse(text, refuseReasons));
}

/** The bytes a collector holds; copies nothing when they came in one chunk, as they do. */
function peek(collector: PacketCollector): Buffer {
  const held = collector.takeRest();
  collector.push(held);
  return held;
}

function looksLikeTls(head: Buffer): boolean {
  return head[0] === tlsHandshake && head[1] === tlsMajor && (head[2] ?? 0) > 0;
}

/** The first TCP address in a redirect text; TCPS is not one, the proxy would have to speak TLS of its own. */
function addressOf(text: string): DatabaseAddress | undefined {
  let address: DescriptorNode | undefined;
  try {
    address = findDescriptor(parseDescriptor(text, 'backend'), 'ADDRESS');
  } catch (error) {
    if (error instanceof TnsError) return undefined;
    throw error;
  }
  if (address === undefined) return undefined;
  const host = descriptorValue(address, 'HOST');
  const port = Number(descriptorValue(address, 'PORT'));
  const protocol = descriptorValue(address, 'PROTOCOL')?.toUpperCase() ?? 'TCP';
  if (host === undefined || host === '' || protocol !== 'TCP') return undefined;
  return Number.isInteger(port) && port > 0 && port <= 65535 ? { host, port } : undefined;
}
