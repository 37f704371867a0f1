import t from 'tap';
import { checkCriu } from '../../../migrate/movers/criu.js';

t.test('a CRIU that cannot be run is missing, with the reason', async (t) => {
  const state = await checkCriu({ criu: '/nonexistent/criu' });
  t.match(state, { missing: process.getuid?.() === 0 ? /ENOENT/ : /needs root/ });
});
