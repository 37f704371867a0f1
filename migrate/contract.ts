import { z } from 'zod';
import { shimContract } from '../shim/control/contract.js';
import { defineContract } from '../shim/control/rpc.js';
import { evacuationEvent, evacuationRecord } from './fleet/evacuation.js';
import { evacuateRequest, labels, nodeLoad } from './fleet/messages.js';
import { briefMove, chainFault, sealedRecord } from './history.js';
import { commandWordsMax, environmentMax, historyMax, volumesMax } from './limits.js';
import { inspection, inspectRequest } from './preflight/facts.js';
import { preflightReport } from './preflight/finding.js';
import { asker, carrierNames, moveConditions, moveEvent, moveRecord, moverNames, wantedMovers } from './record.js';
import { processIdentity } from './workload/store.js';

const nothing = z.object({});
const name = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, 'not a name');
const addressValue = z.object({ host: z.string(), port: z.number().int().min(0).max(65_535) });
const mover = z.enum(moverNames);
const wantedMover = z.enum(wantedMovers);
const move = z.object({ move: name, workload: name, mover });
const bound = z.object({
  epoch: z.number(),
  streams: z.number(),
  replayedBytes: z.object({ up: z.number(), down: z.number() }),
});

const workload = z.object({
  name,
  node: z.string(),
  /** frozen: stopped by a move that has not ended. */
  state: z.enum(['running', 'frozen', 'ended']),
  exitCode: z.number().optional(),
  pid: z.number(),
  /** In a process-id namespace of its own, which CRIU needs. */
  isolated: z.boolean(),
  /** What it was started for. */
  mover,
  /** What runc or podman call it, when it is a container. */
  container: z.string().optional(),
  command: z.array(z.string()),
  startedAt: z.string(),
  labels: labels.optional(),
  moving: z.string().optional(),
});

const agents = { callers: ['agent'] } as const;

/** What operators ask of a node's agent, and agents of each other. */
export const agentContract = defineContract('holdfast-agent', 1, {
  info: {
    request: nothing,
    reply: z.object({
      node: z.string(),
      pid: z.number(),
      /** The same for two agents that see the same processes. */
      machine: z.string(),
      /** Of each way to take processes along its version, or why it does not work there. */
      carriers: z.record(
        z.enum(carrierNames),
        z.object({ version: z.string().optional(), missing: z.string().optional() }),
      ),
      workloads: z.number(),
    }),
  },
  /** Starts an application together with its shim; replies when both run. */
  run: {
    request: z.object({
      name,
      /** Empty: that of the bundle or image. */
      command: z.array(z.string()).max(commandWordsMax),
      /** Directory of an OCI bundle, when it is to be a container. */
      bundle: z.string().optional(),
      /** Or an image of podman, with what of the node is mounted into it. */
      image: z.string().optional(),
      volumes: z.array(z.string()).max(volumesMax).optional(),
      cwd: z.string(),
      env: z
        .record(z.string(), z.string())
        .refine((env) => Object.keys(env).length <= environmentMax, 'too many variables'),
      listen: addressValue,
      labels: labels.optional(),
    }),
    reply: workload,
  },
  workloads: { request: nothing, reply: z.array(workload) },
  /** SIGTERM, then SIGKILL; replies when the whole tree is gone. */
  stop: { request: z.object({ name }), reply: z.object({ exitCode: z.number().optional() }) },
  /** What a move would meet: everything that can be found out while the application runs on. */
  preflight: {
    request: z.object({ name, to: z.string(), mover: wantedMover, allowUnknown: z.boolean().optional() }),
    reply: preflightReport,
  },
  /** Takes the shim off its link until `attach`: somebody else moves the workload. */
  detach: { request: z.object({ name }), reply: nothing },
  /** Lets the shim bind; nothing when it is bound. */
  attach: { request: z.object({ name }), reply: nothing },
  /** Moves a workload of this node; replies with the record however it went, once it has begun. */
  move: {
    request: z.object({
      name,
      to: z.string(),
      mover: wantedMover,
      /** Also with sessions of which nobody can say whether they are in a transaction. */
      allowUnknown: z.boolean().optional(),
      ...moveConditions.shape,
      by: asker.optional(),
    }),
    reply: moveRecord,
    event: moveEvent,
  },
  /** What the node has to carry, measured over half a second. */
  load: { ...agents, request: nothing, reply: nodeLoad },
  /** Moves all workloads of this node elsewhere; replies when it is done or has stopped. */
  evacuate: { ...agents, request: evacuateRequest, reply: evacuationRecord, event: evacuationEvent },
  /** Asks that a move under way be taken back; replies at once whether that is still possible. */
  abortMove: {
    request: z.object({ move: name, by: asker }),
    reply: z.object({ state: z.enum(['aborting', 'too-late', 'ended']) }),
  },
  /** The last moves that this agent has made, oldest first. */
  history: {
    request: z.object({ workload: name.optional(), most: z.number().int().min(1).max(historyMax) }),
    reply: z.array(briefMove),
  },
  /** The record of one move, as it was sealed; nothing when this agent has not made it. */
  showMove: { request: z.object({ move: name }), reply: z.object({ sealed: sealedRecord.optional() }) },
  /** Checks the chain of all records of this agent; of one move also that it stands in it. */
  verifyMoves: {
    request: z.object({ move: name.optional() }),
    reply: z.object({
      records: z.number(),
      faults: z.array(chainFault),
      /** Of the move that was asked for. */
      seal: z.object({ n: z.number(), hash: z.string() }).optional(),
    }),
  },
  /** Finishes or takes back a move of this node that was cut off; of one that has ended the record. */
  resumeMove: { request: z.object({ move: name }), reply: moveRecord, event: moveEvent },

  // From the source's agent to the target's, in this order. Each can be repeated.
  /** What is there of all that a workload would need here? */
  inspect: { ...agents, request: inspectRequest, reply: inspection },
  /** Listens for the image of a move, where nodes keep images in directories of their own. */
  receive: { ...agents, request: move, reply: z.object({ port: z.number(), ticket: z.string() }) },
  /** Makes the processes from the image and leaves them stopped. */
  restore: { ...agents, request: move, reply: processIdentity },
  /** Lets the shim run and bind, then the application. */
  bind: { ...agents, request: move.extend({ shimPid: z.number() }), reply: bound },
  /** What the shim has seen of its sessions up to the last bind. */
  fingerprints: { ...agents, request: move, reply: shimContract.verbs.fingerprints.reply },
  /** Takes the shim off the link again, so that it is certain whether it was bound. */
  park: { ...agents, request: move, reply: nothing },
  /** Kills what was restored. */
  abandon: { ...agents, request: move, reply: nothing },
  /** What there is of a copy; running: its shim has bound and the application was let go. */
  copy: {
    ...agents,
    request: move,
    reply: z.object({ state: z.enum(['none', 'stopped', 'running']), process: processIdentity.optional() }),
  },
});

export type AgentVerbs = (typeof agentContract)['verbs'];
export type WorkloadInfo = z.infer<typeof workload>;
export type RunRequest = z.infer<AgentVerbs['run']['request']>;
export type MoveRequest = z.infer<AgentVerbs['move']['request']>;
export type Bound = z.infer<typeof bound>;
