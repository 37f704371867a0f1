/** What the database's own limits and lock queues mean for sessions whose application goes away. Pure. */
import type { SessionRow } from '../../proxy/control/contract.js';
import { shownMs } from '../output.js';
import { blocks, type Finding, warns } from './finding.js';

/** A row of GV$SESSION, with the name of its instance in place of the number. */
export interface DatabaseSession {
  readonly instance: string;
  readonly sid: number;
  readonly serial: number;
  readonly user: string;
  /** Since the last call ended; 0 while one runs. */
  readonly idleMs: number;
  readonly connectedMs: number;
  /** Of a pool of the database (DRCP). */
  readonly pooled: boolean;
  readonly consumerGroup: string | undefined;
}

/** A session that waits for another one. */
export interface Waiter {
  readonly instance: string;
  readonly sid: number;
  readonly serial: number;
  readonly user: string;
  readonly waitedMs: number;
  readonly blocker: { readonly instance: string; readonly sid: number };
}

/** Limits in the units that the views have them in; absent: none, or not to be seen. */
export interface DatabaseFacts {
  readonly sessions: readonly DatabaseSession[];
  readonly waiters: readonly Waiter[];
  /** RESOURCE_LIMIT: profiles count only when it is TRUE. */
  readonly profilesCount: boolean;
  /** By user: minutes of IDLE_TIME and CONNECT_TIME. */
  readonly profiles: ReadonlyMap<string, { readonly idleMinutes?: number; readonly connectMinutes?: number }>;
  readonly parameters: { readonly maxIdleMinutes?: number; readonly maxIdleBlockerMinutes?: number };
  /** Directives of the active plan, by consumer group. */
  readonly directives: ReadonlyMap<string, Directive>;
  readonly pool: { readonly thinkSeconds?: number; readonly transactionThinkSeconds?: number };
  /** Views that the account may not read, and why. */
  readonly unseen: readonly { readonly view: string; readonly why: string }[];
}

export interface Directive {
  readonly maxIdleSeconds?: number;
  readonly maxIdleBlockerSeconds?: number;
  /** A call that has taken so long is cancelled, or its session killed. */
  readonly callSeconds?: number;
}

/** How long the application may be away: as expected, and as long as the proxy would hold its sessions if the move stood still. */
export interface Absence {
  readonly blackoutMs: number;
  readonly budgetMs: number | undefined;
}

export function judgeDatabase(rows: readonly SessionRow[], facts: DatabaseFacts, absence: Absence): Finding[] {
  const own = rows.flatMap((row) => {
    const session = facts.sessions.find((each) => isOf(each, row));
    return session === undefined ? [] : [{ row, session }];
  });
  const waiting = facts.waiters.flatMap((waiter) => {
    const holder = own.find(
      ({ session }) => session.sid === waiter.blocker.sid && session.instance === waiter.blocker.instance,
    );
    return holder === undefined ? [] : [{ waiter, holder }];
  });
  const isBlocker = ({ sid, instance }: DatabaseSession) =>
    waiting.some(({ holder: { session } }) => session.sid === sid && session.instance === instance);
  return [
    ...facts.unseen.map(({ view, why }) => warns('database-unseen', 'database', `${view}: ${why}`)),
    ...own.flatMap(({ row, session }) => judgeSession(row, session, isBlocker(session), facts, absence)),
    ...waiting.map(({ waiter, holder }) => warns('sessions-wait', 'database', waitText(waiter, holder.session))),
  ];
}

function isOf({ sid, serial, instance }: DatabaseSession, row: SessionRow): boolean {
  if (sid !== row.sid || serial !== row.serial) return false;
  return row.instanceName === undefined || row.instanceName.toLowerCase() === instance.toLowerCase();
}

function waitText(waiter: Waiter, { sid, serial, user }: DatabaseSession): string {
  const who = `session ${waiter.sid},${waiter.serial} of ${waiter.user}`;
  return `${who} has waited ${shownMs(waiter.waitedMs)} for ${sid},${serial} of ${user}`;
}

/** One clock of the database: its name, when it goes off, and how far it has run. */
interface Timer {
  readonly name: string;
  readonly limitMs: number | undefined;
  readonly ranMs: number;
  /** It runs now; otherwise it may begin to. */
  readonly runs: boolean;
}

const minute = 60_000;
const second = 1_000;

function judgeSession(
  row: SessionRow,
  session: DatabaseSession,
  isBlocker: boolean,
  facts: DatabaseFacts,
  absence: Absence,
): Finding[] {
  const timers = timersOf(row, session, isBlocker, facts);
  return timers.flatMap((timer) => {
    // 0 is no limit everywhere.
    if (timer.limitMs === undefined || timer.limitMs <= 0) return [];
    const leftMs = Math.max(0, timer.limitMs - timer.ranMs);
    const found = `${timer.name} ${shownMs(timer.limitMs)} for session ${session.sid},${session.serial} of ${session.user}: ${shownMs(leftMs)} left`;
    if (timer.runs && leftMs <= absence.blackoutMs) {
      return [
        blocks('database-limit', 'database', `${found}, and the blackout may take ${shownMs(absence.blackoutMs)}`),
      ];
    }
    // Pinned sessions have no budget: any limit is shorter than that.
    if (absence.budgetMs !== undefined && leftMs > absence.budgetMs) return [];
    const budget = absence.budgetMs === undefined ? 'without an end' : `for ${shownMs(absence.budgetMs)}`;
    return [warns('database-limit', 'database', `${found}, and if the move stands still the proxy holds it ${budget}`)];
  });
}

function timersOf(row: SessionRow, session: DatabaseSession, isBlocker: boolean, facts: DatabaseFacts): Timer[] {
  const { idleMs, connectedMs } = session;
  const profile = facts.profilesCount ? facts.profiles.get(session.user) : undefined;
  const directive = session.consumerGroup === undefined ? undefined : facts.directives.get(session.consumerGroup);
  const idle = (name: string, limit: number | undefined, unitMs: number, runs = true): Timer => ({
    name,
    limitMs: limit === undefined ? undefined : limit * unitMs,
    ranMs: idleMs,
    runs,
  });
  const blocking = isBlocker || row.transaction === 'open';
  const inCall = row.callsInFlight > 0;
  const { thinkSeconds, transactionThinkSeconds } = facts.pool;
  const think = row.transaction === 'open' ? transactionThinkSeconds || thinkSeconds : thinkSeconds;
  return [
    idle('IDLE_TIME of its profile', profile?.idleMinutes, minute),
    { ...idle('CONNECT_TIME of its profile', profile?.connectMinutes, minute), ranMs: connectedMs },
    idle('MAX_IDLE_TIME', facts.parameters.maxIdleMinutes, minute),
    idle('MAX_IDLE_TIME of its consumer group', directive?.maxIdleSeconds, second),
    ...(blocking
      ? [
          idle('MAX_IDLE_BLOCKER_TIME', facts.parameters.maxIdleBlockerMinutes, minute, isBlocker),
          idle('MAX_IDLE_BLOCKER_TIME of its consumer group', directive?.maxIdleBlockerSeconds, second, isBlocker),
        ]
      : []),
    ...(session.pooled && row.reason !== 'released' ? [idle('think time of the pool', think, second)] : []),
    // The call goes on at the database whether its application is there or not, and only its last rows wait for it.
    ...(inCall
      ? [{ ...idle('call time of its consumer group', directive?.callSeconds, second), ranMs: row.callMs ?? 0 }]
      : []),
  ];
}
