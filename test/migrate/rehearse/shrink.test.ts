import t from 'tap';
import { drawSchedule } from '../../../migrate/rehearse/schedule.js';
import { shrink } from '../../../migrate/rehearse/shrink.js';

const numbers = Array.from({ length: 64 }, (_, index) => index);
const has =
  (...wanted: readonly number[]) =>
  async (items: readonly number[]) =>
    wanted.every((each) => items.includes(each));

t.test('a failing schedule becomes the few steps that make it fail', async (t) => {
  t.strictSame((await shrink(numbers, has(37), 1_000)).items, [37]);
  t.strictSame((await shrink(numbers, has(3, 41, 60), 1_000)).items, [3, 41, 60]);
});

t.test('after so many trials it is as short as it is', async (t) => {
  const { items, trials } = await shrink(numbers, has(3, 60), 5);
  t.equal(trials, 5);
  t.ok(items.length < numbers.length && items.includes(3) && items.includes(60), `${items.length} are left`);
});

const options = { seed: 11, durationMs: 180_000, applications: 2, sessions: 24, pauseMsMax: 5, hasRelay: true };

t.test('the same seed draws the same schedule, another one another', async (t) => {
  t.strictSame(drawSchedule(options), drawSchedule(options));
  t.notSame(drawSchedule(options), drawSchedule({ ...options, seed: 12 }));
});

t.test('a schedule has faults of many kinds, and ends no session on purpose', async (t) => {
  const { steps } = drawSchedule(options);
  const rules = steps.flatMap(({ faults }) => faults);
  const kinds = new Set(rules.map((rule) => (rule.kind === 'call' ? rule.action.kind : rule.toxic.type)));
  t.ok(rules.length > 200 && kinds.size >= 12, [...kinds].join(' '));
  for (const rule of rules) {
    const cuts =
      rule.kind === 'call' ? rule.action.kind === 'cut' : /reset|limit|timeout|down|flap/.test(rule.toxic.type);
    const leg = rule.kind === 'call' ? rule.action.kind === 'cut' && rule.action.leg : rule.leg;
    if (cuts) t.equal(leg, 'link', rule.id);
  }
});
