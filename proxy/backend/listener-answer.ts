import {
  type Accept,
  dataHeaderBytes,
  type Packet,
  PacketCollector,
  PacketFlag,
  PacketType,
  parseAccept,
  parseRedirect,
  parseRefuse,
  type RedirectTarget,
  redirectTarget,
  refuseError,
  TnsError,
  tnsLimits,
} from '../tns/index.js';

/** What a listener says to a CONNECT, whole. */
export type ListenerAnswer =
  | { readonly kind: 'accept'; readonly packet: Buffer; readonly accept: Accept }
  /** `bytes` is all of it, a DATA packet behind it included; `number` its ORA/TNS number where the text has one. */
  | { readonly kind: 'refuse'; readonly bytes: Buffer; readonly number: number | undefined }
  /** The CONNECT is wanted again, with `tls` after another TLS handshake on the same connection. */
  | { readonly kind: 'resend'; readonly tls: boolean }
  | { readonly kind: 'redirect'; readonly target: RedirectTarget };

const packetTypeOffset = 4;
const headBytes = 8;
const answerTypes: ReadonlySet<number> = new Set([
  PacketType.accept,
  PacketType.refuse,
  PacketType.redirect,
  PacketType.resend,
  PacketType.data,
]);

/** A REFUSE or REDIRECT whose text comes in the DATA packets behind it. */
interface Overflow {
  readonly head: Packet;
  readonly textBytes: number;
  text: Buffer;
  readonly packets: Buffer[];
}

/** Reads the answers of one listener, in order. Pure. */
export class AnswerReader {
  #packets = new PacketCollector('backend', tnsLimits.connectPacketBytesMax);
  #overflow: Overflow | undefined;

  push(chunk: Buffer): void {
    this.#packets.push(chunk);
  }

  /** Bytes behind the last answer; none are kept. */
  takeRest(): Buffer {
    return this.#packets.takeRest();
  }

  /**
   * The next answer, or undefined when more bytes are needed.
   * @throws TnsError when this is no listener's answer
   */
  next(): ListenerAnswer | undefined {
    for (;;) {
      const head = this.#peek();
      const type = head[packetTypeOffset] ?? 0;
      if (head.length >= headBytes && !answerTypes.has(type)) {
        throw new TnsError('packet-unexpected', 'backend', `a packet of type ${type} is no answer to CONNECT`);
      }
      const packet = this.#packets.next();
      if (packet === undefined) return undefined;
      const answer = this.#overflow === undefined ? this.#read(packet) : this.#readText(packet, this.#overflow);
      if (answer !== undefined) return answer;
    }
  }

  #read(packet: Packet): ListenerAnswer | undefined {
    switch (packet.type) {
      case PacketType.accept:
        return { kind: 'accept', packet: packet.bytes, accept: parseAccept(packet.bytes, 'backend') };
      case PacketType.resend:
        return { kind: 'resend', tls: (packet.flags & PacketFlag.tlsRenegotiate) !== 0 };
      case PacketType.refuse: {
        const { text, textBytes } = parseRefuse(packet.bytes, 'backend');
        if (text === undefined) return this.#begin(packet, textBytes);
        return { kind: 'refuse', bytes: packet.bytes, number: refuseError(text) };
      }
      case PacketType.redirect: {
        const { data, dataBytes } = parseRedirect(packet.bytes, 'backend');
        if (data === undefined) return this.#begin(packet, dataBytes);
        return { kind: 'redirect', target: redirectTarget(packet.flags, data) };
      }
      default:
        throw new TnsError('packet-unexpected', 'backend', `packet of type ${packet.type} as an answer to CONNECT`);
    }
  }

  #begin(head: Packet, textBytes: number): undefined {
    this.#overflow = { head, textBytes, text: Buffer.alloc(0), packets: [head.bytes] };
    return undefined;
  }

  #readText(packet: Packet, overflow: Overflow): ListenerAnswer | undefined {
    if (packet.type !== PacketType.data) {
      throw new TnsError(
        'packet-unexpected',
        'backend',
        `packet of type ${packet.type} instead of the listener's text`,
      );
    }
    const payload = packet.bytes.subarray(dataHeaderBytes);
    if (payload.length === 0)
      throw new TnsError('field-invalid', 'backend', "a DATA packet without the listener's text");
    overflow.text = Buffer.concat([overflow.text, payload]);
    overflow.packets.push(packet.bytes);
    if (overflow.text.length < overflow.textBytes) return undefined;
    this.#overflow = undefined;
    const { head, text, packets } = overflow;
    if (head.type === PacketType.redirect) return { kind: 'redirect', target: redirectTarget(head.flags, text) };
    return { kind: 'refuse', bytes: Buffer.concat(packets), number: refuseError(text.toString('latin1')) };
  }

  /** The bytes held; copies nothing when they came in one chunk, as they do. */
  #peek(): Buffer {
    const held = this.#packets.takeRest();
    this.#packets.push(held);
    return held;
  }
}
