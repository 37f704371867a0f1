import t from 'tap';
import { Fairness } from './fairness.js';

t.setTimeout(240_000);

/** On a machine with other work 3 to 8 were measured, and 70 to 80 with a window of 16 MiB. */
const factorMax = 30;

t.test('a connection that moves much does not keep another one of the same link waiting', async (t) => {
  const bytes = 96 * 1024 * 1024;
  const say = (text: string) => t.comment(text);
  const result = await Fairness.run({ bytes, quietMs: 1_000, factorMax, windowBytes: 256 * 1024, say });
  const { alone, besideDown, besideUp } = result;
  t.comment(JSON.stringify({ alone, besideDown, besideUp }));
  t.ok(result.ok, `${besideDown.ratio.p50} and ${besideUp.ratio.p50} times as long as alone`);
  t.ok(besideDown.bytes >= bytes && besideUp.bytes >= bytes);
});
