/**
 * Captures of real servers, where they are present: they are not part of this project (see the README beside them), so
 * where they are absent there is nothing to read and this file says so. HOLDFAST_CAPTURES names another directory.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import {
  acceptWithoutOutOfBand,
  connectWithoutOutOfBand,
  descriptorValue,
  isNativeServices,
  PacketCollector,
  PacketReader,
  type PacketStart,
  parseAccept,
  parseConnect,
  parseDescriptor,
  tnsLimits,
} from '../../../proxy/tns/index.js';

const file = join(process.env.HOLDFAST_CAPTURES ?? '../shared/captures', 'listener-12c.pcapng');

/** TCP payloads by destination port, from the enhanced packet blocks of a pcapng file (Ethernet, IPv4). */
function payloads(capture: Buffer): { toServer: Buffer; toClient: Buffer } {
  const parts = { toServer: [] as Buffer[], toClient: [] as Buffer[] };
  for (let at = 0; at < capture.length; at += capture.readUInt32LE(at + 4)) {
    if (capture.readUInt32LE(at) !== 6) {
      continue;
    }
    const frame = capture.subarray(at + 28, at + 28 + capture.readUInt32LE(at + 20));
    const ip = frame.subarray(14, 14 + frame.readUInt16BE(16));
    const tcp = ip.subarray((ip.readUInt8(0) & 0x0f) * 4);
    const payload = tcp.subarray((tcp.readUInt8(12) >> 4) * 4);
    (tcp.readUInt16BE(2) === 1521 ? parts.toServer : parts.toClient).push(payload);
  }
  return { toServer: Buffer.concat(parts.toServer), toClient: Buffer.concat(parts.toClient) };
}

/** Types and lengths of what follows the connect phase. */
function rest(bytes: Buffer): string[] {
  const seen: string[] = [];
  let first = Buffer.alloc(0);
  const sink = {
    packetStart: (start: PacketStart) => seen.push(`${start.type} of ${start.lengthBytes}`),
    payload: (view: Buffer) => {
      first = first.length === 0 ? Buffer.from(view) : first;
    },
    packetEnd: () => undefined,
  };
  new PacketReader(sink, { source: 'backend', lengthForm: 'u32' }).push(bytes);
  t.ok(isNativeServices(first), 'native services come first');
  return seen;
}

if (existsSync(file)) {
  t.test('a 12c listener and sqlplus', async (t) => {
    const { toServer, toClient } = payloads(readFileSync(file));
    const client = new PacketCollector('frontend', tnsLimits.connectPacketBytesMax);
    client.push(toServer);
    for (const round of [1, 2]) {
      const packet = client.next()?.bytes ?? Buffer.alloc(0);
      const connect = parseConnect(packet, 'frontend');
      t.match(connect, { version: 315, versionLowest: 300, options: 0x0c41, sduBytes: 8192, flags2: 0 }, `${round}`);
      const root = parseDescriptor(connect.connectData ?? '', 'frontend');
      t.equal(descriptorValue(root, 'CONNECT_DATA', 'SID'), 'igor');
      t.equal(descriptorValue(root, 'ADDRESS', 'PORT'), '1521');
      const cleared = connectWithoutOutOfBand(packet);
      t.strictSame(
        [...cleared.entries()].filter(([at, byte]) => packet[at] !== byte),
        [[12, 0x08]],
      );
    }
    const server = new PacketCollector('backend', tnsLimits.connectPacketBytesMax);
    server.push(toClient);
    t.match(server.next(), { type: 11, flags: 0 }, 'RESEND');
    const packet = server.next()?.bytes ?? Buffer.alloc(0);
    t.match(parseAccept(packet, 'backend'), {
      version: 315,
      options: 0x0c41,
      sduBytes: 8192,
      tduBytes: 2_097_152,
      lengthForm: 'u32',
      nativeServices: true,
      endOfResponse: false,
    });
    const cleared = acceptWithoutOutOfBand(packet);
    t.strictSame(
      [...cleared.entries()].filter(([at, byte]) => packet[at] !== byte),
      [[10, 0x08]],
    );
    t.strictSame(rest(server.takeRest()), ['6 of 127', '6 of 239', '6 of 26']);
    t.strictSame(rest(client.takeRest()), ['6 of 164', '6 of 38', '6 of 82', '6 of 233']);
  });
} else {
  t.pass(`no captures in this place (${file}), nothing to read`);
}
