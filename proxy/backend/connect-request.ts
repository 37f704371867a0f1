import {
  type Connect,
  connectWithData,
  connectWithoutOffers,
  type Packet,
  PacketType,
  parseConnect,
  payloadOf,
  TnsError,
} from '../tns/index.js';

/** The driver's CONNECT with the DATA packets behind it, as it comes, and as it goes to a listener. Pure. */
export class ConnectRequest {
  #connect: Connect | undefined;
  #connectData = '';
  #packets: Buffer[] = [];
  #bytes = 0;

  /** The fields; undefined before the first packet. */
  get connect(): Connect | undefined {
    return this.#connect;
  }
  /** The connect descriptor, wherever it stood. */
  get connectData(): string {
    return this.#connectData;
  }
  /** How many bytes of the driver it has. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Takes the CONNECT or a DATA packet behind it; true when connect data is whole.
   * @throws TnsError packet-unexpected, field-invalid, connect-data-too-long
   */
  take(packet: Packet): boolean {
    this.#bytes += packet.bytes.length;
    if (this.#connect === undefined) {
      this.#connect = parseConnect(packet.bytes, 'frontend');
      this.#packets.push(connectWithoutOffers(packet.bytes));
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

  /** For a listener of `--database`. */
  packets(): readonly Buffer[] {
    return this.#packets;
  }

  /** For an address that a REDIRECT named. @param connectData what the REDIRECT gave; else the driver's own is kept */
  redirected(connectData: string | undefined): readonly Buffer[] {
    const [first] = this.#packets;
    if (first === undefined) throw new Error('a redirect without a CONNECT');
    return connectWithData(first, connectData ?? this.#connectData, { redirected: true });
  }
}
