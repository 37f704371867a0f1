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
 * ended their request when the database begins to answer. One-way functions are not answered: theirs ends with its packet.
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
import { KeptBytes } from './kept.js';
import { limits } from './limits.js';
import type { Writable } from './writable.js';

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

/** Where the watcher stands, but for the bytes it keeps. */
interface RequestPosition {
  readonly state: 'idle' | 'head' | 'body' | 'login' | 'one-way';
  /** Of the present packet. */
  readonly packetType: number;
  readonly dataFlags: number;
  readonly beginsPipeline: boolean;
  /** This driver marks the end of its requests. */
  readonly usesEndOfRequest: boolean;
  /** Of the login or negotiation message that is being kept. */
  readonly loginHead: KnownHead | undefined;
}

/** Plain data, from which another watcher goes on. */
export interface RequestState extends RequestPosition {
  /** What has come of a head or login. */
  readonly held: Buffer;
  readonly marker: Buffer;
}

export class RequestWatcher implements PacketSink {
  capabilities: TtcCapabilities;
  readonly #events: RequestEvents;
  readonly #at: Writable<RequestPosition>;
  readonly #held: KeptBytes;
  /** A MARKER may come between two packets of a request. */
  readonly #marker: KeptBytes;

  constructor(events: RequestEvents, capabilities: TtcCapabilities, state?: RequestState) {
    this.#events = events;
    this.capabilities = capabilities;
    this.#at = {
      state: state?.state ?? 'idle',
      packetType: state?.packetType ?? 0,
      dataFlags: state?.dataFlags ?? 0,
      beginsPipeline: state?.beginsPipeline ?? false,
      usesEndOfRequest: state?.usesEndOfRequest ?? false,
      loginHead: state?.loginHead,
    };
    this.#held = new KeptBytes(state?.held);
    this.#marker = new KeptBytes(state?.marker);
  }

  state(): RequestState {
    return { ...this.#at, held: this.#held.all(), marker: this.#marker.all() };
  }

  packetStart(start: PacketStart): void {
    this.#at.packetType = start.type;
    this.#at.dataFlags = start.dataFlags;
    if (start.type === PacketType.data) {
      if ((start.dataFlags & DataFlag.endOfRequest) !== 0) this.#at.usesEndOfRequest = true;
      if ((start.dataFlags & DataFlag.beginPipeline) !== 0) this.#at.beginsPipeline = true;
      if ((start.dataFlags & DataFlag.endOfFile) !== 0) this.#events.endOfFile();
    } else if (start.type !== PacketType.marker) {
      this.#events.unknown(`packet of type ${start.type} from the driver`);
    }
  }

  payload(view: Buffer): void {
    const at = this.#at;
    if (at.packetType === PacketType.marker) this.#marker.keep(view, limits.smallPacketBytesMax);
    if (at.packetType !== PacketType.data || at.state === 'body' || at.state === 'one-way') return;
    if ((at.dataFlags & DataFlag.compressed) !== 0) {
      at.state = 'body';
      this.#held.drop();
      this.#events.request({ kind: 'unknown', reason: 'the request is compressed' }, this.#takePipeline());
    } else if (at.state === 'login') {
      this.#held.keep(view, ttcLimits.loginMessageBytesMax);
    } else {
      this.#readHead(view);
    }
  }

  packetEnd(): void {
    if (this.#at.packetType === PacketType.marker) {
      const packet = Buffer.concat([Buffer.alloc(headerBytes), this.#marker.take()]);
      this.#events.driverMarker(packet.length > headerBytes ? parseMarker(packet, 'frontend') : 'unknown');
    } else if (this.#at.packetType === PacketType.data) {
      const isMarked = (this.#at.dataFlags & DataFlag.endOfRequest) !== 0;
      if (isMarked || (this.#at.state === 'one-way' && !this.#at.usesEndOfRequest)) this.#end();
    }
  }

  /** The database begins to answer: the request is over if its driver does not mark the end itself. */
  answered(): void {
    if (!this.#at.usesEndOfRequest) this.#end();
  }

  #readHead(view: Buffer): void {
    this.#at.state = 'head';
    const bytes = this.#held.length === 0 ? view : Buffer.concat([this.#held.all(), view]);
    if (isNativeServices(bytes)) {
      this.#at.state = 'body';
      this.#held.drop();
      this.#events.nativeServices();
      return;
    }
    const head = readRequestHead(bytes, this.capabilities);
    if (head.kind === 'need-more') {
      this.#held.keep(view, ttcLimits.requestHeadBytesMax);
      return;
    }
    if (isLogin(head)) {
      this.#at.state = 'login';
      this.#at.loginHead = head;
      this.#held.keep(view, ttcLimits.loginMessageBytesMax);
    } else {
      this.#at.state = head.kind === 'call' && head.oneWay ? 'one-way' : 'body';
      this.#held.drop();
    }
    this.#events.request(head, this.#takePipeline());
  }

  #end(): void {
    const { state, loginHead } = this.#at;
    const held = this.#held.take();
    this.#at.state = 'idle';
    this.#at.loginHead = undefined;
    if (state === 'head') {
      this.#events.request({ kind: 'unknown', reason: 'the request ends inside its head' }, this.#takePipeline());
    } else if (state === 'login' && loginHead !== undefined) {
      this.#events.login(loginHead, held);
    }
  }

  #takePipeline(): boolean {
    const begins = this.#at.beginsPipeline;
    this.#at.beginsPipeline = false;
    return begins;
  }
}

function isLogin(head: KnownHead): boolean {
  if (head.kind !== 'call') return head.kind === 'fast-auth' || head.kind === 'negotiation';
  return head.functionCode === FunctionCode.authPhaseOne || head.functionCode === FunctionCode.authPhaseTwo;
}
