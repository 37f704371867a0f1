import t from 'tap';
import type { DemoResult } from '../../fixtures/demo/demo.js';
import { Program } from '../../fixtures/lab/program.js';
import { node } from '../../fixtures/lab/world.js';

const demo = new URL('../../fixtures/demo/main.js', import.meta.url).pathname;

t.test('the demo ends with the same session and transaction at another address', async (t) => {
  const program = new Program('demo', node(demo, '--json', '--mover', 'relink', '--rows', '2000'));
  const { code, stdout, stderr } = await program.ended;
  t.equal(code, 0, stderr);
  const result: DemoResult = JSON.parse(stdout);
  const { before, after } = result;
  t.match(result, {
    verdict: 'ok',
    mover: 'relink',
    rows: 2000,
    before: { node: 'node-a' },
    after: { node: 'node-b' },
  });
  t.ok(result.rowsBeforeMove > 0 && result.rowsBeforeMove < 2000, 'the move is in the middle of the transaction');
  const { node: _node, address: _address, ...same } = before;
  t.match(after, same);
  t.not(before.address, after.address);
});
