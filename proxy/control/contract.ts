import { z } from 'zod';
import { fingerprint } from '../../shim/control/contract.js';
import { defineContract } from '../../shim/control/rpc.js';
import { faultAct, faultRow, faultRules } from '../inject/contract.js';
import { faultsMax, watchMsMax } from '../inject/limits.js';
import { actorCharactersMax, extendMsMax, reasonCharactersMax } from '../limits.js';
import { activities, endings } from '../policy/rules.js';

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
  /** Held: how long until the sessions are ended. A pinned one has no end. */
  expiresMs: z.number().optional(),
  /** Holds of this workload have no end until it is unpinned. */
  pinned: z.literal(true).optional(),
  /** How long it would be held if its link went now; absent when without an end. */
  budgetMs: z.number().optional(),
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
  /** SID and serial# may be another's by now: the database's pool (DRCP) took the session back. */
  stale: z.literal(true).optional(),
  instanceName: z.string().optional(),
  databaseName: z.string().optional(),
  driver: z.string().optional(),
  driverVersion: z.string().optional(),
  program: z.string().optional(),
  machine: z.string().optional(),
  osUser: z.string().optional(),
  processId: z.string().optional(),
  /** It outlives a crash of the proxy's worker; otherwise why it does not. */
  protection: z.enum(['protected', 'tls', 'connecting', 'being-kept', 'no-journal', 'over']),
  /** Of Oracle Net; `fieldVersion` of the calls in it. 0 for what is not known yet. */
  protocol: z.object({
    version: z.number(),
    sduBytes: z.number(),
    endOfResponse: z.boolean(),
    fieldVersion: z.number(),
  }),
  callsInFlight: z.number(),
  callsTotal: z.number(),
  /** How long the oldest call in flight has been so. */
  callMs: z.number().optional(),
  /** The call in flight, or the last one. */
  lastFunction: z.string().optional(),
  /** Error number of the last call that ended; 0 for none. */
  lastError: z.number(),
  pipelined: z.boolean(),
  breakPhase: z.enum(['none', 'asked', 'reset-first', 'resetting', 'draining']),
  /** Request boundaries, as pools of drivers tell them; `none` when the driver does not. */
  request: z.enum(['none', 'open', 'ended']),
  /** Number of the last in-band notification, e.g. 12572. */
  notification: z.number().optional(),
  /** The last logical transaction id that the database told, in hexadecimal (Transaction Guard). */
  ltxid: z.string().optional(),
  transaction: z.enum(['none', 'open', 'unknown']),
  /** How long the transaction has been open. */
  transactionMs: z.number().optional(),
  movable: z.union([z.boolean(), z.literal('unknown')]),
  reason: z.string(),
  detail: z.string(),
  bytes: z.object({ fromDriver: z.number(), fromDatabase: z.number() }),
  /** What it was made of up to the last bind, as the proxy has seen it; older proxies do not say it. */
  fingerprint: fingerprint.optional(),
});

/** Workers of the proxy that did not answer: what they have is not in the reply. Absent when all did. */
const missing = z.array(z.object({ worker: z.number(), why: z.string() })).optional();

const workerStatus = z.object({
  version: z.string(),
  keeperPid: z.number(),
  workerPid: z.number(),
  /** When this worker began: wall clock, ISO 8601. */
  startedAt: z.string(),
  /** What became of the worker before it: there was none, it has died, or it has let go in order. */
  before: z.enum(['none', 'crashed', 'released']),
  /** Sessions taken over from it, and those that could not be. */
  taken: z.object({ sessions: z.number(), lost: z.number() }),
  /** The last thing an operator should know of. */
  alarm: z.object({ alarm: z.string(), why: z.string(), at: z.string() }).optional(),
  sessions: z.number(),
  /** Those that outlive a crash of the worker. */
  protectedSessions: z.number(),
  journal: z.object({ directory: z.string(), bytes: z.number(), broken: z.string().optional() }).optional(),
});

/** Where there are several workers: sums over all, and of the first one what cannot be added up. */
const status = workerStatus.extend({
  workers: z.array(workerStatus.extend({ worker: z.number() })).optional(),
  missing,
});

const hold = z.object({
  workload: z.string(),
  instance: z.string(),
  /** overdue: over its budget, and kept because its rule says so. */
  state: z.enum(['held', 'pinned', 'overdue']),
  /** What the session that is held longest is doing. */
  doing: z.enum(activities),
  /** When the hold began, and when it ends: wall clock of the proxy, ISO 8601. A pinned hold has no end. */
  since: z.string(),
  until: z.string().optional(),
  /** The same as time from now; less than 0 for an overdue one. */
  heldMs: z.number(),
  leftMs: z.number().optional(),
  atEnd: z.enum(endings),
  rule: z.string(),
  owner: z.string().optional(),
  sessions: z.number(),
  /** Bytes kept for the application. */
  storedBytes: z.number(),
  epoch: z.number(),
  address: z.string(),
  why: z.string(),
});

/** Who asks, as the command knows it. */
const by = z.object({ user: z.string().max(actorCharactersMax), host: z.string().max(actorCharactersMax) });
/** What is left of a move, in short. */
const move = z.object({
  move: z.string(),
  mover: z.string(),
  outcome: z.string(),
  from: z.string(),
  to: z.string(),
  epochBefore: z.number(),
  epochAfter: z.number(),
  blackoutMs: z.number(),
  /** Why it was not made. */
  code: z.string().optional(),
});
/** All lives of a workload's shim, or one. */
const wanted = z.object({ workload: z.string(), instance: z.string().optional(), by });
/** How many workloads there were, and how the holds among them stand now. */
const decided = z.object({ workloads: z.number(), holds: z.array(hold) });

/** What operators and agents ask of a proxy. All verbs can be repeated without harm. */
export const proxyContract = defineContract('holdfast-proxy', 1, {
  sessions: {
    callers: ['agent'],
    request: z.object({ workload: z.string().optional() }),
    reply: z.object({ sessions: z.array(session), missing }),
  },
  workloads: {
    callers: ['agent'],
    request: z.object({ workload: z.string().optional() }),
    reply: z.object({ version: z.string().optional(), workloads: z.array(workload), missing }),
  },
  /** The processes of the proxy. */
  status: { request: empty, reply: status },
  /** Another worker of the program that is installed now takes over; whether it did, `status` tells. */
  upgrade: { request: empty, reply: z.object({ workerPid: z.number() }) },
  /** For the audit log. */
  noteMove: {
    callers: ['agent'],
    request: z.object({ workload: z.string(), instance: z.string(), by, move }),
    reply: empty,
  },
  /** From here on for operators alone: who may decide about a hold decides about somebody's transaction. */
  holds: {
    request: empty,
    reply: z.object({
      holds: z.array(hold),
      missing,
      /** The audit log, where there is one. */
      audit: z
        .object({ path: z.string(), isFailing: z.boolean(), waitingBytes: z.number(), lostLines: z.number() })
        .optional(),
    }),
  },
  /** `request` names this wish: granted once, however often it is asked for. */
  extendHold: {
    request: wanted.extend({
      byMs: z.number().int().min(1, 'not a time').max(extendMsMax, 'more than 30 days at a time'),
      request: z.uuid(),
    }),
    reply: decided,
  },
  pinHold: { request: wanted, reply: decided },
  unpinHold: { request: wanted, reply: decided },
  /** 0 workloads: they had been ended before. */
  releaseHold: {
    request: wanted.extend({ why: z.string().max(reasonCharactersMax) }),
    reply: z.object({ workloads: z.number(), sessions: z.number() }),
  },
  /**
   * Faults (inject/contract.ts); all four are refused with `faults-not-allowed` by a proxy without `--allow-faults`. `run` is another
   * one when the worker was replaced: its rules are gone, and acts are counted from 1 again. Adding a rule again renews its lease.
   */
  injectAdd: {
    request: z.object({ rules: faultRules.max(faultsMax), by }),
    reply: z.object({ run: z.string(), added: z.array(z.string()), rules: z.array(faultRow) }),
  },
  injectList: { request: empty, reply: z.object({ run: z.string(), rules: z.array(faultRow) }) },
  /** Those that are there; without ids all of them. */
  injectRemove: {
    request: z.object({ ids: z.array(z.string()).optional(), by }),
    reply: z.object({ run: z.string(), removed: z.array(z.string()) }),
  },
  /** Acts behind number `after`. With none it waits for the next one, for `waitMs`. `missed`: older ones that nobody remembers. */
  injectWatch: {
    request: z.object({ after: z.int().min(0), waitMs: z.int().min(0).max(watchMsMax) }),
    reply: z.object({ run: z.string(), acts: z.array(faultAct), missed: z.number() }),
  },
});

export type WorkloadRow = z.infer<typeof workload>;
export type SessionRow = z.infer<typeof session>;
export type StatusRow = z.infer<typeof status>;
export type Missing = NonNullable<StatusRow['missing']>[number];
export type HoldRow = z.infer<typeof hold>;
export type MoveNote = z.infer<typeof move>;
export type Asker = z.infer<typeof by>;
