import { randomBytes } from 'node:crypto';
import { dirname, join } from 'node:path';
import type { Asker } from '../proxy/control/contract.js';
import { connectControl } from '../shim/control/rpc-client.js';
import { formatAddress } from '../shim/program/address.js';
import { keyFileName } from '../shim/program/identity.js';
import { agentAddress } from './cluster.js';
import type { MoveContext } from './context.js';
import { agentContract, type MoveRequest, type RunRequest, type WorkloadInfo } from './contract.js';
import { MoveError } from './errors.js';
import { workloadsMax } from './limits.js';
import { runMove } from './move.js';
import { exclusively, type Node, ownWorkload, proxyOf, shimOf, workloadInfo } from './node.js';
import { examine } from './preflight/examine.js';
import type { PreflightReport } from './preflight/finding.js';
import type { MoveEvent, MoveRecord } from './record.js';
import { attach } from './steps/detach.js';
import { thaw } from './steps/freeze.js';
import { abandon } from './steps/restore.js';
import { release, retire } from './steps/retire.js';
import { startTree, stopTree } from './workload/start.js';
import { lifeOf, type StoredWorkload } from './workload/store.js';

/** @throws {MoveError} workload-exists, start-failed */
export async function runWorkload(node: Node, request: RunRequest): Promise<WorkloadInfo> {
  return exclusively(node, request.name, async () => {
    const existing = node.store.read(request.name);
    if (existing !== undefined && (existing.node !== node.name || lifeOf(existing) !== 'ended')) {
      throw new MoveError('workload-exists', `there is a workload ${request.name} already, at ${existing.node}`);
    }
    if (node.store.all().length >= workloadsMax) {
      throw new MoveError('start-failed', `there are ${workloadsMax} workloads already: that is the limit`);
    }
    const directory = node.store.create(request.name);
    const isolated = process.getuid?.() === 0;
    const process_ = await startTree({ ...request, directory, isolated, shim: shimSettings(node, request) });
    const { name, command, labels } = request;
    const startedAt = new Date().toISOString();
    const workload = { name, node: node.name, ...process_, isolated, command, startedAt, ...(labels && { labels }) };
    node.store.write(workload);
    node.log.info({ workload: name, pid: workload.pid, isolated }, 'workload started');
    return workloadInfo(node, workload);
  });
}

/** As they would stand in the shim's YAML file; the names are those of its flags. */
function shimSettings(node: Node, { name, listen }: RunRequest): Record<string, string | boolean> {
  const { secretFile, tlsCert, tlsCa, insecurePlaintext } = node.securitySettings;
  // Not the agent's own certificate: a shim with that could not bind, and should not be able to move.
  const cert = tlsCert && join(node.workloadKeys ?? dirname(tlsCert), keyFileName({ role: 'workload', name }));
  const files = { 'secret-file': secretFile, 'tls-cert': cert, 'tls-ca': tlsCa };
  return {
    workload: name,
    listen: formatAddress(listen),
    proxy: formatAddress(node.cluster.proxy.data),
    'control-socket': node.store.controlSocket(name),
    ...Object.fromEntries(Object.entries(files).flatMap(([key, file]) => (file === undefined ? [] : [[key, file]]))),
    ...(insecurePlaintext ? { 'insecure-plaintext': true } : {}),
  };
}

/** @throws {MoveError} unknown-workload, move-in-progress */
export async function stopWorkload(node: Node, name: string): Promise<{ exitCode?: number }> {
  return exclusively(node, name, async () => {
    await stopTree(ownWorkload(node, name));
    const exitCode = node.store.exitCode(name);
    return exitCode === undefined ? {} : { exitCode };
  });
}

/**
 * Moves a workload of this node. The move is this agent's: it goes on when the caller has gone.
 * @throws {MoveError} for what is wrong before anything has begun; later everything is in the record
 */
export async function moveWorkload(
  node: Node,
  request: MoveRequest,
  emit: (event: MoveEvent) => void,
): Promise<MoveRecord> {
  const workload = ownWorkload(node, request.name);
  agentAddress(node.cluster, request.to);
  if (request.to === node.name) throw new MoveError('same-node', `${request.name} is at ${node.name} already`);
  if (lifeOf(workload) === 'ended') throw new MoveError('workload-ended', `${request.name} has ended`);
  return exclusively(node, request.name, async () => {
    const context = contextOf(node, workload, request, newMoveName());
    const record = await runMove(context, node.name, emit);
    node.store.openMove(workload.name, record.move);
    node.store.writeRecord(workload.name, record.move, record);
    node.log.info(
      { move: record.move, workload: record.workload, outcome: record.outcome, blackoutMs: record.blackoutMs },
      'move ended',
    );
    await tellProxy(context, record, request.by ?? { user: 'unknown', host: node.name });
    return record;
  });
}

/** The audit log is the proxy's. A move that it does not hear of is made all the same, and has its record here. */
async function tellProxy({ proxy, found, log }: MoveContext, record: MoveRecord, by: Asker): Promise<void> {
  if (found.before === undefined) return;
  const { move, workload, mover, outcome, from, to, epoch, blackoutMs, error } = record;
  const note = {
    ...{ move, mover, outcome, from: from.node, to: to.node },
    ...{ epochBefore: epoch.before, epochAfter: epoch.after, blackoutMs: blackoutMs.total },
    ...(error === undefined ? {} : { code: error.code }),
  };
  const { instance } = found.before.row;
  await proxy.noteMove({ workload, instance, by, move: note }).catch((err: unknown) => {
    log.warn({ err, move }, 'the proxy could not be told of a move: it is not in its audit log');
  });
}

/** @throws {MoveError} unknown-workload, move-in-progress, detach-failed */
export async function detachWorkload(node: Node, name: string): Promise<Record<string, never>> {
  return exclusively(node, name, async () => {
    await shimOf(node, ownWorkload(node, name).name).detach();
    return {};
  });
}

/** @throws {MoveError} unknown-workload, move-in-progress, shim-unreachable, bind-refused, bind-failed */
export async function attachWorkload(node: Node, name: string): Promise<Record<string, never>> {
  return exclusively(node, name, async () => {
    const shim = shimOf(node, ownWorkload(node, name).name);
    if ((await shim.status()).state !== 'bound') await shim.attach();
    return {};
  });
}

/**
 * What a move would meet, without making it.
 * @throws {MoveError} unknown-workload, unknown-node, same-node
 */
export async function preflightOf(node: Node, request: MoveRequest): Promise<PreflightReport> {
  const workload = ownWorkload(node, request.name);
  agentAddress(node.cluster, request.to);
  if (request.to === node.name) throw new MoveError('same-node', `${request.name} is at ${node.name} already`);
  const { findings, blackout, sessions, agent } = await examine(contextOf(node, workload, request, newMoveName()));
  await agent?.close();
  return {
    ...{ workload: workload.name, from: node.name, to: request.to, mover: request.mover },
    ok: findings.every(({ severity }) => severity !== 'blocks'),
    findings: [...findings],
    sessions: sessions.length,
    ...(blackout === undefined ? {} : { blackout }),
  };
}

/** Names sort by time. */
function newMoveName(): string {
  return `${new Date()
    .toISOString()
    .replace(/[^0-9]/g, '')
    .slice(0, 14)}-${randomBytes(3).toString('hex')}`;
}

function contextOf(
  node: Node,
  workload: StoredWorkload,
  request: Omit<MoveRequest, 'name'>,
  move: string,
): MoveContext {
  const address = agentAddress(node.cluster, request.to);
  const connect = () =>
    connectControl(agentContract, { address, security: node.security, expect: { role: 'agent', name: request.to } });
  return {
    move,
    mover: request.mover,
    allowUnknown: request.allowUnknown ?? false,
    workload,
    node: node.name,
    target: { node: request.to, connect },
    store: node.store,
    shim: shimOf(node, workload.name),
    proxy: proxyOf(node),
    criu: node.criu,
    monitor: node.monitor,
    log: node.log,
    found: {},
  };
}

/**
 * After a crash in the middle of a move: when the proxy has seen a newer bind, the workload is the target's; otherwise the
 * source is put back. A copy that was left behind stopped can no longer bind once the source has.
 */
export async function recoverMoves(node: Node): Promise<void> {
  for (const workload of node.store.all()) {
    const { moving } = workload;
    if (workload.node !== node.name || moving === undefined) continue;
    await exclusively(node, workload.name, () => recover(node, workload, moving)).catch((err: unknown) => {
      node.log.error(
        { err, workload: workload.name, move: moving.move },
        'a move that was cut off could not be cleared up',
      );
    });
  }
}

async function recover(
  node: Node,
  workload: StoredWorkload,
  moving: NonNullable<StoredWorkload['moving']>,
): Promise<void> {
  const context = contextOf(node, workload, moving, moving.move);
  const now = await context.proxy.workload({ name: workload.name, instance: moving.instance });
  const copy = node.store.readCopy(workload.name, moving.move);
  if (
    now !== undefined &&
    now.epoch > moving.epoch &&
    now.state === 'bound' &&
    (moving.mover === 'relink' || copy !== undefined)
  ) {
    if (copy !== undefined) context.found.copy = copy;
    await retire(context);
    node.log.warn({ workload: workload.name, to: moving.to }, 'a move that was cut off had reached its target');
    return;
  }
  const agent = await context.target.connect().catch(() => undefined);
  if (agent !== undefined) context.found.agent = agent;
  await abandon(context);
  await agent?.close();
  await thaw(context);
  await attach(context);
  await release(context);
  node.log.warn({ workload: workload.name }, 'a move that was cut off was taken back');
}
