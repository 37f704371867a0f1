import t from 'tap';
import { activityOf, type HoldRule, plainPolicy, ruleFor } from '../../../proxy/policy/rules.js';

const rule = (name: string, more: Partial<HoldRule>): HoldRule => ({ ...plainPolicy().otherwise, name, ...more });
const policy = {
  ...plainPolicy(),
  rules: [
    rule('batch in billing', { users: ['BATCH', 'CLOSING'], services: ['billing'] }),
    rule('billing', { services: ['billing'] }),
    rule('batch', { users: ['BATCH'] }),
  ],
};

t.test('the first rule that fits counts, users and services whatever their case', async (t) => {
  const found = (user: string | undefined, service: string | undefined) => ruleFor(policy, { user, service }).name;
  t.equal(found('closing', 'BILLING'), 'batch in billing');
  t.equal(found('APP', 'billing'), 'billing');
  t.equal(found('batch', 'orders'), 'batch');
  t.equal(found('APP', 'orders'), 'default');
});

t.test('a session that has not said who it is fits no rule that asks for it', async (t) => {
  t.equal(ruleFor(policy, { user: undefined, service: undefined }).name, 'default');
  t.equal(ruleFor(policy, { user: undefined, service: 'billing' }).name, 'billing');
});

t.test('a call counts before a transaction, and what cannot be seen counts as one', async (t) => {
  const quiet = { isOver: false, callsInFlight: 0, transaction: 'none' } as const;
  t.equal(activityOf(quiet), 'idle');
  t.equal(activityOf({ ...quiet, callsInFlight: 2, transaction: 'open' }), 'call');
  t.equal(activityOf({ ...quiet, transaction: 'open' }), 'transaction');
  t.equal(activityOf({ ...quiet, transaction: 'unknown' }), 'transaction');
  t.equal(activityOf({ isOver: true, callsInFlight: 1, transaction: 'open' }), 'idle', 'a session that is over');
});
