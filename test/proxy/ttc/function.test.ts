import t from 'tap';
import { functionName, type RequestHead, readRequestHead, ttcLimits } from '../../../proxy/ttc/index.js';
import { ascii, hex } from '../tns/bytes.js';
import { v13, v24 } from './agreed.js';

function head(...parts: readonly string[]): RequestHead {
  return readRequestHead(hex(...parts), v24);
}

t.test('a function is known from its first two bytes', async (t) => {
  const ping = { kind: 'call', functionCode: 147, piggybacks: [], oneWay: false, sessionState: 0 };
  t.strictSame(head('03 93 07 00'), ping);
  t.strictSame(head('03 93'), ping);
  t.strictSame(head('03'), { kind: 'need-more' });
  t.strictSame(head(''), { kind: 'need-more' });
});

t.test('a one-way function says that no reply follows', async (t) => {
  t.match(head('1a a3 09 00'), { kind: 'call', functionCode: 163, oneWay: true });
});

t.test('login and negotiation', async (t) => {
  t.strictSame(head('22 01 01 00'), { kind: 'fast-auth' });
  t.strictSame(head('01 06 00'), { kind: 'negotiation', message: 'protocol' });
  t.strictSame(head('02 6903'), { kind: 'negotiation', message: 'data-types' });
  t.strictSame(head('13'), { kind: 'flush-out-binds' });
});

t.test('an unknown message or piggyback is reported, not guessed', async (t) => {
  t.match(head('63 00'), { kind: 'unknown' });
  t.match(head('11 4d 01 00'), { kind: 'unknown', reason: /function 77/ });
  t.match(head('11 69 01 00 01 09'), { kind: 'unknown' }, 'a cursor count with an impossible length');
});

/** Layouts written down by hand from the driver's base.js; each has the 23.1 token (one 0 byte) behind its number. */
const piggybacks: Record<string, { code: number; bytes: string; sessionState?: number }> = {
  // pointer, 2 cursors: 5 and 300
  'close cursors': { code: 105, bytes: '11 69 01 00  01 0102 0105 02012c' },
  'cancel cursors': { code: 120, bytes: '11 78 01 00  01 0101 0104' },
  // pointer, length, value
  'set schema': { code: 152, bytes: `11 98 01 00  01 0103 03${ascii('HR1')}` },
  // flags module|action; client id none, module, action, ecid none; cidcct, cidecs; client info none; cideci; cidcct, cidecs; dbop none; values
  'end to end': {
    code: 135,
    bytes: `11 87 01 00  00 00 0118  00 00  01 0104  01 00  00 00  00 00  00 00  00 00  00 00  00 00  04${ascii('shop')}`,
  },
  // namespace pointer and length, pairs pointer and count, flags, 0, namespace, key, value, flags
  'application context': {
    code: 154,
    bytes: `11 9a 01 00  01 0102 01 0101 0101 00  02${ascii('NS')}  0101 01${ascii('k')} 0101 01${ascii('v')} 00`,
  },
  'pipeline begin': { code: 199, bytes: '11 c7 01 00  00 00 01' },
  // flags, pointer, one pair: key, no value, flags
  'alter session': { code: 204, bytes: `11 cc 01 00  00 01 0101  0103 03${ascii('PRI')} 00 0101` },
  // flags, pointer, one value: flags, key, no text, binary
  'security context': { code: 205, bytes: `11 cd 01 00  0101 01 0101  00  0103 03${ascii('KEY')}  00  0102 02ffff` },
  // request end, explicit
  'session state': { code: 176, bytes: '11 b0 01 00  0148', sessionState: 0x48 },
  // pointer, 4 bytes of locators, ..., operation 0x80111, ..., locators
  'free temporary lobs': {
    code: 96,
    bytes: '11 60 01 00  01 0104  00 00  00 00  00 00 00  0400080111  00 00 00 00 00  00 00 00 00 00 00  01020304',
  },
  // operation 1, no context, format id, lengths, xid pointer and 2 bytes, flags, timeout, pointers, no names, xid, value
  'transaction switch': {
    code: 103,
    bytes: '11 67 01 00  0101  00 00  0105 0101 0101 01 0102  0110 013c  01 01 01  00 00  00 00  aabb  00',
  },
};

for (const [name, { code, bytes, sessionState }] of Object.entries(piggybacks)) {
  t.test(`the function behind a piggyback is found: ${name}`, async (t) => {
    const request = hex(bytes, '03 0e 02 00');
    const call = { kind: 'call', functionCode: 14, piggybacks: [code], oneWay: false, sessionState: sessionState ?? 0 };
    t.strictSame(readRequestHead(request, v24), call);
    for (let end = 0; end < request.length - 2; end++) {
      t.strictSame(readRequestHead(request.subarray(0, end), v24), { kind: 'need-more' }, `cut at ${end}`);
    }
  });
}

t.test('piggybacks come in chains', async (t) => {
  const all = Object.values(piggybacks);
  t.match(head(...all.map(({ bytes }) => bytes), '03 5e 02 00'), {
    kind: 'call',
    functionCode: 94,
    piggybacks: all.map(({ code }) => code),
    sessionState: 0x48,
  });
});

t.test('JDBC writes the texts of piggybacks without a length of their own', async (t) => {
  const texts = `${ascii('somebody')} ${ascii('interop')} ${ascii('connect')}`;
  const endToEnd = `11 87 08 00  0000 0159  010108 010107 010107 0000  0000 0000 0000  0000 0000 ${texts}`;
  const schema = `11 98 09 00  01 0103 ${ascii('APP')}`;
  t.match(readRequestHead(hex(endToEnd, schema, '03 5e 0a'), { ...v24, plainTexts: true }), {
    kind: 'call',
    functionCode: 94,
    piggybacks: [135, 152],
  });
});

t.test('before 23.1 there is no token behind the sequence number', async (t) => {
  t.match(readRequestHead(hex('11 69 01  01 0101 0105  03 05 02'), v13), { functionCode: 5, piggybacks: [105] });
});

t.test('a chain that is too long is unknown', async (t) => {
  const one = '11 69 01 00 01 00';
  t.match(head(one.repeat(64), '03 0e'), { kind: 'call' });
  t.match(head(one.repeat(65), '03 0e'), { kind: 'unknown' });
  // 65,535 cursors, each number one byte
  const endless = Buffer.alloc(ttcLimits.requestHeadBytesMax);
  hex('11 69 01 00 01 02ffff').copy(endless);
  t.match(readRequestHead(endless.subarray(0, -1), v24), { kind: 'need-more' });
  t.match(readRequestHead(endless, v24), { kind: 'unknown', reason: /more piggyback bytes/ });
});

t.test('functions have names', async (t) => {
  t.equal(functionName(94), 'execute');
  t.equal(functionName(77), 'function 77');
});
