/**
 * Captures of real servers, where HOLDFAST_TEST_CAPTURES names a directory with some: they are not part of this project, so
 * where it is not set there is nothing to read and this file says so.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { conversations } from '../../../fixtures/captures/capture.js';
import {
  acceptWithoutOutOfBand,
  connectWithoutOffers,
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

const directory = process.env.HOLDFAST_TEST_CAPTURES;
const file = directory === undefined ? undefined : join(directory, 'listener-12c.pcapng');

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

if (file !== undefined && existsSync(file)) {
  t.test('a 12c listener and sqlplus', async (t) => {
    const [flow] = conversations(readFileSync(file));
    const sent = (from: 'driver' | 'database') =>
      Buffer.concat(flow?.segments.flatMap((segment) => (segment.from === from ? [segment.bytes] : [])) ?? []);
    const [toServer, toClient] = [sent('driver'), sent('database')];
    const client = new PacketCollector('frontend', tnsLimits.connectPacketBytesMax);
    client.push(toServer);
    for (const round of [1, 2]) {
      const packet = client.next()?.bytes ?? Buffer.alloc(0);
      const connect = parseConnect(packet, 'frontend');
      t.match(connect, { version: 315, versionLowest: 300, options: 0x0c41, sduBytes: 8192, flags2: 0 }, `${round}`);
      const root = parseDescriptor(connect.connectData ?? '', 'frontend');
      t.equal(descriptorValue(root, 'CONNECT_DATA', 'SID'), 'igor');
      t.equal(descriptorValue(root, 'ADDRESS', 'PORT'), '1521');
      const cleared = connectWithoutOffers(packet);
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
  t.pass('HOLDFAST_TEST_CAPTURES names no directory with listener-12c.pcapng, nothing to read');
}
