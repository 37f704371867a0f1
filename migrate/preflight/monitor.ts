import type { BindParameters, Connection } from 'oracledb';
import { z } from 'zod';
import { loadYaml } from '../../shim/program/config.js';
import { defined } from '../../shim/program/defined.js';
import { errorText } from '../../shim/program/errors.js';
import { mustBePrivate } from '../../shim/program/keyring.js';
import { monitorMsMax } from '../limits.js';
import type { DatabaseFacts, DatabaseSession, Directive, Waiter } from './database.js';

const schema = z.strictObject({ 'connect-string': z.string(), user: z.string(), password: z.string() });

/** The account that limits of the database are read with. */
export interface Monitor {
  readonly connectString: string;
  readonly user: string;
  readonly password: string;
}

/** @throws {ConfigError} bad-file, or bad-option when everybody may read it */
export function loadMonitor(file: string): Monitor {
  const { 'connect-string': connectString, ...account } = loadYaml(file, schema);
  mustBePrivate(file, '--monitor-file');
  return { connectString, ...account };
}

type Row = Readonly<Record<string, unknown>>;

/** A query, and what to say when the account may not read what is behind it. */
interface Question {
  readonly view: string;
  readonly sql: string;
  readonly binds?: BindParameters;
}

/** Oracle takes 1,000 words in a list. */
const listMax = 1_000;

/**
 * Reads what could end these sessions, or waits for them. A view that the account may not read is named in `unseen`.
 * Rejects when the account cannot log in.
 * @param sids of the workload's sessions
 */
export async function readDatabase(monitor: Monitor, sids: readonly number[]): Promise<DatabaseFacts> {
  // The driver takes some time to load, which nobody pays who has no such account.
  const { default: oracledb } = await import('oracledb');
  const connection = await oracledb.getConnection({ ...monitor, connectTimeout: monitorMsMax / 1_000 } as Parameters<
    typeof oracledb.getConnection
  >[0]);
  try {
    connection.callTimeout = monitorMsMax;
    const reader = new Reader(connection, oracledb.OUT_FORMAT_OBJECT);
    return await readFacts(reader, sids.slice(0, listMax));
  } finally {
    await connection.close().catch(() => undefined);
  }
}

async function readFacts(reader: Reader, sids: readonly number[]): Promise<DatabaseFacts> {
  const instances = namesOf(await reader.ask(instancesQuestion));
  const sessions = sids.length === 0 ? [] : await reader.ask(sessionsQuestion(sids));
  const waiters = await reader.ask(waitersQuestion);
  const parameters = byName(await reader.ask(parametersQuestion));
  const users = await reader.ask(usersQuestion);
  const limits = await reader.ask(profilesQuestion);
  const directives = await reader.ask(directivesQuestion);
  const [pool = {}] = await reader.ask(poolQuestion);
  const minutes = (name: string) => numberOrNothing(parameters.get(name));
  return {
    sessions: sessions.map((row) => sessionOf(row, instances)),
    waiters: waiters.map((row) => waiterOf(row, instances)),
    profilesCount: text(parameters.get('resource_limit')).toUpperCase() === 'TRUE',
    profiles: profilesOf(users, limits),
    parameters: defined({
      maxIdleMinutes: minutes('max_idle_time'),
      maxIdleBlockerMinutes: minutes('max_idle_blocker_time'),
    }),
    directives: new Map(directives.map((row) => [text(row.GROUP_OR_SUBPLAN), directiveOf(row)])),
    pool: defined({
      thinkSeconds: numberOrNothing(pool.MAX_THINK_TIME),
      transactionThinkSeconds: numberOrNothing(pool.MAX_TXN_THINK_TIME),
    }),
    unseen: reader.unseen,
  };
}

const instancesQuestion: Question = {
  view: 'GV$INSTANCE',
  sql: 'SELECT inst_id, instance_name FROM gv$instance',
};

function sessionsQuestion(sids: readonly number[]): Question {
  const places = sids.map((_sid, index) => `:${index + 1}`).join(', ');
  return {
    view: 'GV$SESSION',
    sql: `SELECT inst_id, sid, serial#, username, status, last_call_et, server, resource_consumer_group,
      (SYSDATE - logon_time) * 86400 AS connected_seconds FROM gv$session WHERE sid IN (${places})`,
    binds: [...sids],
  };
}

const waitersQuestion: Question = {
  view: 'GV$SESSION',
  sql: `SELECT inst_id, sid, serial#, username, seconds_in_wait, blocking_instance, blocking_session
    FROM gv$session WHERE blocking_session_status = 'VALID'`,
};

const parametersQuestion: Question = {
  view: 'V$PARAMETER',
  sql: `SELECT name, value FROM v$parameter WHERE name IN ('resource_limit', 'max_idle_time', 'max_idle_blocker_time')`,
};

const usersQuestion: Question = { view: 'DBA_USERS', sql: 'SELECT username, profile FROM dba_users' };

const profilesQuestion: Question = {
  view: 'DBA_PROFILES',
  sql: `SELECT profile, resource_name, limit FROM dba_profiles WHERE resource_name IN ('IDLE_TIME', 'CONNECT_TIME')`,
};

/** V$RSRC_PLAN lists the active plan and its sub-plans. MAX_IDLE_TIME and the like are seconds here, minutes as parameters. */
const directivesQuestion: Question = {
  view: 'DBA_RSRC_PLAN_DIRECTIVES, V$RSRC_PLAN',
  sql: `SELECT d.group_or_subplan, d.max_idle_time, d.max_idle_blocker_time, d.switch_group, d.switch_time, d.switch_elapsed_time
    FROM dba_rsrc_plan_directives d, v$rsrc_plan p WHERE d.plan = p.name`,
};

const poolQuestion: Question = {
  view: 'DBA_CPOOL_INFO',
  sql: `SELECT max_think_time, max_txn_think_time FROM dba_cpool_info WHERE status = 'ACTIVE'`,
};

class Reader {
  readonly unseen: { readonly view: string; readonly why: string }[] = [];
  readonly #connection: Connection;
  readonly #outFormat: number;

  constructor(connection: Connection, outFormat: number) {
    this.#connection = connection;
    this.#outFormat = outFormat;
  }

  /** @returns no rows where the account may not look */
  async ask({ view, sql, binds = [] }: Question): Promise<readonly Row[]> {
    try {
      const result = await this.#connection.execute<Row>(sql, binds, { outFormat: this.#outFormat });
      return result.rows ?? [];
    } catch (cause) {
      const [why = ''] = errorText(cause).split('\n');
      if (!this.unseen.some((each) => each.view === view)) this.unseen.push({ view, why });
      return [];
    }
  }
}

function sessionOf(row: Row, instances: ReadonlyMap<number, string>): DatabaseSession {
  const isActive = row.STATUS === 'ACTIVE';
  const group = text(row.RESOURCE_CONSUMER_GROUP);
  return {
    instance: instances.get(Number(row.INST_ID)) ?? '',
    sid: Number(row.SID),
    serial: Number(row['SERIAL#']),
    user: text(row.USERNAME),
    idleMs: isActive ? 0 : Number(row.LAST_CALL_ET) * 1_000,
    // Dates have whole seconds: one that has just logged in may have done so in the next.
    connectedMs: Math.max(0, Math.round(Number(row.CONNECTED_SECONDS) * 1_000)),
    pooled: row.SERVER === 'POOLED',
    consumerGroup: group === '' ? undefined : group,
  };
}

function waiterOf(row: Row, instances: ReadonlyMap<number, string>): Waiter {
  return {
    instance: instances.get(Number(row.INST_ID)) ?? '',
    sid: Number(row.SID),
    serial: Number(row['SERIAL#']),
    user: text(row.USERNAME),
    waitedMs: Number(row.SECONDS_IN_WAIT) * 1_000,
    blocker: { instance: instances.get(Number(row.BLOCKING_INSTANCE)) ?? '', sid: Number(row.BLOCKING_SESSION) },
  };
}

/** DEFAULT in a profile means what the profile DEFAULT says; UNLIMITED is no number. */
function profilesOf(users: readonly Row[], limits: readonly Row[]): DatabaseFacts['profiles'] {
  const limit = (profile: string, resource: string): number | undefined => {
    const value = limits.find((row) => row.PROFILE === profile && row.RESOURCE_NAME === resource)?.LIMIT;
    if (value === 'DEFAULT' && profile !== 'DEFAULT') return limit('DEFAULT', resource);
    return numberOrNothing(value);
  };
  return new Map(
    users.map(({ USERNAME, PROFILE }) => [
      text(USERNAME),
      defined({
        idleMinutes: limit(text(PROFILE), 'IDLE_TIME'),
        connectMinutes: limit(text(PROFILE), 'CONNECT_TIME'),
      }),
    ]),
  );
}

const ending = new Set(['CANCEL_SQL', 'KILL_SESSION']);

function directiveOf(row: Row): Directive {
  const elapsed = numberOrNothing(row.SWITCH_ELAPSED_TIME) ?? numberOrNothing(row.SWITCH_TIME);
  return defined({
    maxIdleSeconds: numberOrNothing(row.MAX_IDLE_TIME),
    maxIdleBlockerSeconds: numberOrNothing(row.MAX_IDLE_BLOCKER_TIME),
    callSeconds: ending.has(text(row.SWITCH_GROUP)) ? elapsed : undefined,
  });
}

function namesOf(rows: readonly Row[]): ReadonlyMap<number, string> {
  return new Map(rows.map((row) => [Number(row.INST_ID), text(row.INSTANCE_NAME)]));
}

function byName(rows: readonly Row[]): ReadonlyMap<string, unknown> {
  return new Map(rows.map((row) => [text(row.NAME), row.VALUE]));
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

/** Limits are numbers in some views and text in others, where UNLIMITED and DEFAULT are words. */
function numberOrNothing(value: unknown): number | undefined {
  if (value === null || value === undefined || value === '') return undefined;
  const found = Number(value);
  return Number.isFinite(found) ? found : undefined;
}
