import t from 'tap';
import { KeptBytes } from '../../../proxy/track/kept.js';

t.test('bytes are kept up to a limit, as copies, until they are taken', async (t) => {
  const kept = new KeptBytes(Buffer.from('ab'));
  const view = Buffer.from('cdefgh');
  kept.keep(view, 5);
  kept.keep(view, 5);
  view.fill(0);
  t.equal(kept.length, 5);
  t.equal(kept.all().toString(), 'abcde');
  t.equal(kept.take().toString(), 'abcde');
  t.equal(kept.take().length, 0);
  kept.keep(Buffer.from('x'), 5);
  kept.drop();
  t.equal(kept.all().length, 0);
});
