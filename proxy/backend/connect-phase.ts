/**
 * The connect phase of one session: from the driver's CONNECT to the one answer the driver sees. Pure; session.ts performs
 * the actions.
 *
 *                 CONNECT whole                 connected                 ACCEPT or REFUSE
 *   ┌────────────┐ ─────────► ┌─────────┐ ──────────────► ┌───────────┐ ───────────────────► ┌─────────┐
 *   │ collecting │            │ dialing │                 │ answering │◄──┐ RESEND: the same  │ settled │
 *   └────────────┘            └─────────┘ ◄────────────── └───────────┘ ──┘ CONNECT again     └─────────┘
 *          │ TLS handshake      │   ▲   REDIRECT: dial its address                              ▲
 *          │                    │   │   RESEND with TLS: another handshake                      │
 *          │                    │   │   refused, failed: dial the next address                  │
 *          └──────────────────► │   │                                                           │
 *                               └───┴── connected, driver speaks TLS: all passes, unread ───────┘
 *   any state ── limit, not Oracle Net, no address left ──► failed (a REFUSE to the driver where it understands one)
 *
 * The driver must not see REDIRECT or RESEND: it would walk around the proxy (oracle-net facts, 2), and once a proxy has
 * changed the CONNECT, its RESEND would have to be changed again. With several addresses it sees the answer of the one that
 * took the session, or of the last one tried.
 *
 * The database is dialed when the CONNECT is whole, not before: port scans and health checks of the shim's port make no
 * connection to the database.
 */
import {
  type Accept,
  acceptWithoutOutOfBand,
  type Connect,
  encodeRefuse,
  PacketCollector,
  PacketType,
  TnsError,
  tnsLimits,
} from '../tns/index.js';
import { type DatabaseAddress, formatDatabase, redirectAddress } from './address.js';
import { ConnectRequest } from './connect-request.js';
import { BackendError, type BackendErrorCode, connectionFailure, refuseNumber } from './errors.js';
import type { BackendLimits } from './limits.js';
import { AnswerReader, type ListenerAnswer } from './listener-answer.js';

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

/** Where to connect, and what TLS needs to know of it. */
export interface DialPlan {
  readonly address: DatabaseAddress;
  /** The address of `--database` that led here: a certificate for its host counts too, as it does for drivers. */
  readonly origin: DatabaseAddress;
  readonly connectData: string;
  /** Oracle Net version of the driver. */
  readonly version: number;
}

export type ConnectAction =
  /** Connect, instead of the present connection if there is one. */
  | ({ readonly kind: 'dial' } & DialPlan)
  /** Another TLS handshake on the present connection. */
  | { readonly kind: 'secure' }
  | { readonly kind: 'send'; readonly bytes: Buffer }
  /** Bytes for the driver. */
  | { readonly kind: 'answer'; readonly bytes: Buffer }
  /** An address did not take the session; the next one is dialed. */
  | { readonly kind: 'skip'; readonly error: BackendError }
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
  readonly #addresses: readonly DatabaseAddress[];
  readonly #refused: BackendError | undefined;
  #attempt = 0;
  #address: DatabaseAddress;
  #driver = new PacketCollector('frontend', tnsLimits.connectPacketBytesMax);
  #request = new ConnectRequest();
  #answers = new AnswerReader();
  #isTls = false;
  /** The CONNECT as it goes to the present address. */
  #packets: readonly Buffer[] = [];
  #redirects = 0;
  #resends = 0;

  /**
   * @param options.addresses at least one, in the order in which they are tried
   * @param options.refused why there may not be this session: the driver is told once its CONNECT is there
   */
  constructor(options: {
    addresses: readonly DatabaseAddress[];
    limits: BackendLimits;
    refused?: BackendError | undefined;
  }) {
    this.#refused = options.refused;
    this.#addresses = options.addresses;
    this.#limits = options.limits;
    this.#address = this.#origin;
  }

  /** Where the database is, after failures and redirects so far. */
  get address(): DatabaseAddress {
    return this.#address;
  }

  /** Bytes of the driver; in state `dialing` and `answering` they are kept for later, up to `earlyBytesMax`. */
  fromDriver(chunk: Buffer): readonly ConnectAction[] {
    this.#driver.push(chunk);
    if (this.state === 'collecting') return this.#guard(() => this.#collect());
    if (this.#driver.heldBytes > this.#limits.earlyBytesMax) {
      const message = `more than ${this.#limits.earlyBytesMax} bytes before the database answered`;
      return this.#fail(new BackendError('driver-too-early', message));
    }
    return [];
  }

  /** The connection is made, its TLS handshake included where the address wants one. */
  dialed(): readonly ConnectAction[] {
    if (this.#isTls) return [this.#settle({ kind: 'opaque' })];
    this.state = 'answering';
    return this.#sendConnect();
  }

  /** The connection could not be made; `cause` is the error of the system or of TLS. */
  dialFailed(cause: { readonly code?: string | undefined; readonly message: string }): readonly ConnectAction[] {
    const code = connectionFailure(cause.code) ?? 'database-dial-failed';
    return this.#next(code, `no connection to ${this.#where()}: ${cause.message}`, cause);
  }

  fromDatabase(chunk: Buffer): readonly ConnectAction[] {
    this.#answers.push(chunk);
    return this.#guard(() => {
      const answer = this.#answers.next();
      return answer === undefined ? [] : this.#take(answer);
    });
  }

  databaseEnded(cause?: NodeJS.ErrnoException): readonly ConnectAction[] {
    // A listener that wants another certificate of ours says so after the handshake (TLS 1.3).
    const code = connectionFailure(cause?.code) ?? 'database-closed-early';
    const why = cause === undefined ? '' : `: ${cause.message}`;
    return this.#next(code, `${this.#where()} closed the connection without an answer${why}`, cause);
  }

  /** `answerMs` is over. With no other address to try there is no reason to give up yet. */
  answerTimedOut(): readonly ConnectAction[] {
    if (this.state !== 'answering' || !this.#hasNext) return [];
    const message = `${this.#where()} did not answer within ${this.#limits.answerMs} ms`;
    return this.#next('database-answer-timeout', message);
  }

  /** `connectMs` is over. */
  timedOut(): readonly ConnectAction[] {
    const ms = this.#limits.connectMs;
    if (this.state === 'collecting') {
      return this.#fail(new BackendError('driver-connect-timeout', `no whole CONNECT within ${ms} ms`));
    }
    if (this.state === 'dialing') {
      return this.#fail(new BackendError('database-dial-timeout', `no connection to ${this.#where()} within ${ms} ms`));
    }
    return this.#fail(new BackendError('database-answer-timeout', `${this.#where()} did not answer within ${ms} ms`));
  }

  #collect(): readonly ConnectAction[] {
    if (this.#request.connect === undefined) {
      const head = peek(this.#driver);
      if (looksLikeTls(head)) {
        this.#isTls = true;
        if (this.#refused !== undefined) return this.#fail(this.#refused);
        return this.#dial(this.#origin);
      }
      if (head.length >= headBytes && head[packetTypeOffset] !== PacketType.connect) {
        return this.#fail(new BackendError('driver-not-oracle-net', 'the first bytes are no Oracle Net CONNECT'));
      }
    }
    for (;;) {
      const packet = this.#driver.next();
      if (packet === undefined) return [];
      if (!this.#request.take(packet)) continue;
      if (this.#refused === undefined) return this.#begin();
      this.state = 'answering';
      return this.#fail(this.#refused);
    }
  }

  /** Dials the present one of the configured addresses. */
  #begin(): readonly ConnectAction[] {
    this.#redirects = 0;
    this.#resends = 0;
    this.#packets = this.#request.packets();
    return this.#dial(this.#origin);
  }

  #dial(address: DatabaseAddress): readonly ConnectAction[] {
    this.state = 'dialing';
    // The driver's own handshake goes through to a listener that expects one.
    this.#address = this.#isTls ? { host: address.host, port: address.port } : address;
    this.#answers = new AnswerReader();
    const { connectData, connect } = this.#request;
    return [
      { kind: 'dial', address: this.#address, origin: this.#origin, connectData, version: connect?.version ?? 0 },
    ];
  }

  #sendConnect(): readonly ConnectAction[] {
    return this.#packets.map((bytes) => ({ kind: 'send', bytes }) as const);
  }

  #take(answer: ListenerAnswer): readonly ConnectAction[] {
    switch (answer.kind) {
      case 'accept': {
        const { accept, packet } = answer;
        return [{ kind: 'answer', bytes: acceptWithoutOutOfBand(packet) }, this.#settle({ kind: 'accepted', accept })];
      }
      case 'refuse': {
        const { bytes, number } = answer;
        if (this.#hasNext) return this.#next('database-refused', `${this.#where()} refused: ${number ?? 'no number'}`);
        return [{ kind: 'answer', bytes }, this.#settle({ kind: 'refused', number })];
      }
      case 'resend':
        return this.#resend(answer.tls);
      case 'redirect':
        return this.#follow(answer.target);
    }
  }

  #resend(tls: boolean): readonly ConnectAction[] {
    if (tls && this.#address.tls !== true) {
      return this.#next('database-wants-tls', `${this.#where()} asks for TLS; give it as tcps://${this.#where()}`);
    }
    this.#resends += 1;
    if (this.#resends > this.#limits.resendsMax) {
      return this.#next('database-too-many-redirects', `${this.#where()} asked for the CONNECT again too often`);
    }
    if (!tls) return this.#sendConnect();
    this.state = 'dialing';
    return [{ kind: 'secure' }];
  }

  #follow(target: { readonly address: string; readonly connectData: string | undefined }): readonly ConnectAction[] {
    this.#redirects += 1;
    if (this.#redirects > this.#limits.redirectsMax) {
      return this.#next('database-too-many-redirects', `more than ${this.#limits.redirectsMax} redirects`);
    }
    const address = redirectAddress(target.address);
    if (address === undefined) {
      return this.#next('database-redirect-unusable', `redirected to ${JSON.stringify(target.address)}`);
    }
    if (this.#address.tls === true && address.tls !== true) {
      const message = `redirected from ${this.#where()} to ${formatDatabase(address)}, which has no TLS`;
      return this.#next('database-redirect-unusable', message);
    }
    this.#packets = this.#request.redirected(target.connectData);
    return this.#dial(address);
  }

  #settle(outcome: Settled['outcome']): Settled {
    this.state = 'settled';
    const { connect, connectData, bytes } = this.#request;
    return {
      kind: 'settled',
      outcome,
      connect,
      connectData: connect === undefined ? undefined : connectData,
      answeredBytes: bytes,
      fromDriver: this.#driver.takeRest(),
      fromDatabase: this.#answers.takeRest(),
    };
  }

  /** The present address is of no use: the next one, or the end. */
  #next(code: BackendErrorCode, message: string, cause?: unknown): readonly ConnectAction[] {
    const error = new BackendError(code, message, cause);
    if (!this.#hasNext) return this.#fail(error);
    this.#attempt += 1;
    return [{ kind: 'skip', error }, ...this.#begin()];
  }

  #fail(error: BackendError): readonly ConnectAction[] {
    const understandsRefuse = this.#request.connect !== undefined && this.state !== 'collecting';
    this.state = 'failed';
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
      if (error.source === 'frontend') {
        return this.#fail(new BackendError('driver-not-oracle-net', error.message, error));
      }
      const message = `${this.#where()} did not answer in Oracle Net: ${error.message}`;
      return this.#next('database-not-oracle-net', message, error);
    }
  }

  get #origin(): DatabaseAddress {
    const address = this.#addresses[this.#attempt];
    if (address === undefined) throw new Error('a connect phase without an address');
    return address;
  }

  get #hasNext(): boolean {
    return this.#attempt + 1 < this.#addresses.length;
  }

  #where(): string {
    return formatDatabase(this.#address);
  }
}

/** The REFUSE a listener would send for this number. */
export function refusal(number: number): Buffer {
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
