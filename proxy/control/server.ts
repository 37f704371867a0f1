import { type ControlListen, type ControlServer, serveControl } from '../../shim/control/rpc-server.js';
import { formatAddress } from '../../shim/program/address.js';
import type { Registry } from '../registry.js';
import type { Workload, WorkloadSession } from '../workload.js';
import { proxyContract, type SessionRow, type WorkloadRow } from './contract.js';

/**
 * Answers the proxy's verbs.
 * @throws {ControlError} address-in-use, bad-address
 */
export function serveProxyControl(
  registry: Registry,
  listen: ControlListen,
  now: () => number,
): Promise<ControlServer> {
  return serveControl(
    proxyContract,
    {
      workloads: async () => ({
        workloads: registry.workloads.map((workload) => workloadRow(registry, workload, now())),
      }),
      sessions: async ({ workload: name }) => {
        const workloads = registry.workloads.filter((workload) => name === undefined || workload.name === name);
        const rows = workloads.map((workload) => workload.sessions().map((each) => sessionRow(workload, each, now())));
        return { sessions: rows.flat() };
      },
    },
    listen,
  );
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
    ...(hold === undefined ? {} : { expiresMs: Math.round(hold.untilMs - nowMs) }),
    sessions: workload.sessions().length,
    storedBytes: workload.storedBytes,
    replayedBytes: workload.counters.replayedBytes,
  };
}

function sessionRow(workload: Workload, { stream, view }: WorkloadSession, nowMs: number): SessionRow {
  const { identity, calls, transaction, movability, bytes, phase } = view.track;
  const { state, address } = placeOf(workload);
  return {
    workload: workload.name,
    instance: workload.instance,
    stream,
    state,
    address,
    database: formatAddress(view.database),
    phase,
    ...defined({
      user: identity.user,
      service: identity.service,
      sid: identity.sid,
      serial: identity.serial,
      instanceName: identity.instance,
      driver: identity.driver,
      program: identity.program,
      machine: identity.machine,
      lastFunction: calls.lastFunction,
    }),
    callsInFlight: calls.inFlight,
    callsTotal: calls.total,
    transaction: transaction.kind,
    ...(transaction.kind === 'open' ? { transactionMs: Math.round(nowMs - transaction.sinceMs) } : {}),
    movable: movability.movable,
    reason: movability.reason,
    detail: movability.detail,
    bytes,
  };
}

/** Without the members that are not known. */
function defined<T extends object>(record: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}
