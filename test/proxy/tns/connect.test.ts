import t from 'tap';
import {
  connectWithData,
  connectWithoutOffers,
  encodeConnect,
  PacketCollector,
  parseConnect,
} from '../../../proxy/tns/index.js';
import { ascii, be, hex } from './bytes.js';

const descriptor = '(DESCRIPTION=(CONNECT_DATA=(SERVICE_NAME=orders)))';

/** A CONNECT as today's thin drivers send it: all fields, connect data at 74. */
function connect(options: { data: string; inline: boolean; serviceOptions?: string; flags2?: string }): Buffer {
  const inline = options.inline ? ascii(options.data) : '';
  return hex(
    be(74 + inline.length / 2, 2),
    '0000 01 00 0000', // CONNECT, no flags
    '013f 012c', // version 319, lowest 300
    options.serviceOptions ?? '0001',
    '2000 ffff', // SDU, TDU as far as 16 bits go
    '4f98 0000 0001', // characteristics, turnaround, byte order
    be(options.data.length, 2),
    '004a', // connect data at 74
    '00000000 84 84', // 28: largest connect data, 32: native services disabled
    '00'.repeat(24), // 34
    '00010000 00200000', // 58: large SDU 65536, large TDU 2 MB
    '00000000', // 66: compression
    options.flags2 ?? '00000000', // 70: flags2
    inline,
  );
}

t.test('CONNECT with inline connect data', async (t) => {
  t.strictSame(parseConnect(connect({ data: descriptor, inline: true }), 'frontend'), {
    version: 319,
    versionLowest: 300,
    options: 1,
    sduBytes: 65536,
    tduBytes: 2_097_152,
    flags2: 0,
    connectDataBytes: descriptor.length,
    connectData: descriptor,
  });
});

t.test('connect data above 230 bytes follows in a DATA packet', async (t) => {
  const long = `(DESCRIPTION=${'(A=b)'.repeat(60)})`;
  const parsed = parseConnect(connect({ data: long, inline: false }), 'frontend');
  t.equal(parsed.connectData, undefined);
  t.equal(parsed.connectDataBytes, long.length);
});

t.test('out-of-band breaks are taken out of CONNECT, and nothing else is changed', async (t) => {
  const offered = connect({ data: descriptor, inline: true, serviceOptions: '0c41', flags2: '80000001' });
  t.strictSame(
    connectWithoutOffers(offered),
    connect({ data: descriptor, inline: true, serviceOptions: '0841', flags2: '80000000' }),
  );
  t.strictSame(offered.readUInt16BE(12), 0x0c41, 'the original is not touched');
});

t.test(
  'network compression is taken out of CONNECT, with its list of schemes, and nothing else is changed',
  async (t) => {
    const offered = connect({ data: descriptor, inline: true });
    const plain = Buffer.from(offered);
    offered.writeUInt16BE(0x8800, 66);
    plain.writeUInt16BE(0, 66);
    t.strictSame(connectWithoutOffers(offered), connectWithoutOffers(plain));
    t.equal(connectWithoutOffers(offered).readUInt16BE(66), 0);
    const without = Buffer.concat([offered.subarray(0, 58), Buffer.from(descriptor, 'latin1')]);
    without.writeUInt16BE(without.length, 0);
    without.writeUInt16BE(58, 26);
    t.equal(
      connectWithoutOffers(without).toString('latin1', 58),
      descriptor,
      'connect data is not taken for the field',
    );
  },
);

t.test('where connect data starts at 70, as from 12c clients, it is not taken for flags', async (t) => {
  const body = connect({ data: descriptor, inline: false }).subarray(0, 70);
  const packet = Buffer.concat([body, Buffer.from(descriptor, 'latin1')]);
  packet.writeUInt16BE(packet.length, 0);
  packet.writeUInt16BE(70, 26);
  packet.writeUInt16BE(0x0c41, 12);
  const cleared = connectWithoutOffers(packet);
  t.equal(cleared.readUInt16BE(12), 0x0841);
  t.equal(cleared.toString('latin1', 70), descriptor);
  t.equal(parseConnect(cleared, 'frontend').connectData, descriptor);
  t.equal(parseConnect(cleared, 'frontend').flags2, 0);
});

t.test('fields that do not fit the packet are coded errors', async (t) => {
  t.throws(() => parseConnect(hex('0014 0000 01 00 0000', '00'.repeat(12)), 'frontend'), { code: 'field-invalid' });
  const outside = connect({ data: descriptor, inline: true });
  outside.writeUInt16BE(200, 24);
  t.throws(() => parseConnect(outside, 'frontend'), { code: 'field-invalid', source: 'frontend' }, 'cut connect data');
  const long = connect({ data: descriptor, inline: false });
  long.writeUInt16BE(32_767, 24);
  t.equal(parseConnect(long, 'frontend').connectDataBytes, 32_767);
  long.writeUInt16BE(32_768, 24);
  t.throws(() => parseConnect(long, 'frontend'), { code: 'connect-data-too-long' });
});

t.test(
  'a redirected CONNECT keeps the client’s fields, has the flag and the new data, inline up to 230 bytes',
  async (t) => {
    const original = connect({ data: descriptor, inline: true });
    for (const length of [230, 231]) {
      const data = 'x'.repeat(length);
      const packets = connectWithData(original, data, { redirected: true });
      t.equal(packets.length, length === 230 ? 1 : 2);
      const collector = new PacketCollector('frontend', 4000);
      collector.push(Buffer.concat(packets));
      const head = collector.next();
      t.equal(head?.flags, 4);
      const parsed = parseConnect(head?.bytes ?? Buffer.alloc(0), 'frontend');
      t.equal(parsed.sduBytes, 65536);
      t.equal(parsed.connectDataBytes, length);
      t.equal(parsed.connectData ?? collector.next()?.bytes.toString('latin1', 10), data);
    }
  },
);

t.test('an encoded CONNECT is what the drivers send', async (t) => {
  const fields = { version: 319, versionLowest: 300, options: 1, sduBytes: 65536, tduBytes: 2_097_152, flags2: 0 };
  const [packet] = encodeConnect(fields, descriptor);
  const expected = connect({ data: descriptor, inline: true });
  expected.writeUInt16BE(0xffff, 14); // SDU as far as 16 bits go
  t.strictSame(packet, expected);
});
