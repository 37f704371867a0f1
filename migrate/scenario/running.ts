/**
 * A scenario for applications that run already, in the words of schema.ts: what it brings along it leaves out (`load`, `proxy`), what
 * needs processes of its own (`do`), and what only an application can tell (`committed`, `refused`, `errors` ...).
 */
import { z } from 'zod';
import { faultRule } from '../../proxy/inject/contract.js';
import { renewMsMax } from '../rehearse/injector.js';
import { count, ms, stepsMax } from './schema.js';

const strictly = <Shape extends z.ZodRawShape>(shape: Shape) =>
  z.strictObject(shape, {
    error: ({ code }) => (code === 'unrecognized_keys' ? 'not known, or not with --running' : undefined),
  });

const step = strictly({
  name: z.string().min(1).max(80).optional(),
  faults: z.array(faultRule).default([]),
  until: strictly({
    acts: count.optional(),
    afterMs: ms.optional(),
    withinMs: ms.default(60_000),
  })
    .refine(({ acts, afterMs }) => acts !== undefined || afterMs !== undefined, 'nothing would end this step')
    .optional(),
  remove: z.array(z.string()).default([]),
  expect: strictly({ acts: count.optional() }).optional(),
});
export type RunningStep = z.infer<typeof step>;

export const runningScenario = strictly({
  about: z.string().min(1).max(300),
  seed: z.int().min(0).max(0xffff_ffff).default(1),
  steps: z.array(step).min(1).max(stepsMax),
  expect: strictly({
    /** Of the applications' sessions at the proxy. `kept`: those that were there as it began are there in the end. */
    sessions: z.enum(['any', 'kept']).default('any'),
  }).prefault({}),
}).superRefine(({ steps }, context) => {
  const known = new Set<string>();
  for (const [index, { faults, remove }] of steps.entries()) {
    for (const [place, { id, leaseMs }] of faults.entries()) {
      known.add(id);
      if (leaseMs > renewMsMax) continue;
      const path = ['steps', index, 'faults', place, 'leaseMs'];
      context.addIssue({ code: 'custom', path, message: `leases are renewed every ${renewMsMax} ms: it needs more` });
    }
    for (const [place, id] of remove.entries()) {
      if (known.has(id)) continue;
      const path = ['steps', index, 'remove', place];
      context.addIssue({ code: 'custom', path, message: `no step so far has a fault ${id}` });
    }
  }
});
export type RunningScenario = z.infer<typeof runningScenario>;
