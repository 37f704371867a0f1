import t from 'tap';
import { noNews, readEndOfCall, readServerPiggybacks, readServerPiggybacksBefore } from '../../../proxy/ttc/index.js';

const hex = (...parts: readonly string[]): Buffer => Buffer.from(parts.join('').replaceAll(' ', ''), 'hex');
const v24 = { fieldVersion: 24, endOfCallStatus: true, endOfResponse: true, plainTexts: false, wideScales: false };

/** Message 23, opcode, body; layouts of the driver's processServerSidePiggyBack. */
const known = {
  queryCache: '17 01',
  processId: '17 02 0102 00 3432',
  trace: '17 03',
  /** Two pairs, one of them with a key and a value; flags 4, SID 300, serial 7. */
  session: '17 04 00 00 0102 00 0101 0161 0101 0162 00 00 00 0101 0104 02012c 0107',
  sync: '17 05 00 00 0101 00 00 0102 024203 01c9 00',
  ltxid: '17 07 0104 04deadbeef',
  replay: '17 08 00 00 00 00 00 0102 02ffff',
  extended: '17 09 00 00',
  signature: '17 0a 00 00 00 0101 0102',
};
const status = '09 0102 0101';

t.test('each piggyback is read to its end, and a chain of them', async (t) => {
  for (const [name, bytes] of Object.entries(known)) {
    t.equal(readServerPiggybacks(hex(bytes, status), 0).end, hex(bytes).length, name);
  }
  const { news, end } = readServerPiggybacks(hex(...Object.values(known), status), 0);
  t.equal(end, hex(...Object.values(known)).length);
  t.strictSame(news, { ltxid: hex('deadbeef'), session: { sid: 300, serial: 7, changed: true } });
});

t.test('cut off anywhere, a piggyback is not read', async (t) => {
  for (const [name, bytes] of Object.entries(known)) {
    const whole = hex(bytes);
    for (let at = 1; at < whole.length; at++) {
      t.strictSame(readServerPiggybacks(whole.subarray(0, at), 0), { news: noNews, end: 0 }, `${name} ${at}`);
    }
  }
  t.equal(readServerPiggybacks(hex('17 63 00'), 0).end, 0, 'an opcode nobody knows');
  t.equal(
    readServerPiggybacks(hex(`17 07 020100 fe 020100 ${'00'.repeat(256)} 00`), 0).end,
    0,
    'no such id is so long',
  );
});

t.test('they are found before and behind the message that ends a call', async (t) => {
  const rows = '07 0417021709 17 07 17';
  for (const response of [
    [rows, known.ltxid, status, '1d'],
    [rows, known.queryCache, known.ltxid, known.trace, status],
    [rows, status, known.ltxid, '1d'],
    [rows, status, known.trace, known.ltxid],
  ]) {
    t.match(readEndOfCall(hex(...response), v24), {
      kind: 'known',
      transactionOpen: true,
      news: { ltxid: hex('deadbeef') },
    });
  }
  const both = readEndOfCall(hex(known.session, status, known.ltxid), v24);
  t.match(both, { news: { ltxid: hex('deadbeef'), session: { sid: 300, serial: 7 } } });
  t.match(readEndOfCall(hex(rows, known.ltxid, '00', status), v24), { news: noNews }, 'only right before it');
});

t.test('a search before the end is bounded', async (t) => {
  const far = hex(known.ltxid, known.trace.repeat(300));
  t.strictSame(readServerPiggybacksBefore(far, far.length), noNews);
});
