import { randomBytes } from 'node:crypto';
import { dirname, join } from 'node:path';
import type { Asker } from '../proxy/control/contract.js';
import { connectControl } from '../shim/control/rpc-client.js';
import { formatAddress } from '../shim/program/address.js';
import { errorCode } from '../shim/program/errors.js';
import { keyFileName } from '../shim/program/identity.js';
import { Abort } from './abort.js';
import { agentAddress } from './cluster.js';
import type { MoveContext, MoveGround } from './context.js';
import { agentContract, type MoveRequest, type RunRequest, type WorkloadInfo } from './contract.js';
import { MoveError } from './errors.js';
import { type Begin, Journal, pastOf, readJournal } from './journal.js';
import { deadlineMsDefault, strandedRetryMs, workloadsMax } from './limits.js';
import { phasesOf, runMove } from './move.js';
import { carrierOf, moverOf } from './movers/movers.js';
import { exclusively, historyOf, type Node, ownWorkload, proxyOf, shimOf, workloadInfo } from './node.js';
import { ownerNow } from './owner.js';
import { resumePlan, type Step, startPlan } from './plan.js';
import { examine } from './preflight/examine.js';
import type { PreflightReport } from './preflight/finding.js';
import type { CarrierName, MoveEvent, MoveRecord, MoverName, WantedMover } from './record.js';
import { stopTree } from './workload/start.js';
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
    if (existing !== undefined) await carrierOf(existing).end(node.tools, existing, existing.isolated);
    const directory = node.store.create(request.name);
    const isolated = process.getuid?.() === 0;
    const mover = carrierFor(request);
    const process_ = await carrierOf({ mover }).start({
      ...{ ...request, directory, isolated, tools: node.tools },
      shim: shimSettings(node, request),
    });
    const { name, labels } = request;
    const startedAt = new Date().toISOString();
    const workload = {
      ...{ name, node: node.name, ...process_, isolated, mover, startedAt },
      ...(labels && { labels }),
    };
    node.store.write(workload);
    node.log.info({ workload: name, pid: workload.pid, isolated }, 'workload started');
    return workloadInfo(node, workload);
  });
}

function carrierFor({ bundle, image }: RunRequest): CarrierName {
  if (image !== undefined) return 'podman';
  return bundle === undefined ? 'criu' : 'runc';
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
    const workload = ownWorkload(node, name);
    await stopTree(workload);
    await carrierOf(workload).end(node.tools, workload, workload.isolated);
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
  const mover = chosenMover(workload, request.mover);
  const { name, to, allowUnknown = false, maxBlackoutMs, by = { user: 'unknown', host: node.name } } = request;
  const { when = 'now', deadlineMs = deadlineMsDefault, after = 'give-up' } = request;
  return exclusively(node, name, async () => {
    if (workload.moving !== undefined) {
      const { move: unfinished } = workload.moving;
      throw new MoveError(
        'move-in-progress',
        `move ${unfinished} of ${request.name} has not ended: holdfast resume-move ${unfinished}`,
      );
    }
    const move = newMoveName();
    const directory = node.store.openMove(name, move);
    const limit = maxBlackoutMs === undefined ? {} : { maxBlackoutMs };
    const begin = {
      kind: 'begin',
      move,
      workload: name,
      mover,
      from: node.name,
      to,
      allowUnknown,
      ...limit,
      when,
      deadlineMs,
      after,
      by,
    } as const;
    const journal = new Journal(directory);
    const moving = { ...workload, moving: { move, to } };
    journal.write(begin);
    await journal.flush();
    node.store.write(moving);
    const context = contextOf(node, moving, begin, journal, emit);
    return conduct(node, context, startPlan(phasesOf(moverOf(mover), when), performance.now()), directory, by, emit);
  });
}

/** Asks a move under way to be taken back. */
export function abortMove(node: Node, move: string, by: Asker): { state: 'aborting' | 'too-late' | 'ended' } {
  const abort = node.moves.get(move);
  if (abort === undefined) return { state: 'ended' };
  const reason = { code: 'aborted', message: `${by.user} of ${by.host} has taken it back` };
  return { state: abort.request(reason) ? 'aborting' : 'too-late' };
}

/** Runs a plan to its end and keeps what is left of it. */
async function conduct(
  node: Node,
  context: MoveContext,
  first: Step,
  directory: string,
  by: Asker,
  emit: (event: MoveEvent) => void,
): Promise<MoveRecord> {
  const { move, mover, workload, target, journal } = context;
  node.moves.set(move, context.abort);
  try {
    emit({ kind: 'begin', move, workload: workload.name, mover: mover.name, from: node.name, to: target.node });
    const record = await runMove(context, first, emit, directory);
    keep(node, record);
    const { outcome, running, blackoutMs } = record;
    node.log.info({ move, workload: workload.name, outcome, running, blackoutMs: blackoutMs.total }, 'move ended');
    await tellProxy(context, record, by);
    if (outcome === 'stranded') takeUpLater(node);
    return record;
  } finally {
    node.moves.delete(move);
    journal.close();
  }
}

/** The move is made, whether it can be written down or not. */
function keep(node: Node, record: MoveRecord): void {
  try {
    node.store.writeRecord(record.workload, record.move, record);
    historyOf(node).append(record);
  } catch (err) {
    node.log.error({ err, move: record.move }, 'the record of a move could not be kept');
  }
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
  const mover = chosenMover(workload, request.mover);
  const { findings, blackout, sessions, agent } = await examine(
    groundOf(node, workload, { ...request, mover }, newMoveName()),
  );
  await agent?.close();
  return {
    ...{ workload: workload.name, from: node.name, to: request.to, mover },
    ok: findings.every(({ severity }) => severity !== 'blocks'),
    findings: [...findings],
    sessions: sessions.length,
    ...(blackout === undefined ? {} : { blackout }),
  };
}

/** Processes are taken along in the way that they were started for, or not at all. @throws {MoveError} mover-unfit */
function chosenMover(workload: StoredWorkload, wanted: WantedMover): MoverName {
  const mover = wanted === 'own' ? workload.mover : wanted;
  if (moverOf(mover).carrier === undefined || mover === workload.mover) return mover;
  throw new MoveError('mover-unfit', `${workload.name} was started to be moved by ${workload.mover}, not by ${mover}`);
}

/** Names sort by time. */
function newMoveName(): string {
  return `${new Date()
    .toISOString()
    .replace(/[^0-9]/g, '')
    .slice(0, 14)}-${randomBytes(3).toString('hex')}`;
}

function groundOf(
  node: Node,
  workload: StoredWorkload,
  wanted: Pick<MoveRequest, 'to' | 'allowUnknown'> & { readonly mover: MoverName },
  move: string,
): MoveGround {
  const address = agentAddress(node.cluster, wanted.to);
  const connect = () =>
    connectControl(agentContract, { address, security: node.security, expect: { role: 'agent', name: wanted.to } });
  return {
    move,
    mover: moverOf(wanted.mover),
    allowUnknown: wanted.allowUnknown ?? false,
    workload,
    node: node.name,
    target: { node: wanted.to, host: address.host, connect },
    store: node.store,
    shim: shimOf(node, workload.name),
    proxy: proxyOf(node),
    security: node.security,
    tools: node.tools,
    monitor: node.monitor,
    log: node.log,
  };
}

function contextOf(
  node: Node,
  workload: StoredWorkload,
  begin: Omit<Begin, 'atMs'>,
  journal: Journal,
  emit: (event: MoveEvent) => void,
): MoveContext {
  return {
    ...groundOf(node, workload, begin, begin.move),
    maxBlackoutMs: begin.maxBlackoutMs,
    hooks: node.hooks,
    when: begin.when,
    deadlineMs: begin.deadlineMs,
    after: begin.after,
    waiting: (sessions, first) => emit({ kind: 'waiting', sessions, first }),
    journal,
    abort: new Abort(),
    progress: (event) => emit({ kind: 'progress', ...event }),
    found: { warnings: [] },
  };
}

/**
 * Goes on with the moves of this node that were cut off: what had reached its target is finished, everything else is taken back.
 * What cannot be decided now, because the proxy or the target gives no answer, is tried again later.
 */
export async function recoverMoves(node: Node): Promise<void> {
  const cutOff = node.store.all().filter(({ node: at, moving }) => at === node.name && moving !== undefined);
  await Promise.all(
    cutOff.map(async ({ name, moving }) => {
      const move = moving?.move ?? '';
      await resumeMove(node, move, () => undefined).catch((err: unknown) => {
        if (errorCode(err) === 'move-in-progress') return;
        node.log.error({ err, workload: name, move }, 'a move that was cut off could not be cleared up');
        takeUpLater(node);
      });
    }),
  );
}

function takeUpLater(node: Node): void {
  setTimeout(() => void recoverMoves(node), strandedRetryMs).unref();
}

/**
 * Finishes or takes back a move that was cut off or is stranded. One that has ended stays as it is.
 * @throws {MoveError} unknown-move, move-in-progress; owner-unknown when nobody can say now whose the sessions are
 */
export async function resumeMove(node: Node, move: string, emit: (event: MoveEvent) => void): Promise<MoveRecord> {
  const own = (each: StoredWorkload) => each.node === node.name && each.moving?.move === move;
  const workload = node.store.all().find(own);
  if (workload === undefined) {
    const owner = node.store.all().find(({ name }) => node.store.hasMove(name, move));
    const record = owner && node.store.readRecord(owner.name, move);
    if (record === undefined) throw new MoveError('unknown-move', `${node.name} knows no move ${move}`);
    return record;
  }
  return exclusively(node, workload.name, async () => {
    const directory = node.store.openMove(workload.name, move);
    const past = pastOf(readJournal(directory));
    if (past === undefined) throw new MoveError('unknown-move', `there is no journal of move ${move}`);
    const journal = new Journal(directory);
    const context = contextOf(node, workload, past.begin, journal, emit);
    try {
      const { owner, copy } = await ownerNow(context, past);
      if (past.before !== undefined) context.found.before = past.before;
      if (copy !== undefined) context.found.copy = copy;
      context.found.targetMayOwn = past.bindBegun;
      context.found.sourceStopped = lifeOf(workload) === 'frozen';
      const error = past.error ?? { code: 'cut-off', message: 'the agent of the source ended in mid-move' };
      const phase = past.phase ?? 'preflight';
      journal.write({ kind: 'resume', owner });
      node.log.warn({ workload: workload.name, move, phase, owner }, 'a move that was cut off goes on');
      const first = resumePlan(phasesOf(context.mover, past.begin.when), phase, owner, error, performance.now());
      return await conduct(node, context, first, directory, past.begin.by, emit);
    } finally {
      journal.close();
    }
  });
}
