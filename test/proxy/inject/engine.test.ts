import t from 'tap';
import { faultRule } from '../../../proxy/inject/contract.js';
import { FaultEngine, isMatch } from '../../../proxy/inject/engine.js';
import { faultsMax } from '../../../proxy/inject/limits.js';
import { cutRule, momentOf, orders } from './rules.js';

/** Who acts at the first `matches` points of each of so many sessions; interleaved, or one session after the other. */
function sequence(rules: ReturnType<typeof cutRule>[], isInterleaved: boolean, sessions = 6, matches = 30): string[] {
  const engine = new FaultEngine();
  engine.add(rules, 0);
  const opened = Array.from({ length: sessions }, () => engine.open('orders'));
  const acts: string[] = [];
  const step = (session: (typeof opened)[number]): void => {
    const decision = engine.decide(session, orders, momentOf());
    if (decision !== undefined) acts.push(`${decision.rule.id} ${decision.session}/${decision.match}`);
  };
  for (let round = 0; round < (isInterleaved ? matches : 1); round += 1) {
    for (const session of opened) for (let left = isInterleaved ? 1 : matches; left > 0; left -= 1) step(session);
  }
  return acts.sort();
}

t.test('the same seed gives the same sequence, however sessions interleave; another seed another one', async (t) => {
  const rule = cutRule({ probability: 0.3, seed: 11 });
  const acts = sequence([rule], true);
  t.ok(acts.length > 30 && acts.length < 80, `${acts.length} of 180`);
  t.strictSame(sequence([rule], false), acts);
  t.notSame(sequence([cutRule({ probability: 0.3, seed: 12 })], true), acts);
  t.notSame(sequence([cutRule({ id: 'other', probability: 0.3, seed: 11 })], true), acts);
});

t.test('what has acted acts there again, and only there, when it is picked', async (t) => {
  const acts = sequence([cutRule({ probability: 0.2, seed: 5 })], true);
  const picks = acts.map((act) => {
    const [session = 0, match = 0] = (act.split(' ')[1] ?? '').split('/').map(Number);
    return { session, match };
  });
  t.ok(picks.length > 5);
  t.strictSame(sequence([cutRule({ picks })], false), acts);
});

t.test('the first rule that acts is the only one; what others count goes on', async (t) => {
  const engine = new FaultEngine();
  engine.add([cutRule({ id: 'first', times: { total: 1 } }), cutRule({ id: 'second' })], 0);
  const session = engine.open('orders');
  const who = () => engine.decide(session, orders, momentOf())?.rule.id;
  t.strictSame([who(), who(), who()], ['first', 'second', 'second']);
  t.match(
    engine.rows(0, () => 0),
    [
      { acts: 1, matches: 3 },
      { acts: 2, matches: 3 },
    ],
  );
});

t.test('a rule acts as often as it may: in all, and in each session', async (t) => {
  t.strictSame(sequence([cutRule({ times: { perSession: 2 } })], true, 2), [
    'cut 1/1',
    'cut 1/2',
    'cut 2/1',
    'cut 2/2',
  ]);
  t.strictSame(sequence([cutRule({ times: { total: 3 } })], false, 2), ['cut 1/1', 'cut 1/2', 'cut 1/3']);
});

t.test('a rule acts on its target, at its point, in its call, and nowhere else', async (t) => {
  const acts = (given: object, names = orders, moment = momentOf()) => {
    const engine = new FaultEngine();
    engine.add([cutRule(given)], 0);
    return engine.decide(engine.open(names.workload), names, moment) !== undefined;
  };
  const target = { workload: 'ord*', user: 'scott', service: '*PDB*', program: 'orders.js' };
  t.ok(acts({ target }));
  for (const part of ['workload', 'user', 'service', 'program'] as const) {
    t.notOk(acts({ target }, { ...orders, [part]: 'else' }), part);
    if (part !== 'workload') t.notOk(acts({ target }, { ...orders, [part]: undefined }), part);
  }
  const when = (given: object) => ({ when: { call: 'commit', at: 'before-request', ...given } });
  t.notOk(acts({}, orders, momentOf({ point: 'after-request' })));
  t.notOk(acts({}, orders, momentOf({ call: 'rollback' })));
  t.ok(acts(when({ call: 'any' }), orders, momentOf({ call: 'rollback' })));
  t.notOk(acts(when({ call: 'any' }), orders, momentOf({ call: 'login' })));
  t.ok(acts(when({ nth: 3 }), orders, momentOf({ ofKind: 3, ofAny: 9 })));
  t.notOk(acts(when({ nth: 3 }), orders, momentOf({ ofKind: 4, ofAny: 3 })));
  t.ok(acts(when({ call: 'any', nth: 3 }), orders, momentOf({ ofKind: 4, ofAny: 3 })));
  t.ok(acts(when({ every: 3 }), orders, momentOf({ ofKind: 9 })));
  t.notOk(acts(when({ every: 3 }), orders, momentOf({ ofKind: 8 })));
  t.notOk(acts(when({ inTransaction: false })));
  t.ok(acts(when({ inTransaction: true })));
  t.notOk(acts(when({ firstOfTransaction: true })));
  t.ok(acts(when({ firstOfTransaction: true }), orders, momentOf({ firstOfTransaction: true })));
});

t.test('a pattern has any characters where its stars are, and the same ones elsewhere', async (t) => {
  t.ok(isMatch('*', '') && isMatch('a*c', 'AbbC') && isMatch('a*b*c', 'axxbyyc') && isMatch('ab', 'AB'));
  t.notOk(isMatch('ab', 'abc') || isMatch('a*a', 'a') || isMatch('a*b*c', 'acb') || isMatch('*x*x*', 'ax'));
});

t.test('sessions are counted from when a rule was added: those that are there first', async (t) => {
  const engine = new FaultEngine();
  const gone = engine.open('orders');
  const there = [engine.open('orders'), engine.open('orders')];
  engine.close(gone);
  engine.add([cutRule()], 0);
  const numbers = [...there, engine.open('orders'), engine.open('orders')].map(
    (session) => engine.decide(session, orders, momentOf())?.session,
  );
  t.strictSame(numbers, [1, 2, 3, 4]);
  t.equal(engine.decide(engine.open('billing'), orders, momentOf())?.session, 1, 'each workload for itself');
});

t.test('a rule lives until its lease is over; added again it is renewed and keeps its counts', async (t) => {
  const engine = new FaultEngine();
  const session = engine.open('orders');
  t.strictSame(engine.add([cutRule({ leaseMs: 100 })], 1_000), { added: ['cut'], ended: [] });
  engine.decide(session, orders, momentOf());
  t.equal(engine.nextEndMs, 1_100);
  t.strictSame(engine.expire(1_099), []);
  t.strictSame(engine.add([cutRule({ leaseMs: 100 })], 1_050), { added: [], ended: [] });
  t.strictSame(engine.expire(1_149), []);
  t.match(
    engine.rows(1_100, () => 0),
    [{ acts: 1, leftMs: 50 }],
  );
  t.strictSame(engine.add([cutRule({ leaseMs: 100, seed: 2 })], 1_060), { added: ['cut'], ended: ['cut'] });
  t.match(
    engine.rows(1_100, () => 0),
    [{ acts: 0 }],
    'another rule of the same name begins anew',
  );
  t.strictSame(engine.expire(1_160), ['cut']);
  t.ok(engine.isEmpty);
  t.equal(engine.decide(session, orders, momentOf()), undefined);
});

t.test('a rule that is removed acts no more', async (t) => {
  const engine = new FaultEngine();
  engine.add([cutRule({ id: 'a' }), cutRule({ id: 'b' })], 0);
  t.strictSame(engine.remove(['b', 'nothing']), ['b']);
  t.strictSame(engine.remove(['b']), []);
  t.equal(engine.decide(engine.open('orders'), orders, momentOf())?.rule.id, 'a');
});

t.test('there are as many rules as there may be, and one more adds none of its list', async (t) => {
  const engine = new FaultEngine();
  const rules = (count: number) => Array.from({ length: count }, (_, index) => cutRule({ id: `r${index}` }));
  engine.add(rules(faultsMax - 1), 0);
  t.throws(() => engine.add([cutRule({ id: 'x' }), cutRule({ id: 'y' })], 0), { code: 'too-many-faults' });
  t.equal(engine.rows(0, () => 0).length, faultsMax - 1);
  engine.add(rules(faultsMax), 0);
  t.equal(engine.rows(0, () => 0).length, faultsMax);
});

t.test('a rule survives being written as JSON', async (t) => {
  const rule = cutRule({ picks: [{ session: 1, match: 2 }] });
  t.strictSame(faultRule.parse(JSON.parse(JSON.stringify(rule))), rule);
});
