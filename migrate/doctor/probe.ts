/** Connects as a driver does, up to the protocol message: what is negotiated is known then, and no password was needed. */
import net, { type Socket } from 'node:net';
import tls from 'node:tls';
import {
  type Accept,
  descriptorValue,
  encodeConnect,
  encodeData,
  findDescriptor,
  type Packet,
  PacketCollector,
  PacketType,
  parseAccept,
  parseDescriptor,
  parseRedirect,
  parseRefuse,
  payloadOf,
  redirectTarget,
  refuseError,
  requiresNativeServices,
  TnsError,
  tnsLimits,
} from '../../proxy/tns/index.js';
import { type ProtocolReply, readProtocolReply } from '../../proxy/ttc/index.js';
import { formatAddress } from '../../shim/program/address.js';
import { errorText } from '../../shim/program/errors.js';
import type { ConnectTarget } from './connect-string.js';
import { DoctorError } from './errors.js';

export interface Findings {
  readonly address: string;
  readonly tls: boolean;
  readonly accept: Accept;
  /** No session without native encryption or checksums. */
  readonly requiresServices: boolean;
  /** Undefined when the database did not say: native encryption is negotiated first, or the session ended. */
  readonly server: ProtocolReply | undefined;
  /** Each one an address that the listener named; through Holdfast there are none. */
  readonly redirects: readonly string[];
  readonly elapsedMs: number;
}

export interface ProbeOptions {
  readonly timeoutMs: number;
  /** PEM of authorities, for TLS; those of Node.js when left out. */
  readonly ca?: string;
}

/** A driver that could everything: what of this the other side takes is what the findings say. */
const offer = {
  version: 319,
  versionLowest: 300,
  // Attention: out-of-band breaks. The check of their path is not offered, since no urgent byte would follow.
  options: 0x0401,
  sduBytes: tnsLimits.packetBytesMax,
  tduBytes: tnsLimits.packetBytesMax,
  flags2: 0,
  // On, scheme ZLIB.
  compression: 0x8800,
} as const;
const protocolRequest = Buffer.concat([Buffer.from([1, 6, 0]), Buffer.from('holdfast doctor\0')]);
const resendsMax = 4;
const redirectsMax = 4;

/** @throws {DoctorError} */
export async function probe(target: ConnectTarget, options: ProbeOptions): Promise<Findings> {
  const deadline = new AbortController();
  const timer = setTimeout(() => deadline.abort(), options.timeoutMs);
  const beganMs = performance.now();
  const redirects: string[] = [];
  let at = target;
  try {
    for (;;) {
      const line = await Line.open(at, options, deadline.signal);
      try {
        const answer = await knock(line, at);
        if (answer.kind === 'redirect') {
          at = answer.to;
          redirects.push(formatAddress(at));
          if (redirects.length > redirectsMax) throw notOracle(`it redirects more than ${redirectsMax} times`);
          continue;
        }
        const { accept, requiresServices } = answer;
        const server = accept.nativeServices ? undefined : await greet(line, accept);
        const elapsedMs = performance.now() - beganMs;
        return { address: formatAddress(at), tls: at.tls, accept, requiresServices, server, redirects, elapsedMs };
      } finally {
        line.close();
      }
    }
  } catch (error) {
    if (!(error instanceof TnsError)) throw error;
    throw notOracle(error.message);
  } finally {
    clearTimeout(timer);
  }
}

type Answer =
  | { readonly kind: 'accept'; readonly accept: Accept; readonly requiresServices: boolean }
  | { readonly kind: 'redirect'; readonly to: ConnectTarget };

async function knock(line: Line, target: ConnectTarget): Promise<Answer> {
  const packets = encodeConnect(offer, target.connectData);
  for (let sent = 0; sent <= resendsMax; sent++) {
    line.send(...packets);
    const packet = await line.packet();
    switch (packet.type) {
      case PacketType.accept:
        return {
          kind: 'accept',
          accept: parseAccept(packet.bytes, 'backend'),
          requiresServices: requiresNativeServices(packet.bytes),
        };
      case PacketType.refuse: {
        const text =
          parseRefuse(packet.bytes, 'backend').text ?? payloadOf((await line.packet()).bytes).toString('latin1');
        const number = refuseError(text);
        throw new DoctorError(
          'doctor-refused',
          `the listener refuses: ${number === undefined ? text : `ORA-${number}`}`,
        );
      }
      case PacketType.redirect: {
        const data = parseRedirect(packet.bytes, 'backend').data ?? payloadOf((await line.packet()).bytes);
        return { kind: 'redirect', to: redirected(redirectTarget(packet.flags, data), target) };
      }
      case PacketType.resend:
        break;
      default:
        throw notOracle(`a packet of type ${packet.type} is no answer to CONNECT`);
    }
  }
  throw notOracle(`it asks for the CONNECT more than ${resendsMax} times`);
}

function redirected(to: { address: string; connectData: string | undefined }, from: ConnectTarget): ConnectTarget {
  const address = findDescriptor(parseDescriptor(to.address, 'backend'), 'ADDRESS');
  const port = Number(address && descriptorValue(address, 'PORT'));
  const host = address && descriptorValue(address, 'HOST');
  if (address === undefined || host === undefined || !Number.isInteger(port))
    throw notOracle(`it redirects to ${to.address}`);
  const isTls = descriptorValue(address, 'PROTOCOL')?.toLowerCase() === 'tcps';
  return { host, port, tls: isTls, connectData: to.connectData ?? from.connectData };
}

/** The database's own words. None when it ends the session instead: what ACCEPT has said is known all the same. */
async function greet(line: Line, accept: Accept): Promise<ProtocolReply | undefined> {
  line.collector.lengthForm = accept.lengthForm;
  line.send(encodeData(protocolRequest, 0, accept.lengthForm));
  const parts: Buffer[] = [];
  for (;;) {
    const packet = await line.packet().catch((error: unknown) => {
      if (error instanceof DoctorError && error.code === 'doctor-not-oracle-net') return undefined;
      throw error;
    });
    if (packet === undefined || packet.type !== PacketType.data) return undefined;
    parts.push(payloadOf(packet.bytes));
    const reply = readProtocolReply(Buffer.concat(parts));
    if (reply.kind === 'read') return reply.value;
    if (reply.kind === 'unknown') return undefined;
  }
}

/** One connection, read packet by packet. */
class Line {
  readonly collector = new PacketCollector('backend', tnsLimits.packetBytesMax);
  readonly #socket: Socket;
  readonly #signal: AbortSignal;
  readonly #where: string;
  #ended: string | undefined;
  #wake: (() => void) | undefined;

  private constructor(socket: Socket, where: string, signal: AbortSignal) {
    this.#socket = socket;
    this.#where = where;
    this.#signal = signal;
    socket.on('data', (chunk: Buffer) => {
      this.collector.push(chunk);
      this.#wake?.();
    });
    socket.on('error', (error) => this.#end(error.message));
    socket.on('close', () => this.#end('the connection was closed'));
    signal.addEventListener('abort', () => this.#wake?.());
  }

  static open(target: ConnectTarget, options: ProbeOptions, signal: AbortSignal): Promise<Line> {
    const where = formatAddress(target);
    return new Promise((resolve, reject) => {
      const { host, port } = target;
      const authorities = options.ca === undefined ? {} : { ca: options.ca };
      const name = net.isIP(host) === 0 ? { servername: host } : {};
      const socket = target.tls ? tls.connect({ host, port, ...name, ...authorities }) : net.connect({ host, port });
      const late = (): void => {
        socket.destroy();
        reject(new DoctorError('doctor-timeout', `no connection to ${where} within ${options.timeoutMs} ms`));
      };
      signal.addEventListener('abort', late);
      socket.once('error', (cause) => {
        reject(new DoctorError('doctor-unreachable', `no connection to ${where}: ${errorText(cause)}`, { cause }));
      });
      socket.once(target.tls ? 'secureConnect' : 'connect', () => {
        signal.removeEventListener('abort', late);
        resolve(new Line(socket, where, signal));
      });
    });
  }

  send(...packets: readonly Buffer[]): void {
    for (const packet of packets) this.#socket.write(packet);
  }

  /** @throws {DoctorError} doctor-timeout, doctor-not-oracle-net @throws TnsError */
  async packet(): Promise<Packet> {
    for (;;) {
      const packet = this.collector.next();
      if (packet !== undefined) return packet;
      if (this.#ended !== undefined) throw notOracle(`${this.#where} gave no whole answer: ${this.#ended}`);
      if (this.#signal.aborted) throw new DoctorError('doctor-timeout', `no answer of ${this.#where} in time`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  close(): void {
    this.#socket.destroy();
  }

  #end(why: string): void {
    this.#ended ??= why;
    this.#wake?.();
  }
}

function notOracle(why: string): DoctorError {
  return new DoctorError('doctor-not-oracle-net', `this is no Oracle listener, or none that is understood: ${why}`);
}
