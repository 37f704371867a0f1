import t from 'tap';
import { newInstance } from '../../shim/instance.js';

t.test('every incarnation has a name of its own, within what the link allows', async (t) => {
  const names = new Set(Array.from({ length: 100 }, newInstance));
  t.equal(names.size, 100);
  for (const name of names) t.match(name, /^[0-9a-f]{32}$/);
});
