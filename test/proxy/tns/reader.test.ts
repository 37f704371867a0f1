import fc from 'fast-check';
import t from 'tap';
import { PacketCollector, PacketReader, TnsError, tnsLimits } from '../../../proxy/tns/index.js';
import { ascii, hex, packet } from './bytes.js';

type Event = string | { payload: string };

function observe(chunks: readonly Buffer[], lengthForm: 'u16' | 'u32' = 'u32'): Event[] {
  const events: Event[] = [];
  let payload = '';
  const reader = new PacketReader(
    {
      packetStart: (start) => events.push(`start ${start.type} ${start.flags} ${start.lengthBytes} ${start.dataFlags}`),
      payload: (view) => {
        payload += view.toString('hex');
      },
      packetEnd: () => {
        events.push({ payload });
        payload = '';
      },
    },
    { source: 'backend', lengthForm },
  );
  for (const chunk of chunks) {
    reader.push(chunk);
  }
  return events;
}

// 18 bytes: DATA with data flags 0x2000 and eight payload bytes
const data = hex('00000012 06 00 0000 2000 0102030405060708');
// 11 bytes: MARKER, type 1, 0, reset
const marker = hex('0000000b 0c 00 0000 01 00 02');
// 10 bytes: DATA with EOF flag and nothing else
const endOfFile = hex('0000000a 06 00 0000 0040');
// 8 bytes: RESEND is a header alone
const resend = hex('00000008 0b 08 0000');
const stream = Buffer.concat([data, marker, endOfFile, resend, data]);
const expected: Event[] = [
  'start 6 0 18 8192',
  { payload: '0102030405060708' },
  'start 12 0 11 0',
  { payload: '010002' },
  'start 6 0 10 64',
  { payload: '' },
  'start 11 8 8 0',
  { payload: '' },
  'start 6 0 18 8192',
  { payload: '0102030405060708' },
];

t.test('packets are the same at every place where a chunk may end', async (t) => {
  for (let at = 0; at <= stream.length; at++) {
    t.strictSame(observe([stream.subarray(0, at), stream.subarray(at)]), expected, `split at ${at}`);
  }
  t.strictSame(observe([...stream].map((byte) => Buffer.from([byte]))), expected, 'byte by byte');
});

t.test('any chunking gives the same packets, streamed and collected', async () => {
  const packets = fc.array(
    fc.record({
      type: fc.constantFrom(6, 12, 14, 11, 99),
      body: fc.uint8Array({ minLength: 2, maxLength: 40 }),
    }),
    { maxLength: 6 },
  );
  fc.assert(
    fc.property(packets, fc.array(fc.nat(300), { maxLength: 12 }), (list, cuts) => {
      const built = list.map(({ type, body }) => packet(type, Buffer.from(body).toString('hex')));
      const bytes = Buffer.concat(built);
      const chunks = split(bytes, cuts);
      const same = JSON.stringify(observe(chunks)) === JSON.stringify(observe([bytes]));
      const collector = new PacketCollector('backend', tnsLimits.packetBytesMax);
      collector.lengthForm = 'u32';
      const collected: string[] = [];
      for (const chunk of chunks) {
        collector.push(chunk);
        for (let next = collector.next(); next !== undefined; next = collector.next()) {
          collected.push(next.bytes.toString('hex'));
        }
      }
      return same && collected.join() === built.map((one) => one.toString('hex')).join() && collector.heldBytes === 0;
    }),
  );
});

function split(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const places = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  const chunks: Buffer[] = [];
  let from = 0;
  for (const to of [...places, bytes.length]) {
    chunks.push(bytes.subarray(from, to));
    from = to;
  }
  return chunks;
}

t.test('another reader goes on from the state of the first, after any byte', async (t) => {
  for (let at = 0; at <= stream.length; at++) {
    const types: string[] = [];
    const sink = {
      packetStart: (start: { type: number; lengthBytes: number }) => types.push(`${start.type} ${start.lengthBytes}`),
      payload: (view: Buffer) => types.push(view.toString('hex')),
      packetEnd: () => types.push('end'),
    };
    const options = { source: 'backend', lengthForm: 'u32' } as const;
    const whole = new PacketReader(sink, options);
    whole.push(stream.subarray(0, at));
    whole.push(stream.subarray(at));
    const expected = types.splice(0);
    const first = new PacketReader(sink, options);
    first.push(stream.subarray(0, at));
    const second = new PacketReader(sink, options, first.state());
    t.strictSame(second.state(), first.state());
    t.equal(second.betweenPackets, first.betweenPackets);
    second.push(stream.subarray(at));
    t.strictSame(types, expected, `at ${at}`);
  }
});

t.test('payload is handed on as views of the chunk, not copies', async (t) => {
  const chunk = Buffer.from(data);
  let view: Buffer = Buffer.alloc(0);
  const reader = new PacketReader(
    {
      packetStart: () => undefined,
      payload: (bytes) => {
        view = bytes;
      },
      packetEnd: () => undefined,
    },
    { source: 'frontend', lengthForm: 'u32' },
  );
  reader.push(chunk);
  t.equal(view.buffer, chunk.buffer);
  t.ok(reader.betweenPackets);
});

t.test('before ACCEPT the length has 16 bits', async (t) => {
  t.strictSame(observe([hex('000a 0000 0b 00 0000 ffff')], 'u16'), ['start 11 0 10 0', { payload: 'ffff' }]);
});

t.test('a declared length below the header is refused', async (t) => {
  t.throws(() => observe([hex('00000007 0c 00 0000')]), {
    name: 'TnsError',
    code: 'packet-too-short',
    source: 'backend',
  });
  t.throws(() => observe([hex('00000009 06 00 0000')]), { code: 'packet-too-short' }, 'DATA has ten header bytes');
});

t.test('a packet longer than the limit is refused from its header, before it is collected', async (t) => {
  const longest = hex('00200000 06 00 0000 0000');
  const tooLong = hex('00200001 06 00 0000 0000');
  t.strictSame(observe([longest]), ['start 6 0 2097152 0']);
  t.throws(() => observe([tooLong]), { code: 'packet-too-long' });
  const collector = new PacketCollector('frontend', 100);
  collector.push(hex('0065 0000 01 00 0000'));
  t.throws(
    () => collector.next(),
    new TnsError('packet-too-long', 'frontend', 'packet declares 101 bytes, the limit is 100'),
  );
});

t.test('the length form may change between two packets of one chunk', async (t) => {
  const collector = new PacketCollector('backend', 1000);
  // ACCEPT with 16-bit length, DATA with 32-bit length behind it
  collector.push(Buffer.concat([packet(2, ascii('accepted'), { u16: true }), data, marker.subarray(0, 5)]));
  t.equal(collector.next()?.type, 2);
  collector.lengthForm = 'u32';
  t.equal(collector.next()?.bytes.toString('hex'), data.toString('hex'));
  t.equal(collector.next(), undefined);
  t.equal(collector.takeRest().toString('hex'), marker.subarray(0, 5).toString('hex'));
  t.equal(collector.heldBytes, 0);
});
