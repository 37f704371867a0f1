import t from 'tap';
import { faultRule } from '../../../proxy/inject/contract.js';
import { delayMsMax, leaseMsDefault, leaseMsMax, picksMax, ruleCharactersMax } from '../../../proxy/inject/limits.js';

const cut = { kind: 'cut', leg: 'driver' } as const;
const base = { id: 'x', kind: 'call', when: { call: 'commit', at: 'before-request' }, action: cut } as const;
const issuesOf = (rule: object) => faultRule.safeParse(rule).error?.issues ?? [];

t.test('what is left out has a default', async (t) => {
  t.match(faultRule.parse(base), { probability: 1, seed: 1, leaseMs: leaseMsDefault, target: {}, times: {} });
  t.match(faultRule.parse(base), { action: { how: 'reset' } });
  const latency = { type: 'latency', attributes: { latency: 5 } } as const;
  const transport = faultRule.parse({ id: 'x', kind: 'transport', leg: 'link', toxic: latency });
  t.match(transport, { direction: 'to-driver', toxic: { attributes: { latency: 5, jitter: 0 } } });
});

t.test('a rule that could never act is refused, with the place of what is wrong', async (t) => {
  const wrong = (path: string, given: object) =>
    t.strictSame(
      issuesOf({ ...base, ...given }).map((issue) => issue.path.join('.')),
      [path],
      JSON.stringify(given),
    );
  wrong('when.at', { when: { call: 'commit', at: 'in-request' } });
  wrong('when.at', { when: { call: 'commit', at: 'in-request', byte: 3, fraction: 0.5 } });
  wrong('when.at', { when: { call: 'commit', at: 'before-request', byte: 3 } });
  wrong('when.at', { when: { call: 'break', at: 'before-response' } });
  wrong('when.at', { when: { call: 'connect', at: 'in-response', byte: 3 } });
  wrong('when.every', { when: { call: 'commit', at: 'before-request', nth: 1, every: 2 } });
  wrong('target.user', { when: { call: 'connect', at: 'before-request' }, target: { user: 'scott' } });
  wrong('action.kind', { action: { kind: 'refuse', ora: 12_514 } });
  wrong('action.kind', { action: { kind: 'withhold' } });
  wrong('action.kind', { action: { kind: 'notify' } });
  wrong('action.kind', { when: { call: 'connect', at: 'before-request' }, action: { kind: 'error', ora: 28 } });
  t.strictSame(issuesOf({ ...base, when: { call: 'commit', at: 'in-request', fraction: 0.5 } }), []);
  t.strictSame(
    issuesOf({ ...base, when: { call: 'connect', at: 'before-request' }, action: { kind: 'refuse', ora: 1 } }),
    [],
  );
});

t.test('a word that no rule has is an error, not nothing', async (t) => {
  t.match(issuesOf({ ...base, propability: 0.5 }), [{ code: 'unrecognized_keys' }]);
  t.match(issuesOf({ ...base, target: { tenant: 'x' } }), [{ code: 'unrecognized_keys', path: ['target'] }]);
});

t.test('everything has a limit', async (t) => {
  const fits = (given: object) => issuesOf({ ...base, ...given }).length === 0;
  const many = (length: number) => Array.from({ length }, (_, index) => ({ session: 1, match: index + 1 }));
  const delay = (ms: number) => ({ action: { kind: 'delay', ms } });
  const workload = (length: number) => ({ target: { workload: 'x'.repeat(length) } });
  t.strictSame([fits({ leaseMs: leaseMsMax }), fits({ leaseMs: leaseMsMax + 1 })], [true, false]);
  t.strictSame([fits({ picks: many(picksMax) }), fits({ picks: many(picksMax + 1) })], [true, false]);
  t.strictSame([fits(delay(delayMsMax)), fits(delay(delayMsMax + 1))], [true, false]);
  t.strictSame([fits(workload(ruleCharactersMax)), fits(workload(ruleCharactersMax + 1))], [true, false]);
  t.strictSame([fits({ id: 'x'.repeat(64) }), fits({ id: 'x'.repeat(65) })], [true, false]);
});
