import t from 'tap';
import { encodeData, encodeDataSplit, encodePacket } from '../../../proxy/tns/index.js';
import { hex } from './bytes.js';

t.test('a packet has its length, type and flags in front', async (t) => {
  t.strictSame(encodePacket(12, 0, hex('010003'), 'u32'), hex('0000000b 0c 00 0000 010003'));
  t.strictSame(encodePacket(1, 4, hex('ff'), 'u16'), hex('0009 0000 01 04 0000 ff'));
  t.strictSame(encodeData(hex('aa'), 0x2000, 'u32'), hex('0000000b 06 00 0000 2000 aa'));
});

t.test(
  'a payload is split so that no packet is longer than the SDU, and only the last has the last flags',
  async (t) => {
    const packets = encodeDataSplit(hex('0102030405'), 12, { all: 0x1000, last: 0x2000 }, 'u32');
    t.strictSame(packets, [
      hex('0000000c 06 00 0000 1000 0102'),
      hex('0000000c 06 00 0000 1000 0304'),
      hex('0000000b 06 00 0000 3000 05'),
    ]);
    t.equal(
      encodeDataSplit(hex('01020304'), 12, { all: 0, last: 0x2000 }, 'u32').length,
      2,
      'no empty packet behind a full one',
    );
    t.strictSame(encodeDataSplit(Buffer.alloc(0), 12, { all: 0, last: 0x40 }, 'u32'), [
      hex('0000000a 06 00 0000 0040'),
    ]);
  },
);
