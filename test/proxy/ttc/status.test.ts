import fc from 'fast-check';
import t from 'tap';
import { BadScalar, ByteReader, OutOfBytes, ResponseTail, readEndOfCall } from '../../../proxy/ttc/index.js';
import { ascii, be, hex } from '../tns/bytes.js';
import { v13, v24 } from './agreed.js';

function ub(n: number): string {
  const size = n === 0 ? 0 : n < 256 ? 1 : n < 65536 ? 2 : 4;
  return be(size, 1) + (size === 0 ? '' : be(n, size));
}

/** An ERROR message, field by field after the driver's processErrorInfo. */
function error(options: {
  status: number;
  number?: number;
  rows?: number;
  text?: string;
  cursor?: number;
  version?: number;
  batch?: string;
  /** Signed. */
  position?: string;
}): string {
  const number = options.number ?? 0;
  return [
    '04',
    ub(options.status),
    '0101', // end-to-end sequence number 1
    ub(options.rows ?? 0), // current row
    ub(number & 0xffff), // error number, 16 bits
    '00 00', // array element errors
    ub(options.cursor ?? 0),
    options.position ?? '00',
    '03 00 00 00 00 00', // SQL type, fatal, flags, cursor options, UPI parameter, warning
    '00 00 00 00 00', // rowid
    '00 00 00 00 00', // OS error, statement error, call number, padding, iterations
    '00', // logical rowid
    options.batch ?? '00 00 00', // no batch errors
    ub(number),
    ub(options.rows ?? 0),
    (options.version ?? 24) >= 14 ? '0103 00' : '', // SQL type, checksum
    number === 0 ? '' : be(options.text?.length ?? 0, 1) + ascii(options.text ?? ''),
  ].join('');
}

const status = (callStatus: number): string => `09 ${ub(callStatus)} 0101`;
/** A column description, a row header and a row: they hold 4s and 9s. */
const before = `10 00 0104 04${'09'.repeat(30)} 06 00 0104 00 07 02c104 04${ascii('abcd')} 0904`;

t.test('STATUS tells whether a transaction is open', async (t) => {
  const end = { kind: 'known', callStatus: 3, transactionOpen: true, sessionReleased: false, errorNumber: 0 };
  const known = { ...end, news: { ltxid: undefined, session: undefined } };
  t.strictSame(readEndOfCall(hex(status(3), '1d'), v24), known);
  t.strictSame(readEndOfCall(hex(status(3)), v24), known, 'without the end-of-response byte');
  t.match(readEndOfCall(hex(status(1), '1d'), v24), { transactionOpen: false });
  t.match(readEndOfCall(hex(status(0x8001), '1d'), v24), { transactionOpen: false, sessionReleased: true });
  const longest = `09 04 01000002 02 0101 1d`;
  t.match(readEndOfCall(hex(before, longest), v24), { transactionOpen: true, callStatus: 0x0100_0002 });
  t.strictSame(readEndOfCall(hex(status(3), '1d1d'), v24), { kind: 'none' }, 'only one byte may stand behind it');
});

t.test('ERROR tells it, with the error number, behind anything', async (t) => {
  const text = 'ORA-00942: table or view does not exist\n';
  for (const prefix of ['', before]) {
    t.match(readEndOfCall(hex(prefix, error({ status: 2, rows: 3, cursor: 4 }), '1d'), v24), {
      kind: 'known',
      transactionOpen: true,
      errorNumber: 0,
    });
    t.match(readEndOfCall(hex(prefix, error({ status: 1, number: 942, text }), '1d'), v24), {
      transactionOpen: false,
      errorNumber: 942,
    });
    t.match(readEndOfCall(hex(prefix, error({ status: 3, number: 1403, text: 'x', version: 13 })), v13), {
      transactionOpen: true,
      errorNumber: 1403,
    });
  }
});

t.test('a negative error position is one', async (t) => {
  t.match(readEndOfCall(hex(error({ status: 2, position: '81 05' }), '1d'), v24), { transactionOpen: true });
});

t.test('a STATUS that appears in the numbers of an ERROR does not count', async (t) => {
  // nine rows: the row count 01 09, SQL type 00 and checksum 00 look like STATUS 0, sequence 0
  const bytes = hex(error({ status: 2, rows: 9 }).replace(/0103 00$/, '00 00'), '1d');
  t.match(readEndOfCall(bytes, v24), { kind: 'known', transactionOpen: true });
});

t.test('batch errors are skipped', async (t) => {
  // two codes, two offsets, two messages: packed size, then length, text, end marker each
  const batch = `0102 02 0101 020393  0102 02 0100 0102  0102 04 0103 03${ascii('ORA')} 0000 0101 01${ascii('x')} 0000`;
  t.match(readEndOfCall(hex(error({ status: 2, number: 24381, text: 'batch', batch })), v24), { errorNumber: 24381 });
  const chunked = `0101 fe 0102 0101 00  0101 fe 0101 0105 00  00`;
  t.match(readEndOfCall(hex(error({ status: 2, number: 24381, text: 'batch', batch: chunked })), v24), {
    errorNumber: 24381,
  });
  const codesOnly = `0101 fe 0102 0101 00  00 00`;
  t.match(readEndOfCall(hex(error({ status: 2, number: 24381, text: 'batch', batch: codesOnly })), v24), {
    errorNumber: 24381,
  });
});

t.test('candidates that disagree about the transaction make it unknown', async (t) => {
  // the text of the first is the second: crafted, no server writes this
  const inner = error({ status: 0, number: 1, text: 'x' });
  const outer = error({ status: 2, number: 1, text: Buffer.from(inner.replace(/\s/g, ''), 'hex').toString('latin1') });
  t.match(readEndOfCall(hex(outer), v24), { kind: 'known', transactionOpen: undefined });
});

t.test('without an agreed end-of-call status the transaction is unknown', async (t) => {
  const capabilities = {
    fieldVersion: 24,
    endOfCallStatus: false,
    endOfResponse: true,
    plainTexts: false,
    wideScales: false,
  };
  t.match(readEndOfCall(hex(status(0), '1d'), capabilities), { kind: 'known', transactionOpen: undefined });
});

t.test('a response that goes on has no end of call', async (t) => {
  t.strictSame(readEndOfCall(hex(before), v24), { kind: 'none' });
  t.strictSame(readEndOfCall(Buffer.alloc(0), v24), { kind: 'none' });
  const whole = hex(error({ status: 2, number: 942, text: 'ORA-00942' }));
  for (let end = 1; end < whole.length; end++) {
    const cut = readEndOfCall(whole.subarray(0, end), v24);
    t.ok(cut.kind === 'none' || cut.errorNumber === 0, `cut at ${end}`);
  }
});

t.test('random bytes in front never change the answer to the wrong one', async () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 2000 }), fc.boolean(), fc.nat(100_000), (noise, open, rows) => {
      const end = hex(error({ status: open ? 3 : 1, rows }), '1d');
      const result = readEndOfCall(Buffer.concat([noise, end]), v24);
      return result.kind === 'known' && (result.transactionOpen === open || result.transactionOpen === undefined);
    }),
  );
});

/** The ends of all ERROR messages that a reader which throws can read to the end, tried at every byte. */
function naiveErrors(tail: Buffer): number[] {
  const found: number[] = [];
  for (let at = 0; at < tail.length; at++) {
    try {
      const reader = new ByteReader(tail, at);
      if (reader.u8() !== 4) continue;
      const callStatus = reader.ub4();
      const fixed = ['ub2', 'ub4', 'ub2', 'ub2', 'ub2', 'ub2', 'sb2'] as const;
      for (const kind of fixed) reader[kind]();
      reader.skip(6);
      for (const kind of ['ub4', 'ub2', 'u8', 'ub4', 'ub2', 'ub4', 'u8', 'u8', 'ub2', 'ub4'] as const) reader[kind]();
      reader.clrWithLength();
      // None of the messages made below has batch errors, which have a test of their own.
      if (reader.ub2() + reader.ub4() + reader.ub2() > 0) continue;
      const number = reader.ub4();
      for (const kind of ['ub8', 'ub4', 'ub4'] as const) reader[kind]();
      if (number !== 0) reader.clr();
      if (reader.left === 0 || (reader.left === 1 && reader.u8() === 29)) found.push(callStatus);
    } catch (failure) {
      if (!(failure instanceof OutOfBytes) && !(failure instanceof BadScalar)) throw failure;
    }
  }
  return found;
}

t.test('ERROR messages are found where a naive reader finds them, and nowhere else', async (t) => {
  const text = fc.constantFrom('', 'ORA-01403: no data found', '\x04\x01\x02'.repeat(30), '\x09\x01\x02\x00');
  const byte = fc.oneof(fc.constantFrom(0, 1, 2, 4, 9), fc.nat(255));
  const seen = { found: 0, none: 0 };
  fc.assert(
    fc.property(
      fc.array(byte, { maxLength: 300 }),
      fc.record({ status: fc.nat(3), number: fc.constantFrom(0, 942, 24_381), rows: fc.nat(70_000), text }),
      fc.nat(400),
      fc.boolean(),
      (noise, fields, spoilt, closed) => {
        const tail = Buffer.concat([Buffer.from(noise), hex(error(fields), closed ? '1d' : '')]);
        if (spoilt < tail.length) tail[spoilt] = 4;
        const errors = naiveErrors(tail);
        seen[errors.length > 0 ? 'found' : 'none'] += 1;
        const end = readEndOfCall(tail, v24);
        if (errors.length === 0) return end.kind === 'none' || end.errorNumber === 0;
        const open = errors.map((callStatus) => (callStatus & 2) !== 0);
        const expected = open.every((each) => each === open[0]) ? open[0] : undefined;
        return end.kind === 'known' && end.callStatus === errors[0] && end.transactionOpen === expected;
      },
    ),
    { numRuns: 1000 },
  );
  t.ok(seen.found > 100 && seen.none > 10, JSON.stringify(seen));
});

t.test('the tail of a response is kept in bounded memory, in any chunking', async (t) => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 40 }), (chunks) => {
      const tail = new ResponseTail(32);
      for (const chunk of chunks) {
        tail.push(Buffer.from(chunk));
      }
      return tail.view().equals(Buffer.concat(chunks).subarray(-32));
    }),
  );
  const tail = new ResponseTail();
  tail.push(Buffer.alloc(100_000, 1));
  t.equal(tail.view().length, 8192);
  tail.clear();
  t.equal(tail.view().length, 0);
});
