import t from 'tap';
import { ownerOf, type Testimony } from '../../migrate/owner.js';

const proxies = ['newer', 'same', 'knows-nothing', 'silent'] as const;
const targets = ['none', 'stopped', 'running', 'silent'] as const;

t.test(
  'before the target was asked to bind, and once the source was, the proxy decides about the source',
  async (t) => {
    for (const proxy of proxies)
      for (const target of targets) {
        t.equal(ownerOf({ bindBegun: false, attachBegun: false, proxy, target }), 'source');
        t.equal(ownerOf({ bindBegun: true, attachBegun: true, proxy, target }), 'source');
      }
  },
);

t.test('after a bind that nobody saw the end of, it is asked for: all cells', async (t) => {
  const expected: Record<Testimony['proxy'], Record<Testimony['target'], ReturnType<typeof ownerOf>>> = {
    newer: { none: 'target', stopped: 'target', running: 'target', silent: 'target' },
    same: { none: 'source', stopped: 'source', running: 'source', silent: 'source' },
    'knows-nothing': { none: 'source', stopped: 'source', running: 'target', silent: 'unknown' },
    silent: { none: 'unknown', stopped: 'unknown', running: 'target', silent: 'unknown' },
  };
  for (const proxy of proxies)
    for (const target of targets)
      t.equal(
        ownerOf({ bindBegun: true, attachBegun: false, proxy, target }),
        expected[proxy][target],
        `${proxy} ${target}`,
      );
});
