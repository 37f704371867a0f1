import fc from 'fast-check';
import t from 'tap';
import { BadScalar, ByteReader, ByteWriter, OutOfBytes } from '../../../proxy/ttc/index.js';
import { hex } from '../tns/bytes.js';

t.test('integers have a length byte and the fewest of 1, 2, 4, 8 bytes', async (t) => {
  const cases: [number, string][] = [
    [0, '00'],
    [1, '01 01'],
    [255, '01 ff'],
    [256, '02 0100'],
    [65535, '02 ffff'],
    [65536, '04 00010000'],
    [0xffffffff, '04 ffffffff'],
    [0x100000000, '08 0000000100000000'],
  ];
  for (const [value, bytes] of cases) {
    t.strictSame(new ByteWriter().ub8(value).take(), hex(bytes));
    t.equal(new ByteReader(hex(bytes)).ub8(), value);
  }
  t.equal(new ByteReader(hex('03 010000')).ub4(), 65536, 'three bytes are read too');
  t.equal(new ByteReader(hex('81 05')).sb4(), -5);
  t.strictSame(new ByteWriter().sb4(-300).take(), hex('82 012c'));
});

t.test('impossible integers are refused', async (t) => {
  t.throws(() => new ByteReader(hex('03 010101')).ub2(), BadScalar);
  t.throws(() => new ByteReader(hex('81 05')).ub4(), BadScalar);
  t.throws(() => new ByteReader(hex('08 ffffffffffffffff')).ub8(), BadScalar);
});

t.test('values up to 252 bytes have one length byte, longer ones come in chunks', async (t) => {
  t.strictSame(new ByteWriter().clr(hex('0102')).take(), hex('02 0102'));
  t.equal(new ByteWriter().clr(Buffer.alloc(252)).take()[0], 252);
  const long = new ByteWriter().clr(Buffer.alloc(253, 7)).take();
  t.strictSame(long, Buffer.concat([hex('fe 01 fd'), Buffer.alloc(253, 7), hex('00')]));
  t.equal(new ByteReader(hex('fe 02 0002 6162 01 01 63 00')).text(), 'abc');
  t.equal(new ByteReader(hex('00')).clr(), null);
  t.equal(new ByteReader(hex('ff')).clr(), null);
});

t.test('a value that ends early is out of bytes at every cut', async (t) => {
  const whole = new ByteWriter().ub4(70000).clr(Buffer.alloc(300, 1)).ub2(5).take();
  for (let end = 0; end < whole.length; end++) {
    t.throws(() => {
      const reader = new ByteReader(whole.subarray(0, end));
      reader.ub4();
      reader.clr();
      reader.ub2();
    }, OutOfBytes);
  }
});

t.test('a value in chunks has a limit', async (t) => {
  const chunk = Buffer.concat([hex('04 01000000'), Buffer.alloc(0x1000000)]);
  const bytes = Buffer.concat([hex('fe'), chunk, chunk, chunk, chunk, hex('01 01 00')]);
  t.throws(() => new ByteReader(bytes).clr(), BadScalar);
});

t.test('what is written is read back', async () => {
  fc.assert(
    fc.property(fc.maxSafeNat(), fc.uint8Array({ maxLength: 70_000 }), fc.integer(), (number, bytes, signed) => {
      const reader = new ByteReader(new ByteWriter().ub8(number).clr(bytes).sb4(signed).take());
      const sameNumber = reader.ub8() === number;
      const sameBytes = (reader.clr() ?? Buffer.alloc(0)).equals(bytes);
      return sameNumber && sameBytes && reader.sb4() === signed && reader.left === 0;
    }),
    { numRuns: 50 },
  );
});
