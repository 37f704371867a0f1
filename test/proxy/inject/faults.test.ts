import t from 'tap';
import type { AuditEntry } from '../../../proxy/audit/entry.js';
import { faultRule } from '../../../proxy/inject/contract.js';
import { Faults } from '../../../proxy/inject/faults.js';
import { actsKept, actsPerAnswerMax } from '../../../proxy/inject/limits.js';
import { HandClock } from './hand-clock.js';
import { cutRule } from './rules.js';

function stage() {
  const clock = new HandClock();
  const entries: AuditEntry[] = [];
  const faults = new Faults({ audit: { record: (entry) => entries.push(entry) }, clock });
  return { clock, entries, faults };
}
const by = { user: 'alice', host: 'desk' };
const act = { rule: 'cut', action: 'cut', workload: 'orders', stream: 1 };

t.test('a rule whose controller has died ends by itself, and lets go of what it holds', async (t) => {
  const { clock, entries, faults } = stage();
  const ended: string[] = [];
  faults.holders.add({ heldBy: new Set(['cut']), ruleEnded: (id) => ended.push(id) });
  faults.add([cutRule({ leaseMs: 1_000 })], by);
  t.match(faults.rows(), [{ holding: 1 }]);
  clock.pass(600);
  faults.add([cutRule({ leaseMs: 1_000 })], by);
  clock.pass(999);
  t.equal(faults.rows().length, 1, 'renewed');
  t.strictSame(ended, []);
  clock.pass(1);
  t.equal(faults.rows().length, 0);
  t.strictSame(ended, ['cut']);
  t.match(entries, [
    { event: 'fault-added', fault: 'cut', by },
    { event: 'fault-removed', fault: 'cut', why: 'its lease is over' },
  ]);
});

t.test('removing ends a rule, one or all of them, and is in the audit log', async (t) => {
  const { entries, faults } = stage();
  faults.add([cutRule({ id: 'a' }), cutRule({ id: 'b' }), cutRule({ id: 'c' })], by);
  t.strictSame(faults.remove(['b'], by), { removed: ['b'] });
  t.strictSame(faults.remove(undefined, by), { removed: ['a', 'c'] });
  t.strictSame(faults.rows(), []);
  t.equal(entries.filter(({ event }) => event === 'fault-removed').length, 3);
});

t.test('faults end with the worker', async (t) => {
  const { entries, faults } = stage();
  faults.add([cutRule()], by);
  faults.stop();
  t.strictSame(faults.rows(), []);
  t.match(entries.at(-1), { event: 'fault-removed', why: 'stopped' });
});

t.test('every act is in the audit log and told to those who watch, in order and once', async (t) => {
  const { clock, entries, faults } = stage();
  faults.acts.acted(act);
  faults.acts.acted({ ...act, stream: 2 });
  t.match(entries, [
    { event: 'fault', fault: 'cut', workload: 'orders', act: { seq: 1, stream: 1 } },
    { event: 'fault', act: { seq: 2, stream: 2 } },
  ]);
  t.match((await faults.acts.watch(0, 0)).acts, [{ seq: 1 }, { seq: 2 }]);
  t.match((await faults.acts.watch(1, 0)).acts, [{ seq: 2 }]);
  const next = faults.acts.watch(2, 1_000);
  faults.acts.acted(act);
  t.match((await next).acts, [{ seq: 3 }], 'who waits is woken');
  const none = faults.acts.watch(3, 1_000);
  clock.pass(1_000);
  t.strictSame((await none).acts, [], 'and told when there is nothing');
});

t.test('acts that nobody has asked for in time are counted as missed', async (t) => {
  const { faults } = stage();
  for (let left = actsKept + 5; left > 0; left -= 1) faults.acts.acted(act);
  const { acts, missed } = await faults.acts.watch(0, 0);
  t.equal(missed, 5);
  t.equal(acts.length, actsPerAnswerMax);
  t.equal(acts[0]?.seq, 6);
});

t.test('a fault of transport is not for a proxy', async (t) => {
  const { faults } = stage();
  const toxic = { type: 'latency', attributes: {} };
  const rule = faultRule.parse({ id: 'slow', kind: 'transport', leg: 'link', toxic });
  t.throws(() => faults.add([rule], by), { code: 'fault-not-here' });
});
