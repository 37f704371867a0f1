import fc from 'fast-check';
import t from 'tap';
import {
  type AlertAction,
  type AlertState,
  afterRestart,
  alertState,
  nextTickMs,
  noAlerts,
  stepAlerts,
} from '../../../migrate/alerts/machine.js';
import type { Alert } from '../../../migrate/alerts/payload.js';
import { alertRules, type Decision } from '../../../migrate/alerts/rules.js';
import { alertsMax } from '../../../migrate/limits.js';

const delayMs = 30_000;
const coolDownMs = 600_000;
const common = { match: { a: '*' }, do: 'evacuate', delay: '30s', 'cool-down': '10m' } as const;
const { rules } = alertRules.parse({
  rules: [
    { name: 'disk', ...common },
    { name: 'trial', ...common, 'dry-run': true },
    { name: 'told', match: { a: '*' }, do: 'notify' },
  ],
});
const [disk, trial, told] = rules;
if (disk === undefined || trial === undefined || told === undefined) throw new Error('three rules were written');

const evacuation = (node = 'node-a', rule = disk): Decision => ({ kind: 'evacuate', rule, node });
const alert = (fingerprint: string, status: Alert['status'] = 'firing', day = 1): Alert => ({
  ...{ fingerprint, status, labels: {}, annotations: {} },
  startsAt: `2026-01-${String(day).padStart(2, '0')}T00:00:00Z`,
});

/** A machine with its clock; `tick` runs when the machine asks for it. */
class Stand {
  state: AlertState = noAlerts;
  nowMs = 0;
  readonly actions: (AlertAction & { readonly atMs: number })[] = [];
  readonly atOnce: number;

  constructor(atOnce = 1) {
    this.atOnce = atOnce;
  }

  step(event: Parameters<typeof stepAlerts>[1]) {
    const { state, actions, result } = stepAlerts(this.state, event, this.atOnce, this.nowMs);
    this.state = alertState.parse(JSON.parse(JSON.stringify(state)));
    this.actions.push(...actions.map((action) => ({ ...action, atMs: this.nowMs })));
    return result;
  }

  receive(one: Alert, decision = evacuation()) {
    return this.step({ kind: 'received', alert: one, decision });
  }

  pass(ms: number) {
    const untilMs = this.nowMs + ms;
    for (;;) {
      const dueMs = nextTickMs(this.state, this.atOnce);
      if (dueMs === undefined || dueMs > untilMs) break;
      this.nowMs = Math.max(this.nowMs, dueMs);
      this.step({ kind: 'tick' });
    }
    this.nowMs = untilMs;
  }
}

t.test('an alert empties its node after the delay, once, however often it is repeated', async (t) => {
  const stand = new Stand();
  t.equal(stand.receive(alert('x')), 'evacuate');
  t.equal(stand.receive(alert('x')), 'duplicate');
  stand.pass(delayMs - 1);
  t.strictSame(stand.actions, []);
  stand.pass(1);
  t.match(stand.actions, [{ kind: 'evacuate', node: 'node-a', rule: 'disk', atMs: delayMs }]);
  t.equal(stand.receive(alert('x')), 'duplicate');
  stand.step({ kind: 'ended', key: 'node-a' });
  t.equal(stand.receive(alert('x')), 'duplicate');
  stand.pass(10 * coolDownMs);
  t.equal(stand.actions.length, 1);
});

t.test('what is resolved before it is due does not happen; later it goes on', async (t) => {
  const stand = new Stand();
  stand.receive(alert('x'));
  stand.pass(delayMs - 1);
  t.equal(stand.receive(alert('x', 'resolved')), 'cancelled');
  stand.pass(coolDownMs);
  t.strictSame(stand.actions, []);
  t.equal(stand.receive(alert('x', 'firing', 2)), 'evacuate', 'nothing has begun: there is nothing to cool down');
  stand.pass(delayMs);
  t.equal(stand.receive(alert('x', 'resolved', 2)), 'too-late');
  t.equal(stand.receive(alert('x', 'resolved', 2)), 'not-known');
});

t.test('alerts of one node make one evacuation, and all of them must be resolved to cancel it', async (t) => {
  const stand = new Stand();
  t.equal(stand.receive(alert('x')), 'evacuate');
  stand.pass(1_000);
  t.equal(stand.receive(alert('y')), 'joined');
  t.equal(stand.receive(alert('x', 'resolved')), 'resolved');
  stand.pass(delayMs);
  t.equal(stand.actions.length, 1);
  t.equal(stand.receive(alert('z')), 'under-way');
});

t.test('after an evacuation its node cools down; a repetition that comes later counts', async (t) => {
  const stand = new Stand();
  stand.receive(alert('x'));
  stand.pass(delayMs);
  stand.step({ kind: 'ended', key: 'node-a' });
  stand.receive(alert('x', 'resolved'));
  t.equal(stand.receive(alert('x', 'firing', 2)), 'cooling-down');
  t.equal(stand.receive(alert('y'), evacuation('node-b')), 'evacuate', 'another node does not');
  stand.pass(coolDownMs);
  t.equal(stand.receive(alert('x', 'firing', 2)), 'evacuate');
});

t.test('a resolution that comes late, of an earlier time, does not count', async (t) => {
  const stand = new Stand();
  stand.receive(alert('x', 'firing', 2));
  t.equal(stand.receive(alert('x', 'resolved', 1)), 'not-known');
  stand.pass(delayMs);
  t.equal(stand.actions.length, 1);
});

t.test('a dry run stands in nobody’s way', async (t) => {
  const stand = new Stand(2);
  stand.receive(alert('x'), evacuation('node-a', trial));
  stand.pass(delayMs);
  t.equal(stand.receive(alert('y')), 'evacuate');
  stand.pass(delayMs);
  t.match(stand.actions, [{ rule: 'trial' }, { rule: 'disk' }]);
});

t.test('what is only told is told at once, and once', async (t) => {
  const stand = new Stand();
  t.equal(stand.receive(alert('x'), { kind: 'notify', rule: told }), 'notify');
  t.equal(stand.receive(alert('x'), { kind: 'notify', rule: told }), 'duplicate');
  t.match(stand.actions, [{ kind: 'notify', rule: 'told', alert: { fingerprint: 'x' } }]);
  t.equal(stand.receive(alert('z'), { kind: 'ignore', why: 'no-rule' }), 'no-rule');
});

t.test('what waits outlives a restart, and what ran cools down', async (t) => {
  const stand = new Stand();
  stand.receive(alert('x'));
  stand.pass(delayMs);
  stand.receive(alert('y'), evacuation('node-b'));
  stand.state = afterRestart(stand.state);
  stand.pass(delayMs);
  t.match(stand.actions, [{ node: 'node-a' }, { node: 'node-b' }]);
  t.equal(stand.receive(alert('z')), 'cooling-down');
});

t.test('no more alerts are remembered than the limit allows: the one that was silent longest goes', async (t) => {
  let state: AlertState = noAlerts;
  const receive = (fingerprint: string, nowMs: number) => {
    const step = stepAlerts(
      state,
      { kind: 'received', alert: alert(fingerprint), decision: { kind: 'notify', rule: told } },
      1,
      nowMs,
    );
    state = step.state;
    return step.result;
  };
  state = {
    ...noAlerts,
    firing: Object.fromEntries(
      Array.from({ length: alertsMax }, (_, index) => [`f${index}`, { startsAt: alert('').startsAt, seenMs: index }]),
    ),
  };
  t.equal(receive('f0', alertsMax), 'duplicate', 'it is not the oldest any more');
  t.equal(receive('new', alertsMax + 1), 'notify');
  t.equal(Object.keys(state.firing).length, alertsMax);
  t.equal(receive('f0', alertsMax + 2), 'duplicate');
  t.equal(receive('f1', alertsMax + 3), 'notify', 'it was forgotten');
});

type Happening =
  | { readonly kind: 'alert'; readonly alert: Alert; readonly node: string }
  | { readonly kind: 'pass'; readonly ms: number }
  | { readonly kind: 'end' }
  | { readonly kind: 'restart' };

const happening: fc.Arbitrary<Happening> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc
      .tuple(
        fc.constantFrom('x', 'y', '__proto__'),
        fc.boolean(),
        fc.integer({ min: 1, max: 3 }),
        fc.constantFrom('a', 'b'),
      )
      .map(([print, fires, day, node]) => ({
        kind: 'alert' as const,
        alert: alert(`${print}-${node}`, fires ? 'firing' : 'resolved', day),
        node,
      })),
  },
  { weight: 2, arbitrary: fc.integer({ min: 1, max: coolDownMs }).map((ms) => ({ kind: 'pass' as const, ms })) },
  { weight: 1, arbitrary: fc.constant({ kind: 'end' as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'restart' as const }) },
);

t.test(
  'whatever comes: cool-downs are kept, never more at once, and nothing without an alert that fires',
  async (t) => {
    let begun = 0;
    fc.assert(
      fc.property(fc.array(happening, { maxLength: 40 }), fc.integer({ min: 1, max: 2 }), (happenings, atOnce) => {
        const stand = new Stand(atOnce);
        const lastMs = new Map<string, number>();
        const fires = new Map<string, Map<string, string>>();
        for (const each of happenings) {
          const before = stand.actions.length;
          if (each.kind === 'alert') {
            const { fingerprint, status, startsAt } = each.alert;
            const of = fires.get(each.node) ?? new Map<string, string>();
            fires.set(each.node, of);
            if (status === 'firing') of.set(fingerprint, startsAt);
            else if ((of.get(fingerprint) ?? '') <= startsAt) of.delete(fingerprint);
            stand.receive(each.alert, evacuation(each.node));
          }
          if (each.kind === 'pass') stand.pass(each.ms);
          if (each.kind === 'end') stand.step({ kind: 'ended', key: stand.state.running[0] ?? '' });
          if (each.kind === 'restart') stand.state = afterRestart(stand.state);
          if (stand.state.running.length > atOnce) throw new Error(`${stand.state.running} run at once`);
          for (const action of stand.actions.slice(before)) {
            if (action.kind !== 'evacuate') throw new Error(action.kind);
            const last = lastMs.get(action.node) ?? Number.NEGATIVE_INFINITY;
            if (action.atMs - last < coolDownMs) throw new Error(`again after ${action.atMs - last} ms`);
            if ((fires.get(action.node)?.size ?? 0) === 0) throw new Error(`nothing fires at ${action.node}`);
            lastMs.set(action.node, action.atMs);
            begun += 1;
          }
        }
      }),
      { numRuns: 500 },
    );
    t.ok(begun > 100, `${begun} evacuations`);
  },
);
