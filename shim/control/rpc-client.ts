import { lookup } from 'node:dns';
import type { LookupFunction, Socket } from 'node:net';
import { Client } from 'net-ipc';
import { type Address, formatAddress } from '../program/address.js';
import { errorCode, errorText, tlsReason } from '../program/errors.js';
import type { Identity } from '../program/identity.js';
import { clientTls, type Security } from '../program/security.js';
import * as limits from './limits.js';
import {
  type ClientMessage,
  type Contract,
  ControlError,
  type EventOf,
  firstIssue,
  fromWire,
  limitCodecs,
  limitMessages,
  type ReplyOf,
  type RequestOf,
  type ServerMessage,
  type Verbs,
} from './rpc.js';

/** Where a control server is reached, and whose certificate it must have. */
export type ControlTarget =
  | { readonly path: string }
  | { readonly address: Address; readonly security: Security; readonly expect: Identity };

export interface CallOptions<Event> {
  /** 0 waits as long as the connection lives. */
  readonly timeoutMs?: number;
  readonly onEvent?: (event: Event) => void;
}

export interface ControlClient<V extends Verbs> {
  /** Whether calls can still be made. */
  readonly isOpen: boolean;
  /** @throws {ControlError} timeout, closed, bad-reply, or what the handler threw at the other end */
  call<Name extends keyof V & string>(
    verb: Name,
    request: RequestOf<V[Name]>,
    options?: CallOptions<EventOf<V[Name]>>,
  ): Promise<ReplyOf<V[Name]>>;
  /** Resolves when the other end has closed too, or after a moment without it. Calls still waiting end with `closed`. */
  close(): Promise<void>;
}

/**
 * Opens a connection and checks that the right kind of program answers.
 * @throws {ControlError} unreachable, not-authorised, wrong-contract, timeout
 */
export async function connectControl<V extends Verbs>(
  contract: Contract<V>,
  target: ControlTarget,
  options: { readonly timeoutMs?: number } = {},
): Promise<ControlClient<V>> {
  const connection = new ClientConnection(contract, target);
  await connection.open(options.timeoutMs ?? limits.connectMsMax);
  return {
    get isOpen() {
      return connection.isOpen;
    },
    call: (verb, request, callOptions) =>
      connection.call(verb, request, callOptions as CallOptions<unknown>) as Promise<ReplyOf<V[typeof verb]>>,
    close: () => connection.close(),
  };
}

/** One call on a connection of its own. */
export async function callControl<V extends Verbs, Name extends keyof V & string>(
  contract: Contract<V>,
  target: ControlTarget,
  verb: Name,
  request: RequestOf<V[Name]>,
  options: CallOptions<EventOf<V[Name]>> = {},
): Promise<ReplyOf<V[Name]>> {
  const client = await connectControl(contract, target);
  try {
    return await client.call(verb, request, options);
  } finally {
    await client.close();
  }
}

interface Pending {
  readonly verb: string;
  readonly resolve: (body: unknown) => void;
  readonly reject: (error: ControlError) => void;
  readonly onEvent: ((event: unknown) => void) | undefined;
  readonly timer: NodeJS.Timeout | undefined;
}

class ClientConnection {
  readonly #contract: Contract;
  readonly #text: string;
  readonly #ipc: Client;
  readonly #pending = new Map<number, Pending>();
  readonly #closed: Promise<void>;
  #nextId = 1;
  #isOpen = false;
  #lastError: unknown;
  #welcome: ((error?: ControlError) => void) | undefined;

  constructor(contract: Contract, target: ControlTarget) {
    this.#contract = contract;
    this.#text = 'path' in target ? target.path : formatAddress(target.address);
    this.#ipc = new Client({ ...transport(target), messagepack: true, compress: false, reconnect: false });
    this.#ipc.on('error', (error: unknown) => {
      this.#lastError = error;
    });
    this.#ipc.on('message', (message: ServerMessage) => this.#receive(message));
    this.#closed = new Promise((resolve) => {
      this.#ipc.on('close', () => {
        this.#onClose();
        resolve();
      });
    });
  }

  /** net-ipc's own promise never rejects when it may not reconnect, so the close event and a timer stand in for it. */
  async open(timeoutMs: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    try {
      await new Promise<void>((resolve, reject) => {
        this.#welcome = (error) => (error === undefined ? resolve() : reject(error));
        timer = setTimeout(
          () => reject(new ControlError('timeout', 'proxy', `${this.#text} did not answer within ${timeoutMs} ms`)),
          timeoutMs,
        );
        const { name, version } = this.#contract;
        this.#ipc.connect({ contract: name, version }).catch(reject);
        limitCodecs(this.#ipc.connection as Socket);
        limitMessages(this.#ipc.connection as Socket, () => limits.messageBytesMax, limits.messagePauseMsMax);
      });
      this.#isOpen = true;
    } catch (error) {
      this.#ipc.destroy();
      throw error;
    } finally {
      clearTimeout(timer);
      this.#welcome = undefined;
    }
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  call(verb: string, body: unknown, options: CallOptions<unknown> = {}): Promise<unknown> {
    const timeoutMs = options.timeoutMs ?? limits.callMsMax;
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      if (!this.#isOpen) {
        reject(this.#closedError(verb));
        return;
      }
      const expire = () => {
        this.#pending.delete(id);
        reject(new ControlError('timeout', 'proxy', `${verb}: no answer from ${this.#text} within ${timeoutMs} ms`));
      };
      const timer = timeoutMs === 0 ? undefined : setTimeout(expire, timeoutMs);
      this.#pending.set(id, { verb, resolve, reject, onEvent: options.onEvent, timer });
      const message: ClientMessage = { kind: 'call', id, verb, body };
      // A failed write comes back as a value; the close event that follows it ends the call.
      this.#ipc.send(message).catch(() => undefined);
    });
  }

  async close(): Promise<void> {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    // The other end may be frozen, or a host that is no longer there.
    const timer = setTimeout(() => this.#ipc.destroy(), limits.closeMsMax);
    this.#ipc.connection.end();
    await this.#closed;
    clearTimeout(timer);
  }

  #receive(message: ServerMessage): void {
    switch (message.kind) {
      case 'welcome':
        this.#welcome?.();
        return;
      case 'refused':
        this.#welcome?.(fromWire({ ...message.error, message: `${this.#text}: ${message.error.message}` }));
        return;
      case 'event': {
        const pending = this.#pending.get(message.id);
        const schema = this.#contract.verbs[pending?.verb ?? '']?.event;
        const event = schema?.safeParse(message.body);
        if (event?.success) pending?.onEvent?.(event.data);
        return;
      }
      case 'reply':
      case 'failed':
        this.#settle(message);
    }
  }

  #settle(message: ServerMessage & { kind: 'reply' | 'failed' }): void {
    const pending = this.#pending.get(message.id);
    if (pending === undefined) return;
    this.#pending.delete(message.id);
    clearTimeout(pending.timer);
    if (message.kind === 'failed') {
      pending.reject(fromWire(message.error));
      return;
    }
    const reply = this.#contract.verbs[pending.verb]?.reply.safeParse(message.body);
    if (reply?.success) pending.resolve(reply.data);
    else {
      const issue = reply === undefined ? 'unknown verb' : firstIssue(reply.error);
      pending.reject(new ControlError('bad-reply', 'proxy', `${pending.verb}: answer of ${this.#text}: ${issue}`));
    }
  }

  #onClose(): void {
    this.#isOpen = false;
    this.#welcome?.(openError(this.#text, this.#lastError));
    for (const [id, pending] of this.#pending) {
      this.#pending.delete(id);
      clearTimeout(pending.timer);
      pending.reject(this.#closedError(pending.verb));
    }
  }

  #closedError(verb: string): ControlError {
    const why = this.#lastError === undefined ? '' : `: ${errorText(this.#lastError)}`;
    return new ControlError('closed', 'proxy', `${verb}: the connection to ${this.#text} is closed${why}`);
  }
}

function transport(target: ControlTarget): ConstructorParameters<typeof Client>[0] {
  if ('path' in target) return { path: target.path };
  const { host, port } = target.address;
  const security = clientTls(target.security, 'control', target.expect);
  // net-ipc sends the host as TLS server name, which must not be an IP address: it gets a name, and `lookup` the real host.
  const lookupHost: LookupFunction = (_name, how, done) => lookup(host, how, done);
  const options = { ...security, port, lookup: lookupHost };
  return { host: 'holdfast', port, tls: security !== undefined, options };
}

/** A connection that ended before the welcome: nobody there, somebody who does not take us, or who hung up. */
function openError(text: string, cause: unknown): ControlError {
  const code = errorCode(cause);
  const unreachable = new Set([
    'ECONNREFUSED',
    'ENOENT',
    'EHOSTUNREACH',
    'ENETUNREACH',
    'ETIMEDOUT',
    'ENOTFOUND',
    'EAI_AGAIN',
    'EACCES',
  ]);
  if (code !== undefined && unreachable.has(code)) {
    return new ControlError('unreachable', 'operator', `${text} cannot be reached: ${errorText(cause)}`, { cause });
  }
  if (hungUp(cause)) {
    // Whoever is killed at this moment does the same as a server that expects TLS and gets none.
    const why = cause === undefined || cause === null ? '' : ` (${errorText(cause)})`;
    const advice = 'is it being stopped, protected in another way, or does it not trust our certificate?';
    return new ControlError('unreachable', 'operator', `${text} hung up without an answer${why}: ${advice}`, { cause });
  }
  const advice = 'do both sides use the same --secret-file or certificates?';
  return new ControlError(
    'not-authorised',
    'operator',
    `${text} did not accept the connection (${tlsReason(cause)}): ${advice}`,
    { cause },
  );
}

/** Errors of TLS have no system call, or the code EPROTO; the end of the connection in its handshake is ECONNRESET. */
function hungUp(cause: unknown): boolean {
  if (typeof cause !== 'object' || cause === null || errorCode(cause) === 'ECONNRESET') return true;
  return 'syscall' in cause && errorCode(cause) !== 'EPROTO';
}
