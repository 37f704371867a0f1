import t from 'tap';
import { acceptWithoutOutOfBand, encodeAccept, negotiateSdu, parseAccept } from '../../../proxy/tns/index.js';
import { hex } from './bytes.js';

/** 61 bytes, version 319: end of response, fast auth, out-of-band check. */
const modern = hex(
  '003d 0000 02 00 0000',
  '013f 0401', // version 319, options with attention
  'ffff ffff 0001', // SDU, TDU, byte order
  '0000 003d', // no accept data, which would start at 61
  '04 08', // native services: disabled, none
  '0000 0000 0000 0000', // 24: pool timeout, tick, reconnect address
  '00010000 00200000', // 32: large SDU 65536, large TDU
  '00', // 40: no compression
  '12000001', // 41: flags2
  '000102030405060708090a0b0c0d0e0f', // 45: UUID
);

t.test('ACCEPT of version 319', async (t) => {
  t.strictSame(parseAccept(modern, 'backend'), {
    version: 319,
    options: 0x0401,
    sduBytes: 65536,
    tduBytes: 2_097_152,
    flags2: 0x12000001,
    lengthForm: 'u32',
    endOfResponse: true,
    fastAuth: true,
    nativeServices: false,
    compression: false,
  });
});

t.test('ACCEPT of 32 bytes from an old server is legal', async (t) => {
  const old = hex('0020 0000 02 00 0000 013a 0001 2000 7fff 0001 0000 0020 41 41', '00'.repeat(8));
  t.equal(old.length, 32);
  const accept = parseAccept(old, 'backend');
  t.equal(accept.version, 314);
  t.equal(accept.lengthForm, 'u16');
  t.equal(accept.sduBytes, 8192);
  t.equal(accept.flags2, 0);
  t.equal(accept.nativeServices, true);
  t.strictSame(acceptWithoutOutOfBand(old), old);
});

t.test('out-of-band breaks are taken out of ACCEPT, and nothing else is changed', async (t) => {
  const expected = Buffer.from(modern);
  expected[10] = 0x00;
  expected[44] = 0x00;
  t.strictSame(acceptWithoutOutOfBand(modern), expected);
});

t.test('accept data of version 315 at offset 41 is not taken for flags', async (t) => {
  // 45 bytes: version 315 has no flags2, four bytes of accept data end in an odd byte
  const packet = Buffer.concat([modern.subarray(0, 41), hex('41424341')]);
  packet.writeUInt16BE(45, 0);
  packet.writeUInt16BE(315, 8);
  t.equal(acceptWithoutOutOfBand(packet).toString('latin1', 41), 'ABCA');
  t.equal(parseAccept(packet, 'backend').endOfResponse, false);
});

t.test('a cut ACCEPT is a coded error', async (t) => {
  t.throws(() => parseAccept(modern.subarray(0, 23), 'backend'), { code: 'field-invalid', source: 'backend' });
});

t.test('an encoded ACCEPT has the layout of its version', async (t) => {
  const fields = {
    options: 0x0401,
    sduBytes: 65536,
    tduBytes: 2_097_152,
    flags2: 0x12000001,
    uuid: modern.subarray(45),
  };
  t.strictSame(encodeAccept({ ...fields, version: 319 }), modern);
  t.equal(encodeAccept({ ...fields, version: 318 }).length, 45);
  t.equal(encodeAccept({ ...fields, version: 315 }).length, 41);
  t.equal(encodeAccept({ ...fields, version: 314 }).length, 32);
});

t.test('the SDU agreed on is the smaller one, at least 512', async (t) => {
  t.equal(negotiateSdu(8192, 65536), 8192);
  t.equal(negotiateSdu(2_000_000, 65536), 65536);
  t.equal(negotiateSdu(10, 65536), 512);
});
