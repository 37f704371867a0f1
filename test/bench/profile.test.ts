import t from 'tap';
import { hottest } from './profile.js';

const node = (id: number, functionName: string, url = '', lineNumber = -1) => ({
  id,
  callFrame: { functionName, url, lineNumber },
});

t.test('time is told by function, of what was not idle, over all processes of a role', async (t) => {
  const nodes = [node(1, '(idle)'), node(2, 'writeBuffer'), node(3, 'collect', 'file:///x/link.js', 196), node(4, '')];
  const { busySeconds, hot } = hottest([
    { nodes, samples: [1, 2, 3, 2], timeDeltas: [9_000_000, 200_000, 100_000, 300_000] },
    { nodes, samples: [2, 4, 9], timeDeltas: [100_000, 300_000, 5_000_000] },
  ]);
  t.equal(busySeconds, 1);
  t.strictSame(hot, [
    { where: 'writeBuffer', percent: 60 },
    { where: '(anonymous)', percent: 30 },
    { where: 'collect link.js:197', percent: 10 },
  ]);
  t.equal(hottest([]).busySeconds, 0);
});
