/**
 * What driver and database say to each other at the wire level: a CONNECT and its ACCEPT, the login of a session, then the same
 * call again and again. It is the Oracle Net of a session of 23ai as the tracker of the proxy knows it (the bytes are those of its
 * own tests), so a proxy that follows sessions has the work that it has with real ones. SQL and rows are filler: nobody looks.
 *
 * Both sides know all of it beforehand and only count bytes, so neither costs more than the system calls.
 */
import { encodeAccept, encodeConnect } from '../../proxy/tns/index.js';
import { bytes, data, type Step, speaker, today } from '../proxy/track/wire.js';

/** One message of the driver and the answer to it. */
export interface Exchange {
  readonly request: Buffer;
  readonly answer: Buffer;
}

export interface Conversation {
  /** From CONNECT to the end of the login; all there is in a session that is closed then. */
  readonly login: readonly Exchange[];
  /** Again and again. */
  readonly call: Exchange;
}

/** Bytes of Oracle Net per call, with the headers of its packets. All names have five letters: so have all CONNECTs. */
export const loads = {
  small: { requestBytes: 250, answerBytes: 400 },
  fetch: { requestBytes: 250, answerBytes: 32 * 1024 },
  bulkd: { requestBytes: 250, answerBytes: 1024 * 1024 },
  bulku: { requestBytes: 1024 * 1024, answerBytes: 400 },
  /** Small calls of a session that encrypts from end to end: the tracker sees that and stops looking. */
  blind: { requestBytes: 250, answerBytes: 400 },
  /** A session that ends after one small call. */
  churn: { requestBytes: 250, answerBytes: 400 },
} as const;
export type LoadName = keyof typeof loads;
export const loadNames = Object.keys(loads) as readonly LoadName[];

const executeFunction = 94;
const logoffFunction = 9;
const sduBytes = 8192;
const packetHeaderBytes = 10;
const endOfRequest = 0x0800;
const endOfResponse = 0x2000;
const fields = { version: 319, options: 0, sduBytes, tduBytes: 65_536 };
const say = speaker(today);

export function conversation(load: LoadName): Conversation {
  const login = [connect(load), ...(load === 'blind' ? encryptedLogin() : exchanges(say.login))];
  const call = callOf(load);
  if (load !== 'churn') return { login, call };
  const logoff = { request: say.functionCall(logoffFunction).bytes, answer: say.reply(say.status(0)).bytes };
  return { login: [...login, call, logoff], call };
}

/** Which load a CONNECT asks for. */
export function loadOf(connectPacket: Buffer): LoadName | undefined {
  const [, name] = /SERVICE_NAME=([a-z]+)/.exec(connectPacket.toString('latin1')) ?? [];
  return loadNames.find((each) => each === name);
}

export const connectBytes = connect('small').request.length;

function connect(load: LoadName): Exchange {
  const descriptor = `(DESCRIPTION=(CONNECT_DATA=(SERVICE_NAME=${load})))`;
  const request = Buffer.concat(encodeConnect({ ...fields, versionLowest: 300, flags2: 0 }, descriptor));
  // Flags of python-oracledb's TNS_ACCEPT_FLAG_HAS_END_OF_RESPONSE: the driver and the tracker may use marks.
  const answer = encodeAccept({ ...fields, uuid: Buffer.alloc(16), flags2: 0x0200_0000 });
  return { request, answer };
}

/** Native network encryption: the packet of its negotiation, then what nobody can read. */
function encryptedLogin(): readonly Exchange[] {
  const negotiation = bytes(Buffer.from('deadbeef', 'hex'), Buffer.alloc(60, 0x11));
  const cipher = Buffer.alloc(200, 0xc5);
  return [
    { request: data(negotiation, 0), answer: data(negotiation, 0) },
    { request: data(cipher, 0), answer: data(cipher, 0) },
  ];
}

function callOf(load: LoadName): Exchange {
  const { requestBytes, answerBytes } = loads[load];
  if (load === 'blind') {
    const cipher = (length: number) => data(Buffer.alloc(length - packetHeaderBytes, 0xc5), 0);
    return { request: cipher(requestBytes), answer: cipher(answerBytes) };
  }
  const head = bytes(say.header(3, executeFunction));
  const end = bytes(say.status(0), 29);
  return {
    request: message(requestBytes, head, Buffer.alloc(0), endOfRequest),
    answer: message(answerBytes, bytes(7), end, endOfResponse),
  };
}

/** Packets of so many bytes in all, as full as the SDU lets them be; the last one has the flags. */
function message(lengthBytes: number, head: Buffer, end: Buffer, flags: number): Buffer {
  const packets: Buffer[] = [];
  for (let left = lengthBytes; left > 0; ) {
    // No crumb at the end: the status stands in one packet, as a database has it.
    const length = left - sduBytes > 0 && left - sduBytes < 64 ? left - 64 : Math.min(left, sduBytes);
    left -= length;
    const payload = Buffer.alloc(length - packetHeaderBytes, 'x');
    if (packets.length === 0) head.copy(payload);
    if (left === 0) end.copy(payload, payload.length - end.length);
    packets.push(data(payload, left === 0 ? flags : 0));
  }
  return Buffer.concat(packets);
}

function exchanges(steps: readonly Step[]): readonly Exchange[] {
  const found: Exchange[] = [];
  for (let at = 0; at + 1 < steps.length; at += 2) {
    const [request, answer] = [steps[at], steps[at + 1]];
    if (request?.from !== 'driver' || answer?.from !== 'database')
      throw new Error('a login is request and answer in turn');
    found.push({ request: request.bytes, answer: answer.bytes });
  }
  return found;
}
