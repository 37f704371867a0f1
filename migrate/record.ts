import { z } from 'zod';
import { phaseNames } from './plan.js';

const place = z.object({ node: z.string(), address: z.string() });
export const failure = z.object({ code: z.string(), message: z.string() });
/** Who gives a command, for records and audit logs. */
export const asker = z.object({ user: z.string(), host: z.string() });
/** Ways to take processes along; a workload is started for one of them. */
export const carrierNames = ['criu', 'runc', 'podman'] as const;
export type CarrierName = (typeof carrierNames)[number];
export const moverNames = [...carrierNames, 'relink'] as const;
/** What can be asked for; own: as the workload was started. */
export const wantedMovers = ['own', ...moverNames] as const;
export type WantedMover = (typeof wantedMovers)[number];
/** What is waited for before a move. */
export const moments = ['now', 'call-end', 'transaction-end', 'pool-return'] as const;
export type Moment = (typeof moments)[number];
export const afterDeadline = ['move', 'give-up'] as const;
/** When a move is made, and how long an application may wait for it. */
export const moveConditions = z.object({
  /** Given up, and the source put back, when the application has waited longer than this before the target has bound. */
  maxBlackoutMs: z.number().int().min(1).optional(),
  /** What to wait for, how long, and what to do when it has not come. */
  when: z.enum(moments).optional(),
  deadlineMs: z.number().int().min(0).optional(),
  after: z.enum(afterDeadline).optional(),
});
export type MoveConditions = z.infer<typeof moveConditions>;

/** What a session was before a move, as far as its record tells. */
export const knownSession = z.object({
  stream: z.number(),
  user: z.string().optional(),
  service: z.string().optional(),
  sid: z.number().optional(),
  serial: z.number().optional(),
  transaction: z.string(),
  callsInFlight: z.number(),
});
export type KnownSession = z.infer<typeof knownSession>;

/** One direction between two positions; absent where the ends do not know the same range. */
const seenTwice = z
  .object({ from: z.number(), to: z.number(), shim: z.string(), proxy: z.string(), same: z.boolean() })
  .optional();

/** What the proxy knew of a session, before and after. */
const sessionRecord = z.object({
  stream: z.number(),
  user: z.string().optional(),
  service: z.string().optional(),
  sid: z.number().optional(),
  serial: z.number().optional(),
  transaction: z.object({ before: z.string(), after: z.string() }),
  callsInFlight: z.object({ before: z.number(), after: z.number() }),
  /** Present after the move with the same SID and serial#. */
  same: z.boolean(),
  /** CRC-32 of what was said up to the bind, since the bind before it: in hexadecimal, as seen at both ends of the link. */
  hashes: z.object({ up: seenTwice, down: seenTwice }).optional(),
});

/** What is left of a move. All times are milliseconds. */
export const moveRecord = z.object({
  move: z.string(),
  workload: z.string(),
  mover: z.enum(moverNames),
  /** moved; put-back: the source runs on as before; stranded: neither yet, `holdfast resume-move` goes on. */
  outcome: z.enum(['moved', 'put-back', 'stranded']),
  startedAt: z.string(),
  endedAt: z.string(),
  by: asker,
  from: place,
  to: place,
  phases: z.array(z.object({ phase: z.enum(phaseNames), ms: z.number() })),
  /** The application that runs now, if it is certain. */
  running: z.enum(['source', 'target', 'none']),
  /** The time in which the application got no answer: from the detach until the target or, put back, the source has bound. */
  blackoutMs: z.object({
    total: z.number(),
    detach: z.number(),
    freeze: z.number(),
    transfer: z.number(),
    restore: z.number(),
    bind: z.number(),
  }),
  /** What an image of it holds; absent when its processes were not moved. */
  memoryBytes: z.number().optional(),
  epoch: z.object({ before: z.number(), after: z.number() }),
  replayedBytes: z.object({ up: z.number(), down: z.number() }),
  sessions: z.array(sessionRecord),
  warnings: z.array(failure),
  error: failure.extend({ phase: z.enum(phaseNames), source: z.string() }).optional(),
  /** How often it was taken up again after it had been cut off. */
  resumes: z.number(),
});

export type MoveRecord = z.infer<typeof moveRecord>;
export type SessionRecord = z.infer<typeof sessionRecord>;
export type MoverName = MoveRecord['mover'];

/** Sent while a move runs. */
export const moveEvent = z.discriminatedUnion('kind', [
  /** First of all: its name, and what it moves. */
  z.object({
    kind: z.literal('begin'),
    move: z.string(),
    workload: z.string(),
    mover: z.enum(moverNames),
    from: z.string(),
    to: z.string(),
  }),
  z.object({ kind: z.literal('phase'), phase: z.enum(phaseNames) }),
  /** How far a phase is; without `total` nobody knows how much it will be. */
  z.object({
    kind: z.literal('progress'),
    phase: z.enum(phaseNames),
    done: z.number(),
    total: z.number().optional(),
    unit: z.enum(['bytes', 'sessions']),
  }),
  /** Sessions that are not there yet; `first` says what one of them does. */
  z.object({ kind: z.literal('waiting'), sessions: z.number(), first: z.string() }),
  z.object({ kind: z.literal('done'), phase: z.enum(phaseNames), ms: z.number() }),
  z.object({ kind: z.literal('failed'), phase: z.enum(phaseNames), ms: z.number(), error: failure }),
  z.object({ kind: z.literal('undo'), undo: z.string() }),
]);
export type MoveEvent = z.infer<typeof moveEvent>;

const dark = ['detach', 'freeze', 'transfer', 'restore', 'bind'] as const;

/**
 * Blackout by phase; phases that a mover does not have count 0.
 * @param totalMs as measured, where taking back or a pause between the phases belong to it
 */
export function blackoutOf(phases: MoveRecord['phases'], totalMs?: number): MoveRecord['blackoutMs'] {
  const ms = (name: string) => phases.find(({ phase }) => phase === name)?.ms ?? 0;
  const total = totalMs ?? dark.reduce((sum, name) => sum + ms(name), 0);
  return {
    total: roundMs(total),
    detach: ms('detach'),
    freeze: ms('freeze'),
    transfer: ms('transfer'),
    restore: ms('restore'),
    bind: ms('bind'),
  };
}

/** To a hundredth: what is shown need not be longer. */
export function roundMs(ms: number): number {
  return Math.round(ms * 100) / 100;
}
