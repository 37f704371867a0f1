import t from 'tap';
import { clearUnsentLength } from '../../../migrate/movers/tcp-image.js';

/** The beginning of a file that CRIU 4.2 wrote, of a sender with 3,892,116 bytes in its queue, none of them sent. */
const message =
  '08 00 10 f5b4f2c503 18 94c7ed01 20 9da4dcd00a 28 07 30 0a 38 d7ff03 40 0a 48 a8a79a8908' +
  '60 94c7ed01 68 f5b4f2c503 70 00 78 80f059 8001 808004 8801 f5b4f2c503';

function image(fields: string): Buffer {
  const bytes = Buffer.from(fields.replaceAll(' ', ''), 'hex');
  const header = Buffer.from('194356540655465100000000', 'hex');
  header.writeUInt32LE(bytes.length, 8);
  return Buffer.concat([header, bytes, Buffer.from('queue 60 94c7ed01')]);
}

t.test('bytes that were not sent count as not acknowledged, and nothing else changes', async (t) => {
  const changed = image(message);
  t.equal(clearUnsentLength(changed), true);
  t.strictSame(changed, image(message.replace('60 94c7ed01', '60 80808000')));
  t.equal(clearUnsentLength(changed), false, 'a second time there is nothing to do');
});

t.test('an image with nothing unsent stays as it is', async (t) => {
  for (const fields of ['08 00 18 00', '08 00 60 00 68 01', message.replace('60 94c7ed01', '')]) {
    const same = image(fields);
    t.equal(clearUnsentLength(same), false);
    t.strictSame(same, image(fields));
  }
});

t.test('fields with a length are passed over, an image with others is left alone', async (t) => {
  const nested = image('9201 03 600501 60 05');
  t.equal(clearUnsentLength(nested), true);
  t.strictSame(nested, image('9201 03 600501 60 00'));
  t.equal(clearUnsentLength(image('65 01020304 60 05')), false);
});
