/**
 * The database's packets as responses. Nothing of a response is read but its last bytes, where the end-of-call status is;
 * they are read in place when the response is one packet in one chunk, which most are.
 *
 *              first payload                   end of response
 *     ┌──────┐ ─────────────► ┌────────────┐ ─────────────────► idle, with the status
 *     │ idle │                │ responding │
 *     └──────┘ ◄───────────── └────────────┘
 *                 a RESET, or the driver goes on
 *
 * Where a response ends: with END_OF_RESPONSE negotiated (23ai) the database marks it: flag 0x2000 or EOF, or a packet whose
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
  MessageType,
  ResponseTail,
  readEndOfCall,
  type TtcCapabilities,
  ttcLimits,
} from '../ttc/index.js';
import { limits } from './limits.js';

export interface ResponseEvents {
  responseBegan(): void;
  responseEnded(end: EndOfCall): void;
  /** The payload of a response in the login, so far; all of it comes before `responseEnded`, or when the driver goes on. */
  loginReply(payload: Buffer): void;
  databaseMarker(kind: MarkerKind): void;
  /** An in-band notification, e.g. 12572: the listener or gateway shuts down. */
  notification(errorNumber: number): void;
  unknown(reason: string): void;
}

export class ResponseWatcher implements PacketSink {
  capabilities: TtcCapabilities;
  /** Keep responses whole: during login they say who the session is. */
  keepsWhole = true;
  readonly #events: ResponseEvents;
  readonly #endIsMarked: boolean;
  readonly #sduBytes: number;
  #responding = false;
  #type = 0;
  #dataFlags = 0;
  #payloadBytes = 0;
  #tailBytesMax: number = limits.tailBytesMax;
  /** The first packet of a response, when all of its payload came in one chunk: valid until the packet's end. */
  #only: Buffer | undefined;
  #tail: ResponseTail | undefined;
  #isClosing = false;
  #small: Buffer[] = [];
  #smallBytes = 0;
  #whole: Buffer[] = [];
  #wholeBytes = 0;

  constructor(
    events: ResponseEvents,
    options: { capabilities: TtcCapabilities; endIsMarked: boolean; sduBytes: number },
  ) {
    this.#events = events;
    this.capabilities = options.capabilities;
    this.#endIsMarked = options.endIsMarked;
    this.#sduBytes = options.sduBytes;
  }

  packetStart(start: PacketStart): void {
    this.#type = start.type;
    this.#dataFlags = start.dataFlags;
    this.#isClosing = false;
    if (start.type === PacketType.data) {
      this.#payloadBytes = start.lengthBytes - dataHeaderBytes;
      const isFull = !this.#endIsMarked && start.lengthBytes >= this.#sduBytes;
      this.#tailBytesMax = isFull ? limits.fullPacketTailBytesMax : limits.tailBytesMax;
    } else if (start.type !== PacketType.marker && start.type !== PacketType.control) {
      this.#events.unknown(`packet of type ${start.type} from the database`);
    }
  }

  payload(view: Buffer): void {
    if (this.#type !== PacketType.data) {
      const fitting = view.subarray(0, Math.max(0, limits.smallPacketBytesMax - this.#smallBytes));
      this.#smallBytes += fitting.length;
      this.#small.push(Buffer.from(fitting));
      return;
    }
    const isFirst = !this.#responding;
    if (isFirst) {
      this.#responding = true;
      this.#events.responseBegan();
    }
    if (this.keepsWhole) this.#keepWhole(view);
    if (this.#payloadBytes === 1 && view[0] === MessageType.endOfResponse) this.#isClosing = true;
    if (isFirst && view.length === this.#payloadBytes) {
      this.#only = view;
      return;
    }
    this.#tail ??= new ResponseTail(limits.tailBytesMax);
    this.#tail.push(view);
  }

  packetEnd(): void {
    if (this.#type === PacketType.data) {
      this.#dataEnd();
    } else if (this.#type === PacketType.marker || this.#type === PacketType.control) {
      this.#smallEnd();
    }
  }

  /** The driver has sent another request, or the answer so far is void (a RESET): what was kept of it is dropped. */
  abandon(): void {
    this.#responding = false;
    this.#only = undefined;
    this.#tail = undefined;
    if (this.#wholeBytes === 0) return;
    const whole = Buffer.concat(this.#whole);
    this.#whole = [];
    this.#wholeBytes = 0;
    this.#events.loginReply(whole);
  }

  #dataEnd(): void {
    const isMarked = (this.#dataFlags & (DataFlag.endOfResponse | DataFlag.endOfFile)) !== 0 || this.#isClosing;
    if (!this.#responding) return;
    if (isMarked || !this.#endIsMarked) {
      const end = this.#readEnd();
      if (isMarked || end.kind === 'known') {
        this.abandon();
        this.#events.responseEnded(end);
        return;
      }
      // A dialect whose status cannot be read (OCI's fixed integers) still names the session in its login.
      if (this.#wholeBytes > 0) this.#events.loginReply(Buffer.concat(this.#whole));
    }
    if (this.#only !== undefined) {
      this.#tail = new ResponseTail(limits.tailBytesMax);
      this.#tail.push(this.#only);
      this.#only = undefined;
    }
  }

  #readEnd(): EndOfCall {
    if ((this.#dataFlags & DataFlag.compressed) !== 0) return { kind: 'none' };
    const tail = this.#only ?? this.#tail?.view();
    if (tail === undefined) return { kind: 'none' };
    return readEndOfCall(tail.subarray(Math.max(0, tail.length - this.#tailBytesMax)), this.capabilities);
  }

  #smallEnd(): void {
    const packet = Buffer.concat([Buffer.alloc(headerBytes), ...this.#small]);
    this.#small = [];
    this.#smallBytes = 0;
    if (this.#type === PacketType.marker) {
      this.#events.databaseMarker(packet.length > headerBytes ? parseMarker(packet, 'backend') : 'unknown');
      return;
    }
    const control = parseControl(packet, 'backend');
    if (control.kind === 'notification') this.#events.notification(control.error);
    if (control.kind === 'unknown') this.#events.unknown(`control command ${control.command} from the database`);
  }

  #keepWhole(view: Buffer): void {
    const fitting = view.subarray(0, Math.max(0, ttcLimits.loginMessageBytesMax - this.#wholeBytes));
    if (fitting.length === 0) return;
    this.#whole.push(Buffer.from(fitting));
    this.#wholeBytes += fitting.length;
  }
}
