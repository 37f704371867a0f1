import { z } from 'zod';
import { phaseNames } from './plan.js';

const place = z.object({ node: z.string(), address: z.string() });
const failure = z.object({ code: z.string(), message: z.string() });

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
});

/** What is left of a move. All times are milliseconds. */
export const moveRecord = z.object({
  move: z.string(),
  workload: z.string(),
  mover: z.enum(['criu', 'relink']),
  /** moved; put-back: the source runs on as before; stranded: the source could not be put back. */
  outcome: z.enum(['moved', 'put-back', 'stranded']),
  startedAt: z.string(),
  from: place,
  to: place,
  phases: z.array(z.object({ phase: z.enum(phaseNames), ms: z.number() })),
  /** The time in which the application got no answer: from detach to bind. */
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
});

export type MoveRecord = z.infer<typeof moveRecord>;
export type SessionRecord = z.infer<typeof sessionRecord>;
export type MoverName = MoveRecord['mover'];

/** Sent while a move runs. */
export const moveEvent = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('phase'), phase: z.enum(phaseNames) }),
  z.object({ kind: z.literal('done'), phase: z.enum(phaseNames), ms: z.number() }),
  z.object({ kind: z.literal('failed'), phase: z.enum(phaseNames), ms: z.number(), error: failure }),
  z.object({ kind: z.literal('undo'), undo: z.string() }),
]);
export type MoveEvent = z.infer<typeof moveEvent>;

const dark = ['detach', 'freeze', 'transfer', 'restore', 'bind'] as const;

/** Blackout by phase; phases that a mover does not have count 0. */
export function blackoutOf(phases: MoveRecord['phases']): MoveRecord['blackoutMs'] {
  const ms = (name: string) => phases.find(({ phase }) => phase === name)?.ms ?? 0;
  const total = roundMs(dark.reduce((sum, name) => sum + ms(name), 0));
  return {
    total,
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
