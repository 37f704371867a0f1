/**
 * The worker of a proxy: all that there is to it but the keeping of sockets (main.ts). It may die at any moment: what the next
 * worker needs is with the keeper and in the journal before anything depends on it.
 */
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { linkLimits } from '../shim/config.js';
import type { ControlServer } from '../shim/control/rpc-server.js';
import { tokenBytes } from '../shim/link/index.js';
import { systemClock } from '../shim/link/socket.js';
import { ConfigError, type Settings } from '../shim/program/config.js';
import type { Logger } from '../shim/program/log.js';
import { readBytes } from '../shim/program/reading.js';
import { type Run, runProgram } from '../shim/program/run.js';
import { loadSecurity, type Security } from '../shim/program/security.js';
import { type Audit, noAudit } from './audit/entry.js';
import { defaultAuditLimits } from './audit/limits.js';
import { AuditLog } from './audit/log.js';
import { readInto, strictReading } from './backend/dial.js';
import { defaultBackendLimits } from './backend/limits.js';
import { type BackendEvents, BackendSession } from './backend/session.js';
import { dialOrder, formatTarget } from './backend/target.js';
import { loadDatabaseTls } from './backend/tls.js';
import type { Backend } from './bridge.js';
import type { proxyOptions } from './config.js';
import { ProcessView } from './control/process-view.js';
import { type ProxyControlParts, proxyHandlers, serveProxyControl } from './control/server.js';
import { drain } from './drain.js';
import { collectHeap, collectWhenIdle, heapTotal, idleLimits } from './idle.js';
import { Faults } from './inject/faults.js';
import { FaultGate, type GateOptions } from './inject/gate.js';
import { JournalError } from './journal/errors.js';
import { Journal, lastEntries, readJournal } from './journal/journal.js';
import { KeeperChannel } from './keeper/channel.js';
import { controlId, firstOwner, linksId } from './keeper/contract.js';
import { beatMs } from './keeper/limits.js';
import { type NativeHandle, socketOn } from './kernel/handle.js';
import { sharedMemory } from './kernel/shared-memory.js';
import { socketCounters } from './kernel/socket-counters.js';
import { defaultProxyLimits } from './limits.js';
import { LinkListener } from './listener.js';
import { policyOf } from './policy/options.js';
import { program } from './program.js';
import { Registry } from './registry.js';
import { JournalProtection, noProtection, type Protection } from './takeover/protection.js';
import { mustBeReadable } from './takeover/recover.js';
import { type Takeover, takeOver } from './takeover/takeover.js';
import { Others, servePeer } from './workers/peers.js';
import { partOf, type Slot, takeSlot } from './workers/slot.js';

type ProxySettings = Settings<typeof proxyOptions>;
type Context = Run<typeof proxyOptions>;

/** So long is waited for the keeper to have every connection before they are handed over. */
const settleMs = 2_000;

interface Given {
  readonly sockets: ReadonlyMap<number, NativeHandle>;
  readonly crashed: boolean;
}

await runProgram({
  ...program,
  async main(context) {
    const { settings, log, onStop, serve } = context;
    const view = new ProcessView();
    const slot = takeSlot(process.env);
    let letGo: () => Promise<void> = async () => undefined;
    let links: LinkListener | undefined;
    let channel: KeeperChannel | undefined;
    const given = new Promise<Given>((resolve) => {
      channel = new KeeperChannel({
        takeOver: (sockets, crashed) => resolve({ sockets, crashed }),
        release: () => void letGo(),
        link: (handle, bytes) => (links === undefined ? handle.close() : links.take(handle, bytes)),
        alarm: (alarm, why) => view.alarm(alarm, why),
        alone: () => alone(log),
      });
    });
    if (channel === undefined || !KeeperChannel.exists) throw new Error('workers are started by holdfast-proxy');
    const keeper = channel;
    const parts = await prepare(context, slot);
    const isProtected = settings.journal !== 'off';
    if (isProtected) mustBeReadable(lastEntries(settings.journal));
    keeper.ready(beatMs);
    const { sockets, crashed } = await given;
    const taken = isProtected
      ? takeOver(readJournal(settings.journal), sockets, { ...parts.takeover, landed: landedIn(settings.journal) })
      : undefined;
    const journal = isProtected ? openJournal(settings.journal, log, view) : undefined;
    if (journal !== undefined) readInto(sharedMemory(landingOf(settings.journal), readBytes));
    const next = Math.max(firstOwner, taken?.next ?? 0);
    const protection = journal === undefined ? noProtection : new JournalProtection(journal, keeper, next);
    const registry = parts.registry(protection);
    registry.takeOver(taken?.workloads ?? []);
    for (const [id, handle] of sockets) {
      if (id < firstOwner) continue;
      const isTaken = taken?.unclaimed.includes(id) === false;
      if (!isTaken) handle.close();
      // Without a journal nobody says when a session is over: the keeper's descriptor would keep its connection open.
      if (!isTaken || journal === undefined) keeper.drop(id);
    }
    journal?.inherit();
    tellTakeover(log, taken, crashed);
    view.tookOver(taken, crashed);

    const { security, links: linkOptions, now } = parts;
    const listener = new LinkListener({
      registry,
      security,
      log,
      ...linkOptions,
      ...(slot && { slot, pass: (...link: Parameters<KeeperChannel['pass']>) => keeper.pass(...link) }),
    });
    links = listener;
    const { host } = settings.listen;
    const port = await listener.listen(host, settings.listen.port, sockets.get(linksId));
    // All workers accept from the same one, which the keeper has of the first.
    if (isFirst(slot)) keeper.keep(linksId, listener.server);
    onStop('links', () => listener.close());
    onStop('sessions', () => registry.stop());
    const { fromDatabases, fromShims } = registry.memory;
    const stopCollecting = collectWhenIdle({
      limits: idleLimits,
      passedBytes: () => fromDatabases.passedBytes + fromShims.passedBytes,
      heapBytes: heapTotal,
      collect: collectHeap,
      clock: systemClock,
      log,
    });
    onStop('idle', async () => stopCollecting());
    const answers = { registry, now, log, view, keeper, journal, faults: parts.faults };
    const control = await answer(answers, context, { slot, security, handle: sockets.get(controlId) });
    if (isFirst(slot) && settings.controlSocket === undefined) keeper.keep(controlId, control.server);
    onStop('control', () => control.close());
    letGo = async () => {
      log.info({ sessions: registry.workloads.length }, 'another worker takes over');
      await listener.close();
      const deadlineMs = performance.now() + settleMs;
      while (!keeper.isSettled && performance.now() < deadlineMs) await new Promise(setImmediate);
      await parts.audit.close();
      // Not a byte after this: the next worker asks the kernel how far this one got.
      keeper.released();
      process.exit(0);
    };
    keeper.serving();
    const controls = settings.controlSocket ?? { host: settings.controlListen.host, port: control.port };
    log.info(
      {
        listen: { host, port },
        ...(isFirst(slot) ? { control: controls } : {}),
        ...(slot && { slot: slot.index }),
        database: formatTarget(settings.database),
      },
      'ready for shims',
    );
    parts.audit.record({ event: taken?.workloads.length ? 'takeover' : 'start' });
    await serve();
    parts.audit.record({ event: 'stop' });
    await drain({ registry, waitMs: settings.drain, enough: serve(), clock: systemClock, log });
    return 0;
  },
});

/** Everything that can be wrong with the options is found out here, while another worker still serves. */
async function prepare({ settings, log, onStop }: Context, slot: Slot | undefined) {
  if (settings.allowFaults && (slot !== undefined || settings.workers > 1)) {
    throw new ConfigError('bad-option', '--allow-faults: faults can be injected only where there is one worker');
  }
  const { database: target } = settings;
  const databaseTls = loadDatabaseTls(settings, target);
  const security = loadSecurity(settings, { role: 'proxy' }, log);
  // One clock for all processes of the machine: what it stamps may be taken up by the next one.
  const origin = Number(process.hrtime.bigint()) / 1e6 - performance.now();
  const now = (): number => origin + performance.now();
  const limits = slot === undefined ? limitsOf(settings) : partOf(limitsOf(settings), slot.of);
  const backendLimits = {
    ...defaultBackendLimits,
    dialMs: settings.dialTimeout,
    answerMs: settings.answerTimeout,
    connectMs: settings.connectTimeout,
  };
  const audit = await openAudit(settings, log, slot);
  onStop('audit log', () => audit.close());
  const faults = settings.allowFaults ? new Faults({ audit, clock: systemClock }) : undefined;
  if (faults !== undefined) {
    log.warn({ code: 'faults-allowed' }, 'faults may be injected here: --allow-faults');
    onStop('faults', async () => faults.stop());
  }
  const registry = (protection: Protection): Registry =>
    new Registry({
      limits,
      linkLimits: linkLimits(settings),
      policy: policyOf(settings),
      audit,
      log,
      now,
      protection,
      newToken: () => randomBytes(tokenBytes),
      openBackend: (events, sessionLog, place, owner) => {
        const addresses = dialOrder(target, Math.random);
        const own = { limits: backendLimits, log: sessionLog, place, now };
        const make = (events: BackendEvents) => new BackendSession({ ...own, events, addresses, tls: databaseTls });
        return gated(faults, make, { events, log: sessionLog, owner });
      },
    });
  const takeover = {
    counters: ({ fd }: NativeHandle) => socketCounters(fd),
    nowMs: now(),
    takeUp: (...[record, handle, resendFrom, events, sessionLog, place, owner]: Parameters<TakeUp>) => {
      const socket = socketOn(
        handle,
        strictReading(() => socket),
      );
      const own = { limits: backendLimits, log: sessionLog, place, now, resendFrom };
      const make = (events: BackendEvents) => BackendSession.takeUp(record, socket, { ...own, events });
      return gated(faults, make, { events, log: sessionLog, owner });
    },
  };
  return { security, audit, faults, now, registry, takeover, links: { limits, linkLimits: linkLimits(settings) } };
}

/** Where faults are not allowed nothing stands between a session and its link. */
function gated(
  faults: Faults | undefined,
  make: (events: BackendEvents) => BackendSession,
  { events, log, owner }: Pick<GateOptions, 'events' | 'log' | 'owner'>,
): Backend {
  return faults === undefined ? make(events) : new FaultGate({ faults, events, log, owner, clock: systemClock }, make);
}

type TakeUp = Parameters<typeof takeOver>[2]['takeUp'];

function limitsOf(settings: ProxySettings) {
  return {
    ...defaultProxyLimits,
    workloadsMax: settings.workloadsMax,
    instancesPerWorkloadMax: settings.instancesPerWorkload,
    handshakesMax: settings.handshakesMax,
    handshakesPerAddressMax: settings.handshakesPerAddress,
    sessionsMax: settings.sessionsMax,
    sessionsPerWorkloadMax: settings.sessionsPerWorkload,
    sessionsPerUserMax: settings.sessionsPerUser,
    bindsPerSecond: settings.bindsPerSecond,
    bindsAtOnce: Math.ceil(settings.bindsPerSecond / 5),
    workloadBytesMax: settings.memoryWorkload,
    processBytesMax: settings.memoryProcess,
  };
}

/** Sockets of the database are read to here, so that the last read of a worker that is killed is not lost with it. */
function landingOf(journal: string): string {
  return join(journal, 'landing');
}

function landedIn(journal: string): Buffer {
  const path = landingOf(journal);
  return existsSync(path) ? readFileSync(path) : Buffer.alloc(0);
}

/** Without a journal sessions go on as before, but end with this worker. */
function openJournal(directory: string, log: Logger, view: ProcessView): Journal | undefined {
  const failed = (error: JournalError): void => {
    view.alarm(error.code, error.message);
    log.error({ err: error, code: error.code }, 'sessions are not protected against a crash any more');
  };
  try {
    return new Journal({ directory, failed });
  } catch (error) {
    if (!(error instanceof JournalError)) throw error;
    failed(error);
    return undefined;
  }
}

function tellTakeover(log: Logger, taken: Takeover | undefined, crashed: boolean): void {
  if (taken === undefined) return;
  for (const { id, error } of taken.damaged) log.error({ err: error, id }, 'what was put down cannot be read');
  if (taken.workloads.length === 0) return;
  log.info({ workloads: taken.workloads.length, ...taken.count, crashed }, 'taken over from the worker before');
}

/** Where a service manager keeps the sockets as well, it starts the next keeper once this worker has gone. */
function alone(log: Logger): void {
  log.error({ code: 'keeper-gone' }, 'the keeper has died; sessions go on, and end with this worker');
  if (process.env.NOTIFY_SOCKET === undefined) return;
  process.on('SIGTERM', () => process.exit(0));
}

/** The first slot's worker speaks for all with whoever asks; the others answer only it. */
function answer(
  parts: ProxyControlParts,
  { settings, log }: Context,
  where: { readonly slot: Slot | undefined; readonly security: Security; readonly handle: NativeHandle | undefined },
): Promise<ControlServer> {
  const { slot, security, handle } = where;
  if (slot !== undefined && slot.index > 0) return servePeer(proxyHandlers(parts), slot, log);
  const others = slot && new Others(slot);
  const { controlSocket: path, controlListen: address } = settings;
  return serveProxyControl(parts, path === undefined ? { address, security, handle } : { path }, others);
}

function isFirst(slot: Slot | undefined): boolean {
  return slot === undefined || slot.index === 0;
}

async function openAudit(
  settings: ProxySettings,
  log: Logger,
  slot: Slot | undefined,
): Promise<Audit & { close(): Promise<void> }> {
  const { auditLog: path, auditOnFailure: onFailure } = settings;
  if (path === undefined) return { ...noAudit, close: async () => undefined };
  const audit = await AuditLog.open({
    path,
    onFailure,
    limits: defaultAuditLimits,
    log,
    ...(slot && { slot: slot.index }),
  });
  process.on('SIGHUP', () => audit.reopen());
  return audit;
}
