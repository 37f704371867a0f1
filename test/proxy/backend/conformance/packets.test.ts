/** Packets of every kind pass byte for byte; what the tracker does not know makes its verdict `unknown`, with the reason. */
import t from 'tap';
import { accept, bytes, connect, data, database, driver, marker, packet, play, same } from './transcript.js';

const begin = [driver(connect()), database(accept())] as const;
const endOfResponse = 0x2000;
const endOfRequest = 0x0800;
const unmarked = { flags2: 0 };
const oob = [
  'CONNECT: offer of out-of-band breaks',
  'CONNECT: check of out-of-band breaks',
  'ACCEPT: out-of-band breaks',
  'ACCEPT: check of out-of-band breaks',
];

t.test('out-of-band breaks are negotiated away on both sides, for every version that knows them', async (t) => {
  const offer = { options: 0x0c41, flags2: 0x1 };
  for (const [version, options] of [
    [319, oob],
    [318, oob],
    [315, oob.slice(0, 3)],
  ] as const) {
    const result = await play(t, [driver(connect(offer)), database(accept({ ...offer, version }))]);
    same(t, result, options);
  }
});

t.test('network compression is not offered to the database, and nothing else is changed', async (t) => {
  const result = await play(t, [driver(connect({ compression: 0x8800 })), database(accept())]);
  same(t, result, ['CONNECT: offer of compression']);
});

t.test('a database that compresses all the same is carried, and what it does is unknown', async (t) => {
  const result = await play(t, [
    driver(connect()),
    database(accept({ compression: 0x8800 })),
    driver(data('\x78\x9c compressed', 0x0400 | endOfRequest)),
    database(data('\x78\x9c compressed', 0x0400)),
  ]);
  same(t, result);
  t.match(result.last.movability, { movable: 'unknown', reason: 'unknown', detail: 'the request is compressed' });
});

for (const [name, type] of [
  ['ACK', 3],
  ['NULL', 7],
  ['ABORT', 9],
  ['ATTENTION', 13],
  ['DATA DESCRIPTOR', 15],
  ['a type nobody knows', 42],
] as const) {
  t.test(`${name} packets pass in both directions, and make the verdict unknown`, async (t) => {
    const odd = packet(type, bytes('anything'));
    const fromDriver = await play(t, [...begin, driver(odd), database(data('x'))]);
    same(t, fromDriver);
    t.match(fromDriver.last.movability, { reason: 'unknown', detail: `packet of type ${type} from the driver` });
    const fromDatabase = await play(t, [...begin, database(odd)]);
    same(t, fromDatabase);
    t.match(fromDatabase.last.movability, { reason: 'unknown', detail: `packet of type ${type} from the database` });
  });
}

t.test(
  'in-band notifications are told and change nothing, clear-out-of-band too; other CONTROL commands are unknown',
  async (t) => {
    const notification = packet(14, Buffer.from('0008000000000000311c00000000', 'hex'));
    const told = await play(t, [...begin, database(notification)]);
    same(t, told);
    t.equal(told.last.notification, 12572);
    const cleared = await play(t, [...begin, database(packet(14, Buffer.from('0009', 'hex')))]);
    same(t, cleared);
    t.not(cleared.last.movability.reason, 'unknown');
    const odd = await play(t, [...begin, database(packet(14, Buffer.from('004d', 'hex')))]);
    same(t, odd);
    t.match(odd.last.movability, { reason: 'unknown', detail: 'control command 77 from the database' });
  },
);

t.test('a CONTROL packet without a command is unknown, and ends nothing', async (t) => {
  const result = await play(t, [
    ...begin,
    database(packet(14, Buffer.alloc(0))),
    driver(data('x')),
    database(data('y')),
  ]);
  same(t, result);
  t.equal(result.last.movability.reason, 'unknown');
});

t.test('packets of a large SDU pass, also with the flag for them, up to the greatest there is', async (t) => {
  const sduBytes = 2_097_152;
  const large = Buffer.alloc(sduBytes - 10, 0x5a);
  const result = await play(t, [
    driver(connect({ sduBytes })),
    database(accept({ sduBytes, ...unmarked })),
    driver(data(large, 0, 0x20)),
    database(data(large, 0, 0x20)),
  ]);
  same(t, result);
  t.equal(result.last.protocol.sduBytes, sduBytes);
});

t.test('an SDU that the database makes smaller, or renegotiates in the session, changes no byte', async (t) => {
  const renegotiate = data(bytes(28, 2, 0x02, 0x00), 0);
  const result = await play(t, [
    driver(connect({ sduBytes: 65_535 })),
    database(accept({ sduBytes: 512 })),
    driver(data(Buffer.alloc(502))),
    database(renegotiate),
    driver(data(Buffer.alloc(65_525))),
    database(data(Buffer.alloc(65_525), endOfResponse)),
  ]);
  same(t, result);
  t.equal(result.last.protocol.sduBytes, 512);
});

t.test('an ACCEPT of 32 bytes, as from old servers, keeps lengths of 16 bits', async (t) => {
  const old = accept({ version: 314 });
  t.equal(old.length, 32);
  const small = Buffer.from('000d0000060000000000030e01', 'hex');
  const result = await play(t, [driver(connect()), database(old), driver(small), database(small)]);
  same(t, result);
  t.equal(result.last.protocol.version, 314);
  t.equal(result.last.calls.total, 1);
});

t.test('framing that is lost is passed on, and the verdict is unknown for good', async (t) => {
  const result = await play(t, [...begin, driver(Buffer.from('00000003060000000000', 'hex')), database(data('x'))]);
  same(t, result);
  t.match(result.last.movability, { movable: 'unknown', reason: 'unknown' });
});

t.test('an unknown TTC message passes and is named', async (t) => {
  const result = await play(t, [...begin, driver(data(bytes(250, 1, 2), endOfRequest)), database(data(bytes(251)))]);
  same(t, result);
  t.equal(result.last.movability.reason, 'unknown');
  t.match(result.last.movability.detail, /250/);
});

t.test('markers pass in every place of a conversation, in order', async (t) => {
  const request = data(bytes(3, 94, 1, 'x'), endOfRequest);
  const result = await play(t, [
    ...begin,
    // In the login, before a request, inside one, inside the answer, behind it; some databases send several RESETs.
    driver(marker('break')),
    database(marker('break')),
    driver(marker('reset')),
    database(marker('reset'), marker('reset'), data('error')),
    driver(marker('interrupt'), request.subarray(0, 11)),
    driver(request.subarray(11), marker('interrupt')),
    database(data('rows').subarray(0, 9)),
    driver(marker('break')),
    database(data('rows').subarray(9), marker('break')),
    driver(marker('reset')),
    database(marker('reset'), data('error')),
    driver(packet(12, bytes(2, 0, 0)), packet(12, bytes(0)), packet(12, Buffer.alloc(0))),
    database(data('y')),
  ]);
  same(t, result);
});
