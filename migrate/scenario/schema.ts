/**
 * A scenario file: what is done to an installation, when the next step begins, and what must hold in the end. Times are in
 * milliseconds. Faults are written as proxy/inject/contract.ts has them; a rule that names no seed gets one from the scenario's.
 */
import { z } from 'zod';
import { faultRule } from '../../proxy/inject/contract.js';
import { workloadKinds } from '../rehearse/plan.js';
import { strangerVerdicts } from '../rehearse/stranger.js';

/** Longest step, and longest pause of an application. */
const stepMsMax = 600_000;
export const stepsMax = 1_000;

export const ms = z.int().min(1).max(stepMsMax);
export const count = z.int().min(1).max(1_000_000);

/** Which application, by its number. */
const application = z.int().min(1).max(64).default(1);

/** What can be hit in the midst of a move: the agents of both nodes, the worker of the proxy, the shim. */
export const hits = [
  'kill agent',
  'kill target-agent',
  'kill proxy-worker',
  'freeze agent',
  'freeze target-agent',
  'freeze shim',
] as const;

/** What is done to processes and moves, besides faults. */
export const deed = z.discriminatedUnion('kind', [
  /** To the other node, by relink: the process stays, its link is bound from another address. */
  z.strictObject({ kind: z.literal('move'), application }),
  /**
   * The same, and as the agent tells that a phase of it begins, a process is hit. Who is killed comes up again, who is frozen goes on
   * after `forMs`. Whatever becomes of the move: in the end one node has the application, and it is bound.
   */
  z.strictObject({
    kind: z.literal('move-hit'),
    application,
    phase: z.enum(['preflight', 'detach', 'bind', 'verify', 'retire']),
    hit: z.enum(hits),
    forMs: ms.default(500),
  }),
  /** Two moves of one application at once: one is made, the other refused. */
  z.strictObject({ kind: z.literal('two-moves'), application }),
  /** The shim is taken off its link, and put back after the time. */
  z.strictObject({ kind: z.literal('detach'), application, forMs: ms }),
  /** Another worker of the proxy takes over in order. */
  z.strictObject({ kind: z.literal('upgrade') }),
  /** SIGKILL. */
  z.strictObject({
    kind: z.literal('kill'),
    what: z.enum(['proxy-worker', 'shim', 'application', 'agent']),
    application,
  }),
  /** SIGSTOP, and SIGCONT after the time. */
  z.strictObject({
    kind: z.literal('freeze'),
    what: z.enum(['proxy', 'shim', 'application', 'agent']),
    application,
    forMs: ms,
  }),
  /** Somebody who is no shim of this application dials the proxy as if he were one, presents what asks for this verdict, and gets it. */
  z.strictObject({ kind: z.literal('stranger'), application, verdict: z.enum(strangerVerdicts) }),
  /** An operator ends the hold of an application that is detached, and then lets it come back. */
  z.strictObject({ kind: z.literal('release'), application }),
  /**
   * What the shim of an application would say to the proxy is presented by another one. `twin`: once the shim itself has been
   * detached and has bound again. `late`: after `forMs`.
   */
  z.strictObject({
    kind: z.literal('copy'),
    image: z.enum(['twin', 'late']),
    application,
    forMs: ms.default(500),
  }),
]);
export type Deed = z.infer<typeof deed>;

/** Whichever comes first ends a step; `withinMs` ends it as failed. */
const until = z
  .strictObject({
    /** The step's faults have acted so often. */
    acts: count.optional(),
    /** So many more transactions were committed, as the applications say. */
    committed: count.optional(),
    /** So many more connections were refused or broken off while they were made. */
    refused: count.optional(),
    /** So long. */
    afterMs: ms.optional(),
    /** Every application has done all that it was to do. */
    done: z.literal(true).optional(),
    withinMs: ms.default(60_000),
  })
  .refine(({ withinMs, ...ends }) => withinMs > 0 && Object.keys(ends).length > 0, 'nothing would end this step');
export type Until = z.infer<typeof until>;

const atLeast = z.union([z.literal('none'), z.literal('some'), z.literal('any')]);

const step = z.strictObject({
  name: z.string().min(1).max(80).optional(),
  /**
   * Faults that begin with this step, and go on until one removes them, or the scenario ends. A redirect to the host `database`
   * is to the address of the database that is brought along, whatever its port.
   */
  faults: z.array(faultRule).default([]),
  do: z.array(deed).default([]),
  until: until.optional(),
  /** Ids of faults that end with this step. */
  remove: z.array(z.string()).default([]),
  expect: z
    .strictObject({
      /** So many acts of its faults, at least. */
      acts: count.optional(),
      /** Verdicts with which the proxy has refused a shim, by now. */
      refused: z.array(z.string()).optional(),
      /** Events that the audit log has of this step. */
      events: z.array(z.string()).optional(),
    })
    .optional(),
});
export type Step = z.infer<typeof step>;

export const scenario = z.strictObject({
  about: z.string().min(1).max(300),
  seed: z.int().min(0).max(0xffff_ffff).default(1),
  /** Applications that the scenario brings along. Without: faults act on whatever runs there. */
  load: z
    .strictObject({
      applications: z.int().min(1).max(8).default(1),
      sessions: z.int().min(1).max(200).default(5),
      kinds: z
        .array(z.enum(workloadKinds))
        .min(1)
        .default([...workloadKinds]),
      /** Of each session. 0: until the last step has ended. */
      transactions: z.int().min(0).max(10_000).default(0),
      pauseMsMax: z.int().min(0).max(10_000).default(5),
    })
    .optional(),
  /** More options for the proxy that is brought along. */
  proxy: z.array(z.string()).default([]),
  steps: z.array(step).min(1).max(stepsMax),
  expect: z
    .strictObject({
      /** Transactions that were broken off, and connections that were refused. History and database must agree in any case. */
      rolledBack: atLeast.default('none'),
      refused: atLeast.default('none'),
      /** Errors that applications must have seen. */
      errors: z.array(z.string()).default([]),
      /** Whether everything that is done must have an effect. A move that a fault meets may be taken back, or be refused. */
      deeds: z.enum(['act', 'may-fail']).default('act'),
      /** What comes of it without Holdfast; `loses`: transactions are rolled back. */
      straight: z.enum(['loses', 'holds', 'not-played']).default('not-played'),
    })
    .prefault({}),
});
export type Scenario = z.infer<typeof scenario>;

/** For editors: what a file may hold. */
export function scenarioJsonSchema(): object {
  return z.toJSONSchema(scenario, { io: 'input' });
}
