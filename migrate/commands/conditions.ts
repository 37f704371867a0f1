import { option, optional } from '../../shim/program/config.js';
import { choice, duration } from '../../shim/program/values.js';
import { afterDeadline, type MoveConditions, moments } from '../record.js';

/** Written as a name: what has a property `then` may be taken for a promise. */
const thenName = 'then';

/** Options of every command that moves something. */
export const conditionOptions = {
  'max-blackout': optional(
    duration(),
    'give up, and put the source back, when the application has waited longer before the target has bound',
  ),
  when: option(
    { ...choice(...moments), placeholder: 'MOMENT' },
    'now',
    'now, or wait until every session has ended its call (call-end), its transaction (transaction-end), or is back in its pool (pool-return)',
  ),
  deadline: option(duration(), '30s', 'how long to wait for that'),
  [thenName]: option(choice(...afterDeadline), 'give-up', 'what to do when it has not come by then'),
} as const;

interface ConditionSettings {
  readonly maxBlackout?: number | undefined;
  readonly when: (typeof moments)[number];
  readonly deadline: number;
  readonly [thenName]: (typeof afterDeadline)[number];
}

/** As an agent is asked. */
export function conditionsOf({ maxBlackout, when, deadline, [thenName]: after }: ConditionSettings): MoveConditions {
  const limit = maxBlackout === undefined ? {} : { maxBlackoutMs: maxBlackout };
  return { ...limit, when, deadlineMs: deadline, after };
}
