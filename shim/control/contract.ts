import { z } from 'zod';
import { defineContract } from './rpc.js';

const empty = z.object({});

const attached = z.object({
  epoch: z.number(),
  streams: z.number(),
  replayedBytes: z.object({ up: z.number(), down: z.number() }),
  /** From the start of the attach to the bind. */
  elapsedMs: z.number(),
  /** Address of the shim's end of the link. */
  address: z.string(),
});

/** What one direction of a session was made of between two positions: CRC-32 of the bytes (shim/link/fingerprint.ts). */
export const range = z.object({ from: z.number(), to: z.number(), crc: z.number() });
/** Of both directions: from the driver, and to it. */
export const fingerprint = z.object({ up: range.optional(), down: range.optional() });

/** What an agent asks of a shim. All verbs are idempotent. */
export const shimContract = defineContract('holdfast-shim', 1, {
  status: {
    request: empty,
    reply: z.object({
      workload: z.string(),
      instance: z.string(),
      pid: z.number(),
      /** Of Holdfast; those before 0.1.0 do not say it. */
      version: z.string().optional(),
      state: z.enum(['detached', 'waiting', 'connecting', 'resuming', 'bound', 'refused']),
      verdict: z.string().optional(),
      reason: z.string().optional(),
      epoch: z.number(),
      /** Streams that live on the link; drivers connected now. */
      streams: z.number(),
      drivers: z.number(),
      /** Bytes stored until the proxy acknowledges them. */
      storedBytes: z.number(),
      listen: z.object({ host: z.string(), port: z.number() }),
      lastBind: attached.optional(),
    }),
  },
  /** Closes the link and keeps the drivers; replies when no socket to the proxy is left. */
  detach: { request: empty, reply: z.object({ streams: z.number(), elapsedMs: z.number() }) },
  /** Binds (again); replies when bound, fails with `refused-<verdict>`. */
  attach: {
    request: z.object({
      /** Where the proxy is; as before when left out. */
      proxy: z.object({ host: z.string(), port: z.number().int().min(1).max(65_535) }).optional(),
      /** Address to dial from. */
      localAddress: z.string().optional(),
    }),
    reply: attached,
  },
  /** What the sessions were made of up to the last bind, as this end of the link has seen it. */
  fingerprints: {
    request: empty,
    reply: z.object({ epoch: z.number(), sessions: z.array(fingerprint.extend({ stream: z.number() })) }),
  },
});

export type ShimStatus = z.infer<(typeof shimContract)['verbs']['status']['reply']>;
export type Attached = z.infer<typeof attached>;
export type Range = z.infer<typeof range>;
export type Fingerprint = z.infer<typeof fingerprint>;
export type SeenByShim = z.infer<(typeof shimContract)['verbs']['fingerprints']['reply']>;
