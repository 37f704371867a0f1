import { z } from 'zod';
import { defineContract } from '../../shim/control/rpc.js';
import { roles } from '../../shim/program/identity.js';

/** Who has asked the proxy: the audit log of the worker that acts is to name him, and not the worker in between. */
const caller = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('certified'),
    identity: z.object({ role: z.enum(roles), name: z.string().exactOptional() }),
  }),
  z.object({ kind: z.literal('trusted'), by: z.enum(['secret', 'plaintext', 'file-mode']) }),
  z.object({ kind: z.literal('nameless') }),
]);

/** What the first worker of a proxy asks the others, over a socket that nobody else may open: verbs of the proxy, passed on. */
export const peerContract = defineContract('holdfast-proxy-worker', 1, {
  ask: { request: z.object({ verb: z.string(), body: z.unknown(), caller }), reply: z.object({ body: z.unknown() }) },
});
