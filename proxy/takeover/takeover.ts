/** From what a worker has left behind to what goes on: the shell around recover.ts. */
import type { StreamRest } from '../../shim/link/index.js';
import type { SessionRecord } from '../backend/record.js';
import type { Backend } from '../bridge.js';
import type { Remains } from '../journal/journal.js';
import type { NativeHandle } from '../kernel/handle.js';
import type { SocketCounters } from '../kernel/socket-counters.js';
import type { OpenBackend } from '../workload.js';
import { closedBackend } from './closed-backend.js';
import type { TakeoverError } from './errors.js';
import { lastRead, place, type Recovered, type RecoveredSession, type RecoveredWorkload, recover } from './recover.js';
import type { ClosedAt } from './saved.js';

export interface TakenOverSession {
  readonly id: number;
  readonly rest: StreamRest;
  /** Its connection to the database was closed already. */
  readonly closed: ClosedAt | undefined;
  readonly make: OpenBackend;
}

export interface TakenOver {
  readonly recovered: RecoveredWorkload;
  readonly sessions: readonly TakenOverSession[];
  readonly lost: readonly { readonly session: RecoveredSession; readonly error: TakeoverError }[];
}

export interface TakeoverParts {
  readonly counters: (handle: NativeHandle) => SocketCounters | undefined;
  /** Goes on with the session of a record, whose connection is on this handle. */
  readonly takeUp: (
    record: SessionRecord,
    handle: NativeHandle,
    resendFrom: number,
    ...context: Parameters<TakenOverSession['make']>
  ) => Backend;
  readonly nowMs: number;
  /** Where the worker before has read to, as it has left it. */
  readonly landed: Buffer;
}

export interface Takeover {
  readonly workloads: readonly TakenOver[];
  readonly count: { readonly sessions: number; readonly lost: number };
  /** What was put down and cannot be read. */
  readonly damaged: readonly { readonly id: number; readonly error: TakeoverError }[];
  /** Connections that nobody goes on with. */
  readonly unclaimed: readonly number[];
  /** The first number that is not in use. */
  readonly next: number;
}

/** @param kept connections that the keeper has kept, by number */
export function takeOver(
  remains: ReadonlyMap<number, Remains>,
  kept: ReadonlyMap<number, NativeHandle>,
  parts: TakeoverParts,
): Takeover {
  const { workloads, damaged } = recovered(remains, kept, parts);
  const claimed = new Set<number>();
  const taken = workloads.map((recovered) => {
    const sessions: TakenOverSession[] = [];
    const lost: { session: RecoveredSession; error: TakeoverError }[] = [];
    for (const session of recovered.sessions) {
      const { id, closed } = session;
      const handle = kept.get(id);
      const placement = place(session, handle !== undefined, handle && parts.counters(handle));
      if (placement.kind === 'lost') lost.push({ session, error: placement.error });
      else if (placement.kind === 'closed' || handle === undefined) {
        sessions.push({ id, rest: placement.rest, closed, make: () => closedBackend(placement.rest) });
      } else {
        claimed.add(id);
        const { rest, record, resendFrom } = placement;
        const make: TakenOverSession['make'] = (...context) => parts.takeUp(record, handle, resendFrom, ...context);
        sessions.push({ id, rest, closed: undefined, make });
      }
    }
    return { recovered, sessions, lost };
  });
  const numbers = [...remains.keys(), ...kept.keys()];
  return {
    workloads: taken,
    count: {
      sessions: taken.reduce((sum, { sessions }) => sum + sessions.length, 0),
      lost: taken.reduce((sum, { lost }) => sum + lost.length, 0),
    },
    damaged,
    unclaimed: [...kept.keys()].filter((id) => !claimed.has(id)),
    next: numbers.reduce((most, id) => Math.max(most, id + 1), 0),
  };
}

function recovered(
  remains: ReadonlyMap<number, Remains>,
  kept: ReadonlyMap<number, NativeHandle>,
  { counters, landed, nowMs }: TakeoverParts,
): Recovered {
  const known = recover(remains, nowMs);
  const countersOf = (id: number): SocketCounters | undefined => {
    const handle = kept.get(id);
    return handle && counters(handle);
  };
  const sessions = known.workloads.flatMap((workload) => workload.sessions);
  const entry = lastRead(sessions, countersOf, landed);
  return entry === undefined ? known : recover(remains, nowMs, entry);
}
