import { readFileSync } from 'node:fs';
import t from 'tap';
import { campaign } from './campaign.js';
import { mutated, mutations } from './mutations.js';

t.test(
  'over two thousand schedules of faults no rule is broken, and every fault and verdict has happened',
  async (t) => {
    const { violations, failures, missing, ...counts } = await campaign({ seed: 11, runs: 2_000, failuresMax: 3 });
    t.strictSame(failures, []);
    t.equal(violations, 0);
    t.strictSame(missing, []);
    t.ok(counts.replayedBytes > 1_000 && counts.resumes > 200 && counts.cuts > 500, JSON.stringify(counts));
  },
);

t.test('the same seed gives the same result', async (t) => {
  const once = await campaign({ seed: 5, runs: 100, failuresMax: 1 });
  t.strictSame(await campaign({ seed: 5, runs: 100, failuresMax: 1 }), once);
  t.notSame((await campaign({ seed: 6, runs: 100, failuresMax: 1 })).steps, once.steps);
});

t.test('every mutant still finds the text that it changes', async (t) => {
  for (const mutation of mutations) {
    const code = readFileSync(new URL(`../../${mutation.file}`, import.meta.url), 'utf8');
    t.not(mutated(code, mutation), code, mutation.name);
  }
  t.ok(mutations.length >= 30);
});
