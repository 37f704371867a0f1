import { type ControlListen, type ControlServer, type Handlers, serveControl } from '../../shim/control/rpc-server.js';
import { defined } from '../../shim/program/defined.js';
import { type Peer, peerText } from '../../shim/program/identity.js';
import type { Logger } from '../../shim/program/log.js';
import { programVersion } from '../../shim/program/version.js';
import type { AuditActor } from '../audit/entry.js';
import { formatDatabase } from '../backend/address.js';
import type { HoldState } from '../hold.js';
import { FaultError } from '../inject/errors.js';
import type { Faults } from '../inject/faults.js';
import type { Journal } from '../journal/journal.js';
import type { Registry } from '../registry.js';
import { handlersOfAll } from '../workers/all.js';
import type { Others, ProxyVerbs } from '../workers/peers.js';
import { isOver, type Workload, type WorkloadSession } from '../workload.js';
import {
  type Asker,
  type HoldRow,
  proxyContract,
  type SessionRow,
  type StatusRow,
  type WorkloadRow,
} from './contract.js';
import type { ProcessView } from './process-view.js';

export interface ProxyControlParts {
  readonly registry: Registry;
  readonly now: () => number;
  readonly log?: Logger;
  readonly view: ProcessView;
  /** Undefined: nothing is put down. */
  readonly journal?: Pick<Journal, 'directory' | 'bytes' | 'broken'> | undefined;
  readonly keeper: { askForUpgrade(): void };
  /** Undefined: none are allowed. */
  readonly faults?: Faults | undefined;
}

/**
 * Answers the proxy's verbs. @param others workers that are asked too, where there are any
 * @throws {ControlError} address-in-use, bad-address
 */
export function serveProxyControl(
  parts: ProxyControlParts,
  listen: ControlListen,
  others?: Others,
): Promise<ControlServer> {
  const own = proxyHandlers(parts);
  const { log } = parts;
  const handlers = others === undefined ? own : handlersOfAll(own, others);
  return serveControl(proxyContract, handlers, listen, log === undefined ? {} : { log });
}

/** What one worker has to answer. */
export function proxyHandlers(parts: ProxyControlParts): Handlers<ProxyVerbs> {
  const { registry, now, keeper } = parts;
  const named = (name: string | undefined): readonly Workload[] =>
    registry.workloads.filter((workload) => name === undefined || workload.name === name);
  const decided = (workloads: readonly Workload[]) => ({
    workloads: workloads.length,
    holds: holdRows(registry, workloads, now()),
  });
  return {
    workloads: async ({ workload: name }) => ({
      version: programVersion(),
      workloads: named(name).map((workload) => workloadRow(registry, workload, now())),
    }),
    sessions: async ({ workload: name }) => {
      const rows = named(name).map((workload) => workload.sessions().map((each) => sessionRow(workload, each, now())));
      return { sessions: rows.flat() };
    },
    status: async () => statusRow(parts),
    upgrade: async () => {
      keeper.askForUpgrade();
      return { workerPid: process.pid };
    },
    holds: async () => ({
      holds: holdRows(registry, registry.workloads, now()),
      ...defined({ audit: registry.auditState }),
    }),
    noteMove: async ({ by, move, ...life }, _emit, caller) => {
      registry.noteMove(life, move, actor(by, caller));
      return {};
    },
    extendHold: async ({ byMs, request, by, ...wanted }, _emit, caller) =>
      decided(registry.extendHold(wanted, byMs, request, actor(by, caller))),
    pinHold: async ({ by, ...wanted }, _emit, caller) => decided(registry.pinHold(wanted, 'pin', actor(by, caller))),
    unpinHold: async ({ by, ...wanted }, _emit, caller) =>
      decided(registry.pinHold(wanted, 'unpin', actor(by, caller))),
    releaseHold: async ({ by, why, ...wanted }, _emit, caller) => registry.releaseHold(wanted, why, actor(by, caller)),
    injectAdd: async ({ rules, by }, _emit, caller) => {
      const faults = allowed(parts);
      return { run: faults.acts.run, ...faults.add(rules, actor(by, caller)), rules: faults.rows() };
    },
    injectList: async () => {
      const faults = allowed(parts);
      return { run: faults.acts.run, rules: faults.rows() };
    },
    injectRemove: async ({ ids, by }, _emit, caller) => {
      const faults = allowed(parts);
      return { run: faults.acts.run, ...faults.remove(ids, actor(by, caller)) };
    },
    injectWatch: async ({ after, waitMs }) => allowed(parts).acts.watch(after, waitMs),
  };
}

function statusRow({ registry, view, journal }: ProxyControlParts): StatusRow {
  const sessions = registry.workloads.flatMap((workload) => workload.sessions()).filter((each) => !isOver(each));
  const broken = journal?.broken?.message;
  return {
    version: programVersion(),
    ...view.row(),
    sessions: sessions.length,
    protectedSessions: sessions.filter(({ protection }) => protection === 'protected').length,
    ...(journal && {
      journal: { directory: journal.directory, bytes: journal.bytes, ...(broken === undefined ? {} : { broken }) },
    }),
  };
}

/** @throws {FaultError} faults-not-allowed */
function allowed({ faults }: ProxyControlParts): Faults {
  if (faults !== undefined) return faults;
  throw new FaultError('faults-not-allowed', 'this proxy injects no faults: it was started without --allow-faults');
}

/** What the command told of itself, and what its connection proved. */
function actor(by: Asker, caller: Peer): AuditActor {
  return { ...by, peer: peerText(caller) };
}

/** A workload is listed while it is bound or held; an ended one is gone from the registry. */
function placeOf(workload: Workload): { state: 'bound' | 'held'; address: string; sinceMs: number; why?: string } {
  const { state } = workload;
  switch (state.kind) {
    case 'bound':
      return { state: 'bound', address: state.attachment.address, sinceMs: state.attachment.boundAtMs };
    case 'held':
      return { state: 'held', address: state.address, sinceMs: state.sinceMs, why: state.why };
    case 'ended':
      return { state: 'held', address: '', sinceMs: 0, why: state.code };
  }
}

function workloadRow(registry: Registry, workload: Workload, nowMs: number): WorkloadRow {
  const { sinceMs, ...place } = placeOf(workload);
  const hold = registry.holdOf(workload);
  return {
    name: workload.name,
    instance: workload.instance,
    ...place,
    epoch: workload.epoch,
    sinceMs: Math.round(nowMs - sinceMs),
    ...(hold === undefined || hold.kind === 'pinned' ? {} : { expiresMs: Math.round(hold.untilMs - nowMs) }),
    ...(registry.isPinned(workload) ? { pinned: true } : { budgetMs: registry.holdBudgetMs(workload) }),
    sessions: workload.sessions().length,
    storedBytes: workload.storedBytes,
    replayedBytes: workload.counters.replayedBytes,
  };
}

function holdRows(registry: Registry, workloads: readonly Workload[], nowMs: number): HoldRow[] {
  return workloads.flatMap((workload) => {
    const hold = registry.holdOf(workload);
    return hold === undefined ? [] : [holdRow(workload, hold, nowMs)];
  });
}

function holdRow(workload: Workload, hold: HoldState, nowMs: number): HoldRow {
  const { address, why = '' } = placeOf(workload);
  const { rule, activity, atEnd, kind } = hold;
  const heldMs = Math.round(nowMs - hold.beganMs);
  const leftMs = Math.round(hold.untilMs - nowMs);
  const at = (ms: number) => new Date(Date.now() + ms).toISOString();
  return {
    workload: workload.name,
    instance: workload.instance,
    state: kind === 'running' || kind === 'ended' ? 'held' : kind,
    doing: activity,
    since: at(-heldMs),
    heldMs,
    ...(kind === 'pinned' ? {} : { until: at(leftMs), leftMs }),
    atEnd,
    rule: rule.name,
    ...(rule.owner === undefined ? {} : { owner: rule.owner }),
    sessions: workload.sessions().filter((session) => !isOver(session)).length,
    storedBytes: workload.storedBytes,
    epoch: workload.epoch,
    address,
    why,
  };
}

function sessionRow(workload: Workload, session: WorkloadSession, nowMs: number): SessionRow {
  const { stream, view, protection, fingerprints } = session;
  const { identity, calls, transaction, movability, bytes, phase, protocol, request, notification } = view.track;
  const { state, address } = placeOf(workload);
  return {
    workload: workload.name,
    instance: workload.instance,
    stream,
    state,
    address,
    database: formatDatabase(view.database),
    phase,
    ...defined({
      user: identity.user,
      service: identity.service,
      sid: identity.sid,
      serial: identity.serial,
      instanceName: identity.instance,
      databaseName: identity.database,
      driver: identity.driver,
      driverVersion: identity.driverVersion,
      program: identity.program,
      machine: identity.machine,
      osUser: identity.osUser,
      processId: identity.processId,
      lastFunction: calls.lastFunction,
      ltxid: view.track.ltxid,
    }),
    ...(identity.stale ? { stale: true as const } : {}),
    protection,
    protocol,
    callsInFlight: calls.inFlight,
    callsTotal: calls.total,
    ...(calls.sinceMs === undefined ? {} : { callMs: Math.round(nowMs - calls.sinceMs) }),
    lastError: calls.lastError,
    pipelined: calls.pipelined,
    breakPhase: calls.breakPhase,
    request,
    ...(notification === 0 ? {} : { notification }),
    transaction: transaction.kind,
    ...(transaction.kind === 'open' ? { transactionMs: Math.round(nowMs - transaction.sinceMs) } : {}),
    movable: movability.movable,
    reason: movability.reason,
    detail: movability.detail,
    bytes,
    fingerprint: defined({ up: fingerprints?.received, down: fingerprints?.sent }),
  };
}
