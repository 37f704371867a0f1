import type { SessionTrack } from '../track/view.js';
import { isOver, type Workload, type WorkloadSession } from '../workload.js';
import type { AuditEntry, AuditSession } from './entry.js';
import { auditSessionsMax } from './limits.js';

/** Whom an entry is about. */
export function subjectOf({ name, instance, epoch }: Workload): Pick<AuditEntry, 'workload' | 'instance' | 'epoch'> {
  return { workload: name, instance, epoch };
}

export function auditSessions(
  sessions: readonly Pick<WorkloadSession, 'stream' | 'view'>[],
): Pick<AuditEntry, 'sessions' | 'sessionsTotal'> {
  // Those that are over have had their own line.
  const alive = sessions.filter((session) => !isOver(session));
  const named = alive.slice(0, auditSessionsMax).map(({ stream, view }) => auditSession(stream, view.track));
  return { sessions: named, ...(named.length < alive.length ? { sessionsTotal: alive.length } : {}) };
}

export function auditSession(stream: number, { identity, transaction, calls }: SessionTrack): AuditSession {
  const { user, service, sid, serial } = identity;
  return {
    stream,
    ...(user === undefined ? {} : { user }),
    ...(service === undefined ? {} : { service }),
    ...(sid === undefined ? {} : { sid }),
    ...(serial === undefined ? {} : { serial }),
    transaction: transaction.kind,
    callsInFlight: calls.inFlight,
  };
}
