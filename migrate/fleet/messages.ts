import { z } from 'zod';
import { concurrencyMax, labelCharactersMax, labelsMax } from '../limits.js';
import { moveConditions, wantedMovers } from '../record.js';

/** Given to a workload when it is started. */
export const labels = z
  .record(
    z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/, 'not the name of a label'),
    z.string().max(labelCharactersMax),
  )
  .refine((all) => Object.keys(all).length <= labelsMax, 'too many labels');

/** What a node has to carry, and what each of its workloads has a part in. */
export const nodeLoad = z.object({
  node: z.string(),
  cpus: z.number(),
  /** Share of all processors that was busy, 0 to 1. */
  cpuBusy: z.number(),
  memory: z.object({ totalBytes: z.number(), availableBytes: z.number() }),
  /** It is being emptied: no place to go to. */
  evacuating: z.boolean(),
  workloads: z.array(
    z.object({
      name: z.string(),
      labels: z.record(z.string(), z.string()),
      memoryBytes: z.number(),
      /** Processors it kept busy: 1.5 is one and a half. */
      cpus: z.number(),
    }),
  ),
});
export type NodeLoad = z.infer<typeof nodeLoad>;

export const evacuateRequest = z.object({
  /** Nodes that may take workloads; all others when left out. */
  to: z.array(z.string()).optional(),
  dryRun: z.boolean().optional(),
  /** Goes on with the one that was stopped or cut off. */
  resume: z.boolean().optional(),
  /** Forgets the one that was stopped or cut off. */
  anew: z.boolean().optional(),
  ignoreAntiAffinity: z.boolean().optional(),
  concurrency: z.number().int().min(1).max(concurrencyMax),
  mover: z.enum(wantedMovers),
  allowUnknown: z.boolean().optional(),
  /** Of each of its moves. */
  conditions: moveConditions.optional(),
  by: z.object({ user: z.string(), host: z.string() }),
});
export type EvacuateRequest = z.infer<typeof evacuateRequest>;
