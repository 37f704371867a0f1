/**
 * The database's packets as responses. Nothing of a response is read but its last bytes, where the end-of-call status is, and
 * server-side piggybacks where it begins; in place when the response is one packet in one chunk, which most are.
 *
 *              first payload                   end of response
 *     ┌──────┐ ─────────────► ┌────────────┐ ─────────────────► idle, with the status
 *     │ idle │                │ responding │
 *     └──────┘ ◄───────────── └────────────┘
 *                 a RESET, or the driver goes on
 *
 * Where a response ends: with END_OF_RESPONSE in ACCEPT (23ai) and in the driver's capabilities the database marks it: flag 0x2000 or EOF, or a packet whose
 * one payload byte is message 29. Without, a response ends with the packet at whose end an ERROR or STATUS message ends; should
 * rows look like one by chance, the bytes that follow show that the call goes on (CallTracker.response).
 */
import {
  DataFlag,
  dataHeaderBytes,
  headerBytes,
  type MarkerKind,
  type PacketSink,
  type PacketStart,
  PacketType,
  parseControl,
  parseMarker,
} from '../tns/index.js';
import {
  type EndOfCall,
  laterNews,
  MessageType,
  noNews,
  ResponseTail,
  readEndOfCall,
  readServerPiggybacks,
  type ServerNews,
  type TtcCapabilities,
  ttcLimits,
} from '../ttc/index.js';
import { KeptBytes } from './kept.js';
import { limits } from './limits.js';
import type { Writable } from './writable.js';

export interface ResponseEvents {
  responseBegan(): void;
  responseEnded(end: EndOfCall, news: ServerNews): void;
  /** The database waits for the driver's FLUSH_OUT_BINDS: the call goes on behind it. */
  responsePaused(): void;
  /** The payload of a response in the login, so far; all of it comes before `responseEnded`, or when the driver goes on. */
  loginReply(payload: Buffer): void;
  databaseMarker(kind: MarkerKind): void;
  /** An in-band notification, e.g. 12572: the listener or gateway shuts down. */
  notification(errorNumber: number): void;
  unknown(reason: string): void;
}

/** Where the watcher stands, but for the bytes it keeps. */
interface ResponsePosition {
  /** Responses are kept whole: during login they say who the session is. */
  readonly keepsWhole: boolean;
  /** Inside a response. */
  readonly responding: boolean;
  /** Of the present packet. */
  readonly packetType: number;
  readonly dataFlags: number;
  readonly payloadBytes: number;
  /** How much of the response's last bytes is searched if it ends with the present packet. */
  readonly tailBytesMax: number;
}

/** Plain data, from which another watcher goes on. */
export interface ResponseState extends ResponsePosition {
  /** The last bytes of the response, the whole of a login response, and of a MARKER or CONTROL packet, as far as they came. */
  readonly tail: Buffer;
  /** The first bytes, of a response that begins with server-side piggybacks. */
  readonly head: Buffer;
  readonly whole: Buffer;
  readonly small: Buffer;
}

export class ResponseWatcher implements PacketSink {
  capabilities: TtcCapabilities;
  readonly #events: ResponseEvents;
  readonly #canMarkEnds: boolean;
  readonly #sduBytes: number;
  readonly #at: Writable<ResponsePosition>;
  /*
   * Both hold from the last payload of a packet to its end only, which is within one call, and so they are no state: the
   * first packet of a response, when all of its payload came in one chunk, and whether it is the one-byte END OF RESPONSE.
   */
  #only: Buffer | undefined;
  #isClosing = false;
  #tail: ResponseTail | undefined;
  readonly #head: KeptBytes;
  readonly #whole: KeptBytes;
  readonly #small: KeptBytes;

  constructor(
    events: ResponseEvents,
    options: { capabilities: TtcCapabilities; canMarkEnds: boolean; sduBytes: number },
    state?: ResponseState,
  ) {
    this.#events = events;
    this.capabilities = options.capabilities;
    this.#canMarkEnds = options.canMarkEnds;
    this.#sduBytes = options.sduBytes;
    this.#at = {
      keepsWhole: state?.keepsWhole ?? true,
      responding: state?.responding ?? false,
      packetType: state?.packetType ?? 0,
      dataFlags: state?.dataFlags ?? 0,
      payloadBytes: state?.payloadBytes ?? 0,
      tailBytesMax: state?.tailBytesMax ?? limits.tailBytesMax,
    };
    if (state !== undefined && state.tail.length > 0) this.#keepTail(state.tail);
    this.#head = new KeptBytes(state?.head);
    this.#whole = new KeptBytes(state?.whole);
    this.#small = new KeptBytes(state?.small);
  }

  state(): ResponseState {
    return {
      ...this.#at,
      tail: Buffer.from(this.#tail?.view() ?? []),
      head: this.#head.all(),
      whole: this.#whole.all(),
      small: this.#small.all(),
    };
  }

  /** The login is over: responses are no longer kept whole. */
  loggedIn(): void {
    this.#at.keepsWhole = false;
  }

  packetStart(start: PacketStart): void {
    const at = this.#at;
    at.packetType = start.type;
    at.dataFlags = start.dataFlags;
    if (start.type === PacketType.data) {
      at.payloadBytes = start.lengthBytes - dataHeaderBytes;
      const isFull = !this.#endIsMarked() && start.lengthBytes >= this.#sduBytes;
      at.tailBytesMax = isFull ? limits.fullPacketTailBytesMax : limits.tailBytesMax;
    } else if (!isSmall(start.type)) {
      this.#events.unknown(`packet of type ${start.type} from the database`);
    }
  }

  payload(view: Buffer): void {
    const at = this.#at;
    if (at.packetType !== PacketType.data) {
      if (isSmall(at.packetType)) this.#small.keep(view, limits.smallPacketBytesMax);
      return;
    }
    const isFirst = !at.responding;
    if (isFirst) {
      at.responding = true;
      this.#events.responseBegan();
    }
    if (this.#head.length > 0 || (isFirst && view[0] === MessageType.serverPiggyback)) {
      this.#head.keep(view, limits.headBytesMax);
    }
    if (at.keepsWhole) this.#whole.keep(view, ttcLimits.loginMessageBytesMax);
    this.#isClosing = at.payloadBytes === 1 && view[0] === MessageType.endOfResponse;
    if (isFirst && view.length === at.payloadBytes) this.#only = view;
    else this.#keepTail(view);
  }

  packetEnd(): void {
    if (this.#at.packetType === PacketType.data) this.#dataEnd();
    else if (isSmall(this.#at.packetType)) this.#smallEnd();
  }

  /** The driver has sent another request, or the answer so far is void (a RESET): what was kept of it is dropped. */
  abandon(): void {
    this.#at.responding = false;
    this.#only = undefined;
    this.#tail = undefined;
    this.#head.drop();
    if (this.#whole.length > 0) this.#events.loginReply(this.#whole.take());
  }

  #dataEnd(): void {
    if (!this.#at.responding) return;
    const flags = DataFlag.endOfResponse | DataFlag.endOfFile;
    const isMarked = (this.#at.dataFlags & flags) !== 0 || this.#isClosing;
    if (isMarked || !this.#endIsMarked()) {
      const end = this.#readEnd();
      if (end.kind === 'none' && isMarked && this.#endsInFlush()) {
        this.abandon();
        this.#events.responsePaused();
        return;
      }
      if (isMarked || end.kind === 'known') {
        const news = this.#news(end);
        this.abandon();
        this.#events.responseEnded(end, news);
        return;
      }
      // A dialect whose status cannot be read (OCI's fixed integers) still names the session in its login.
      if (this.#whole.length > 0) this.#events.loginReply(this.#whole.all());
    }
    if (this.#only === undefined) return;
    this.#keepTail(this.#only);
    this.#only = undefined;
  }

  #endIsMarked(): boolean {
    return this.#canMarkEnds && this.capabilities.endOfResponse;
  }

  #readEnd(): EndOfCall {
    if ((this.#at.dataFlags & DataFlag.compressed) !== 0) return { kind: 'none' };
    const tail = this.#only ?? this.#tail?.view();
    if (tail === undefined) return { kind: 'none' };
    const { tailBytesMax } = this.#at;
    const last = tail.length > tailBytesMax ? tail.subarray(tail.length - tailBytesMax) : tail;
    return readEndOfCall(last, this.capabilities);
  }

  /** FLUSH_OUT_BINDS is all there is of this answer so far. */
  #endsInFlush(): boolean {
    const tail = this.#only ?? this.#tail?.view();
    const last = tail?.at(-1) === MessageType.endOfResponse ? tail.at(-2) : tail?.at(-1);
    return last === MessageType.flushOutBinds;
  }

  /** What piggybacks where the response begins and ends have told. */
  #news(end: EndOfCall): ServerNews {
    const behind = end.kind === 'known' ? end.news : noNews;
    return this.#head.length === 0 ? behind : laterNews(readServerPiggybacks(this.#head.all(), 0).news, behind);
  }

  #smallEnd(): void {
    const packet = Buffer.concat([Buffer.alloc(headerBytes), this.#small.take()]);
    if (this.#at.packetType === PacketType.marker) {
      this.#events.databaseMarker(packet.length > headerBytes ? parseMarker(packet, 'backend') : 'unknown');
      return;
    }
    const control = parseControl(packet, 'backend');
    if (control.kind === 'notification') this.#events.notification(control.error);
    if (control.kind === 'unknown') this.#events.unknown(`control command ${control.command} from the database`);
  }

  #keepTail(view: Buffer): void {
    this.#tail ??= new ResponseTail(limits.tailBytesMax);
    this.#tail.push(view);
  }
}

function isSmall(packetType: number): boolean {
  return packetType === PacketType.marker || packetType === PacketType.control;
}
