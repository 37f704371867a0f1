import { z } from 'zod';
import { defineContract } from '../../shim/control/rpc.js';

const empty = z.object({});

const workload = z.object({
  name: z.string(),
  /** Random name of this life of the shim; survives moves, not restarts. */
  instance: z.string(),
  state: z.enum(['bound', 'held']),
  epoch: z.number(),
  /** Where the shim dials from, or dialed from last. */
  address: z.string(),
  /** How long it has been bound or held. */
  sinceMs: z.number(),
  /** Held: how long until the sessions are ended. */
  expiresMs: z.number().optional(),
  /** Held: what happened to the link. */
  why: z.string().optional(),
  sessions: z.number(),
  /** Bytes stored until the shim acknowledges them. */
  storedBytes: z.number(),
  /** Bytes sent to drivers a second time, over all binds. */
  replayedBytes: z.number(),
});

const session = z.object({
  workload: z.string(),
  instance: z.string(),
  stream: z.number(),
  state: z.enum(['bound', 'held']),
  address: z.string(),
  database: z.string(),
  phase: z.string(),
  user: z.string().optional(),
  service: z.string().optional(),
  sid: z.number().optional(),
  serial: z.number().optional(),
  instanceName: z.string().optional(),
  driver: z.string().optional(),
  program: z.string().optional(),
  machine: z.string().optional(),
  callsInFlight: z.number(),
  callsTotal: z.number(),
  lastFunction: z.string().optional(),
  transaction: z.enum(['none', 'open', 'unknown']),
  /** How long the transaction has been open. */
  transactionMs: z.number().optional(),
  movable: z.union([z.boolean(), z.literal('unknown')]),
  reason: z.string(),
  detail: z.string(),
  bytes: z.object({ fromDriver: z.number(), fromDatabase: z.number() }),
});

/** What operators and agents ask of a proxy. */
export const proxyContract = defineContract('holdfast-proxy', 1, {
  sessions: {
    callers: ['agent'],
    request: z.object({ workload: z.string().optional() }),
    reply: z.object({ sessions: z.array(session) }),
  },
  workloads: { callers: ['agent'], request: empty, reply: z.object({ workloads: z.array(workload) }) },
});

export type WorkloadRow = z.infer<typeof workload>;
export type SessionRow = z.infer<typeof session>;
