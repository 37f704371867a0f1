import t from 'tap';
import { proxyContract } from '../../../proxy/control/contract.js';
import { watchMsMax } from '../../../proxy/inject/limits.js';
import { actorCharactersMax, extendMsMax, reasonCharactersMax } from '../../../proxy/limits.js';

const { extendHold, pinHold, releaseHold } = proxyContract.verbs;
const by = { user: 'alice', host: 'desk' };
const request = '3f1c2f4e-7d0b-4c1e-9a55-1f6f0c7f0a11';

t.test('what an operator tells of himself, and why, is as long as it may be and no longer', async (t) => {
  const text = (length: number) => 'x'.repeat(length);
  for (const name of ['user', 'host']) {
    t.ok(pinHold.request.safeParse({ workload: 'w', by: { ...by, [name]: text(actorCharactersMax) } }).success);
    t.notOk(pinHold.request.safeParse({ workload: 'w', by: { ...by, [name]: text(actorCharactersMax + 1) } }).success);
  }
  t.ok(releaseHold.request.safeParse({ workload: 'w', by, why: text(reasonCharactersMax) }).success);
  t.notOk(releaseHold.request.safeParse({ workload: 'w', by, why: text(reasonCharactersMax + 1) }).success);
});

t.test('a hold is extended by 30 days at most at a time, and never by nothing', async (t) => {
  const extend = (byMs: number) => extendHold.request.safeParse({ workload: 'w', by, request, byMs });
  t.ok(extend(1).success);
  t.ok(extend(extendMsMax).success);
  t.match(extend(extendMsMax + 1).error?.issues, [{ message: 'more than 30 days at a time' }]);
  t.notOk(extend(0).success);
});

t.test('a question for acts of faults waits for as long as it may, and no longer', async (t) => {
  const watch = (waitMs: number) => proxyContract.verbs.injectWatch.request.safeParse({ after: 0, waitMs }).success;
  t.strictSame([watch(0), watch(watchMsMax), watch(watchMsMax + 1)], [true, true, false]);
});

t.test('only operators may decide about holds; agents may tell of moves', async (t) => {
  const callers = Object.entries(proxyContract.verbs).map(([verb, spec]) => ({
    verb,
    allowed: 'callers' in spec ? [...spec.callers].map(String) : [],
  }));
  const forAgents = callers.filter(({ allowed }) => allowed.includes('agent')).map(({ verb }) => verb);
  t.strictSame(forAgents, ['sessions', 'workloads', 'noteMove']);
});
