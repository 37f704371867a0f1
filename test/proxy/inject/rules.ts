import { type CallRule, type FaultRuleInput, faultRule } from '../../../proxy/inject/contract.js';
import type { Moment, SessionNames } from '../../../proxy/inject/engine.js';

type CallInput = Extract<FaultRuleInput, { kind: 'call' }>;

/** A rule that cuts the driver's connection before a COMMIT is passed on, but for what is given. */
export function cutRule(given: Partial<CallInput> = {}): CallRule {
  const when = { call: 'commit', at: 'before-request' } as const;
  const rule = faultRule.parse({ id: 'cut', kind: 'call', when, action: { kind: 'cut', leg: 'driver' }, ...given });
  if (rule.kind !== 'call') throw new Error('not a rule of calls');
  return rule;
}

export const orders: SessionNames = { workload: 'orders', user: 'SCOTT', service: 'FREEPDB1', program: 'orders.js' };

export function momentOf(given: Partial<Moment> = {}): Moment {
  return {
    call: 'commit',
    point: 'before-request',
    ofKind: 1,
    ofAny: 1,
    inTransaction: true,
    firstOfTransaction: false,
    ...given,
  };
}
