/**
 * The driver's packets as requests. Only the first bytes of a request are read, in place where they come in one chunk; a
 * login is kept whole, for it says who the driver is.
 *
 *              first payload              head known               end of request
 *     ┌──────┐ ─────────────► ┌──────┐ ────────────────► ┌──────┐ ─────────────► idle
 *     │ idle │                │ head │                   │ body │
 *     └──────┘                └──────┘ ─── a login ────► ┌───────┐ ────────────► idle, and the login is reported
 *                                                        │ login │
 *                                                        └───────┘
 *
 * Where a request ends: node-oracledb sets END_OF_REQUEST on the last packet of each; drivers that do not are taken to have
 * ended their request when the database begins to answer, and one-way functions at once.
 */
import {
  DataFlag,
  headerBytes,
  isNativeServices,
  type MarkerKind,
  type PacketSink,
  type PacketStart,
  PacketType,
  parseMarker,
} from '../tns/index.js';
import { FunctionCode, type RequestHead, readRequestHead, type TtcCapabilities, ttcLimits } from '../ttc/index.js';
import { limits } from './limits.js';

/** A head that says something: "need more" has been dealt with. */
export type KnownHead = Exclude<RequestHead, { readonly kind: 'need-more' }>;

export interface RequestEvents {
  request(head: KnownHead, beginsPipeline: boolean): void;
  /** The whole payload of a login or negotiation message; the bytes are valid during the call. */
  login(head: KnownHead, payload: Buffer): void;
  /** A packet of native services negotiation (encryption, checksums). */
  nativeServices(): void;
  driverMarker(kind: MarkerKind): void;
  /** The driver's last packet. */
  endOfFile(): void;
  unknown(reason: string): void;
}

export class RequestWatcher implements PacketSink {
  capabilities: TtcCapabilities;
  readonly #events: RequestEvents;
  #state: 'idle' | 'head' | 'body' | 'login' = 'idle';
  #type = 0;
  #dataFlags = 0;
  #beginsPipeline = false;
  #usesEndOfRequest = false;
  #head: KnownHead | undefined;
  /** What is held of a head or login; copies. */
  #held: Buffer[] = [];
  #heldBytes = 0;

  constructor(events: RequestEvents, capabilities: TtcCapabilities) {
    this.#events = events;
    this.capabilities = capabilities;
  }

  packetStart(start: PacketStart): void {
    this.#type = start.type;
    this.#dataFlags = start.dataFlags;
    if (start.type === PacketType.data) {
      if ((start.dataFlags & DataFlag.endOfRequest) !== 0) this.#usesEndOfRequest = true;
      if ((start.dataFlags & DataFlag.beginPipeline) !== 0) this.#beginsPipeline = true;
      if ((start.dataFlags & DataFlag.endOfFile) !== 0) this.#events.endOfFile();
    } else if (start.type !== PacketType.marker) {
      this.#events.unknown(`packet of type ${start.type} from the driver`);
    }
  }

  payload(view: Buffer): void {
    if (this.#type === PacketType.marker) this.#keep(view, limits.smallPacketBytesMax);
    if (this.#type !== PacketType.data || this.#state === 'body') return;
    if ((this.#dataFlags & DataFlag.compressed) !== 0) {
      this.#state = 'body';
      this.#events.request({ kind: 'unknown', reason: 'the request is compressed' }, this.#takePipeline());
    } else if (this.#state === 'login') {
      this.#keep(view, ttcLimits.loginMessageBytesMax);
    } else {
      this.#readHead(view);
    }
  }

  packetEnd(): void {
    if (this.#type === PacketType.marker) {
      const packet = Buffer.concat([Buffer.alloc(headerBytes), ...this.#held]);
      this.#drop();
      this.#events.driverMarker(packet.length > headerBytes ? parseMarker(packet, 'frontend') : 'unknown');
    } else if (this.#type === PacketType.data && (this.#dataFlags & DataFlag.endOfRequest) !== 0) {
      this.#end();
    }
  }

  /** The database begins to answer: the request is over if its driver does not mark the end itself. */
  answered(): void {
    if (!this.#usesEndOfRequest) this.#end();
  }

  #readHead(view: Buffer): void {
    this.#state = 'head';
    const bytes = this.#heldBytes === 0 ? view : Buffer.concat([...this.#held, view]);
    if (isNativeServices(bytes)) {
      this.#state = 'body';
      this.#drop();
      this.#events.nativeServices();
      return;
    }
    const head = readRequestHead(bytes, this.capabilities);
    if (head.kind === 'need-more') {
      this.#keep(view, ttcLimits.requestHeadBytesMax);
      return;
    }
    this.#head = head;
    this.#state = 'body';
    if (isLogin(head)) {
      this.#state = 'login';
      this.#keep(view, ttcLimits.loginMessageBytesMax);
    } else {
      this.#drop();
    }
    this.#events.request(head, this.#takePipeline());
    // Nobody answers it, so nothing but the next request would end it.
    if (head.kind === 'call' && head.oneWay && !this.#usesEndOfRequest) this.#state = 'idle';
  }

  #end(): void {
    const state = this.#state;
    const held = this.#heldBytes > 0 ? Buffer.concat(this.#held) : Buffer.alloc(0);
    this.#state = 'idle';
    this.#drop();
    if (state === 'head') {
      this.#events.request({ kind: 'unknown', reason: 'the request ends inside its head' }, this.#takePipeline());
    } else if (state === 'login' && this.#head !== undefined) {
      this.#events.login(this.#head, held);
    }
  }

  #takePipeline(): boolean {
    const begins = this.#beginsPipeline;
    this.#beginsPipeline = false;
    return begins;
  }

  /** Keeps a copy of what still fits below `bytesMax`. */
  #keep(view: Buffer, bytesMax: number): void {
    const fitting = view.subarray(0, Math.max(0, bytesMax - this.#heldBytes));
    if (fitting.length === 0) return;
    this.#held.push(Buffer.from(fitting));
    this.#heldBytes += fitting.length;
  }

  #drop(): void {
    if (this.#heldBytes === 0) return;
    this.#held = [];
    this.#heldBytes = 0;
  }
}

function isLogin(head: KnownHead): boolean {
  if (head.kind !== 'call') return head.kind === 'fast-auth' || head.kind === 'negotiation';
  return head.functionCode === FunctionCode.authPhaseOne || head.functionCode === FunctionCode.authPhaseTwo;
}
