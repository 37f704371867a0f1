import type { Clock, Resume, Verdict } from '../shim/link/index.js';
import { type LinkSocket, systemClock } from '../shim/link/socket.js';
import { bindRefusal, type Peer, peerText } from '../shim/program/identity.js';
import type { Audit, AuditActor, AuditEntry, AuditMove, AuditState } from './audit/entry.js';
import { auditSession, auditSessions, subjectOf } from './audit/subject.js';
import { HoldError } from './errors.js';
import type { HoldState } from './hold.js';
import { Holds } from './holds.js';
import type { ProxyLimits } from './limits.js';
import { type Memory, openMemory } from './memory.js';
import type { HoldPolicy } from './policy/rules.js';
import { Quota } from './quota.js';
import type { TakeoverError } from './takeover/errors.js';
import type { RecoveredSession } from './takeover/recover.js';
import type { TakenOver } from './takeover/takeover.js';
import { SessionTracker } from './track/session.js';
import {
  isOver,
  takenOver,
  Workload,
  type WorkloadParts,
  type WorkloadSession,
  type WorkloadWatcher,
} from './workload.js';

export interface RegistryOptions extends Omit<WorkloadParts, 'memory' | 'quota'> {
  readonly limits: ProxyLimits;
  readonly policy: HoldPolicy;
  readonly audit: Audit;
  /** Timers of the holds; the runtime's when left out. */
  readonly clock?: Clock;
}

export interface Refusal {
  readonly verdict: Verdict;
  readonly reason: string;
}

/** Whoever brings a link: where from, and who the certificate says it is. */
export interface Caller {
  readonly address: string;
  readonly peer: Peer;
}

/** What is under way: workloads that are held, sessions in a call, sessions in a transaction. */
export interface Busy {
  readonly heldWorkloads: number;
  readonly calls: number;
  readonly transactions: number;
}

/** Which workloads an operator means: of this name, and of this life if one is given. */
export interface Wanted {
  readonly workload: string;
  readonly instance?: string | undefined;
}

/** All workloads of the proxy, by name and instance: a restarted shim of the same name is another workload. */
export class Registry {
  readonly #options: RegistryOptions;
  readonly #quota: Quota;
  readonly #workloads = new Map<string, Workload>();
  readonly #holds: Holds;
  /** Why workloads ended, for shims that come back late. In order of age. */
  readonly #epitaphs = new Map<string, Refusal>();
  readonly #watcher: WorkloadWatcher;
  /** What is kept for all of them. */
  readonly memory: Memory;
  #phase: 'serving' | 'draining' | 'stopped' = 'serving';

  constructor(options: RegistryOptions) {
    this.#options = options;
    const clock = options.clock ?? systemClock;
    this.memory = openMemory(options.limits, clock);
    this.#quota = new Quota(options.limits);
    this.#holds = new Holds({
      ...options,
      clock,
      expired: (workload) => this.#expire(workload),
      changed: (workload) => workload.changed(),
    });
    this.#watcher = {
      touched: (workload, stream) => this.#holds.touched(workload, stream),
      lost: (workload, session, { code, message }) => {
        const sessions = [auditSession(session.stream, session.view.track)];
        options.audit.record({ event: 'lost', ...subjectOf(workload), code, why: message, sessions });
      },
      holds: (workload) => this.#holds.save(workload),
    };
  }

  get workloads(): readonly Workload[] {
    return [...this.#workloads.values()];
  }

  holdOf(workload: Workload): HoldState | undefined {
    return this.#holds.of(workload);
  }

  /** How long it would be held if its link went now. */
  holdBudgetMs(workload: Workload): number {
    return this.#holds.budgetMs(workload);
  }

  isPinned(workload: Workload): boolean {
    return this.#holds.isPinned(workload);
  }

  /** Goes on where another process has stopped: all applications are away at first, each for as long as it was by then. */
  takeOver(workloads: readonly TakenOver[]): void {
    for (const { recovered, sessions, lost } of workloads) {
      const { name, instance, holds, away } = recovered.saved;
      const workload = new Workload({ ...this.#options, ...this.#shared(), name, instance }, recovered);
      this.#workloads.set(keyOf(name, instance), workload);
      for (const session of sessions) workload.takeUp(session);
      for (const { session, error } of lost) this.#lostInTakeover(workload, session, error);
      // Puts it down anew, as the last of all: a worker that dies before this leaves what it has found.
      // One that was bound has a hold of its own from now on, also when the hold before had not been put away.
      this.#holds.resume(workload, away === undefined ? { ...holds, hold: undefined } : holds, takenOver);
    }
  }

  /** Says no to who may not bind this workload whatever it is: before he is given an appointment that others would wait for. */
  refuseStranger(resume: Resume, from: Caller): Refusal | undefined {
    const refused = notFor(from.peer, resume);
    return refused && this.#refuse(resume, from, refused);
  }

  /** @returns the workload that is now served by `socket`, or the verdict */
  bind(resume: Resume, socket: LinkSocket, from: Caller): Workload | Refusal {
    const key = keyOf(resume.workload, resume.instance);
    const known = this.#workloads.get(key);
    const stranger = this.refuseStranger(resume, from);
    if (stranger !== undefined) return stranger;
    const refused = this.#mayBind(resume, key);
    if (refused !== undefined) return this.#refuse(resume, from, refused);
    const workload = known ?? this.#newWorkload(resume);
    const verdict = workload.bind(resume, socket, from.address);
    if (verdict !== undefined) return this.#refuse(resume, from, verdict);
    this.#workloads.set(key, workload);
    this.#holds.finish(workload);
    this.#auditBind(workload, from);
    return workload;
  }

  /** The connection that served the workload is gone: its sessions are held for as long as their budget allows. */
  release(workload: Workload, socket: LinkSocket, why: string): void {
    if (workload.release(socket, why)) this.#holds.begin(workload, why);
  }

  /** The shim has said goodbye: the application is gone, nobody will come back. */
  goodbye(workload: Workload): void {
    this.#end(workload, 'shutdown', 'the shim was stopped');
  }

  /** From now on nothing new begins; applications that are known come and go as before. */
  drain(): void {
    if (this.#phase === 'serving') this.#phase = 'draining';
    this.#quota.close();
  }

  /** What would be lost if the proxy stopped now. */
  busy(): Busy {
    const busy = { heldWorkloads: 0, calls: 0, transactions: 0 };
    for (const workload of this.workloads) {
      const alive = workload.sessions().filter((session) => !isOver(session));
      if (alive.length > 0 && workload.state.kind === 'held') busy.heldWorkloads += 1;
      for (const { view } of alive) {
        if (view.track.calls.inFlight > 0) busy.calls += 1;
        if (view.track.transaction.kind === 'open') busy.transactions += 1;
      }
    }
    return busy;
  }

  /** Ends everything, with a line for each session; used when the proxy stops. */
  stop(): void {
    this.drain();
    this.#phase = 'stopped';
    for (const workload of this.workloads) {
      for (const session of workload.sessions()) if (!isOver(session)) this.#logStopped(workload, session);
      this.#end(workload, 'shutdown', 'the proxy was stopped');
    }
  }

  // What operators ask for ------------------------------------------------------------------------------------------

  /**
   * Holds end later by this much. Those whose application is there are left alone.
   * @param request name of this wish: granted once, however often it is asked for
   * @throws {HoldError} unknown-workload, not-held
   */
  extendHold(wanted: Wanted, byMs: number, request: string, by: AuditActor): readonly Workload[] {
    const held = this.#held(wanted);
    for (const workload of held) this.#holds.extend(workload, byMs, request, by);
    return held;
  }

  /** What an agent says of a move that it has made, or tried to make. */
  noteMove(life: { readonly workload: string; readonly instance: string }, move: AuditMove, by: AuditActor): void {
    const { workload, instance } = life;
    const epoch = this.#workloads.get(keyOf(workload, instance))?.epoch ?? move.epochAfter;
    this.#options.audit.record({ event: 'move', workload, instance, epoch, by, move });
  }

  get auditState(): AuditState | undefined {
    return this.#options.audit.state;
  }

  /** @throws {HoldError} unknown-workload */
  pinHold(wanted: Wanted, kind: 'pin' | 'unpin', by: AuditActor): readonly Workload[] {
    const found = this.#find(wanted);
    for (const workload of found) this.#holds.pin(workload, kind, by);
    return found;
  }

  /**
   * Ends holds now: the back ends are closed, Oracle rolls back, and a shim that comes back is told. One that has ended
   * already, however that was, is none to be ended.
   * @returns how many sessions were ended, of how many workloads
   * @throws {HoldError} unknown-workload, not-held
   */
  releaseHold(wanted: Wanted, why: string, by: AuditActor): { readonly workloads: number; readonly sessions: number } {
    const wasEnded = [...this.#epitaphs.keys()].some((key) => fits(wanted, nameOf(key)));
    if (wasEnded && !this.workloads.some((workload) => fits(wanted, workload))) return { workloads: 0, sessions: 0 };
    const held = this.#held(wanted);
    let count = 0;
    for (const workload of held) {
      const sessions = workload.sessions().filter((session) => !isOver(session));
      count += sessions.length;
      const facts = { by, why, ...auditSessions(sessions) };
      this.#options.audit.record({ event: 'release', ...subjectOf(workload), code: 'operator', ...facts });
      this.#options.log.warn({ workload: workload.name, instance: workload.instance, by, why }, 'hold released');
      workload.end('operator');
      const reason = `an operator (${by.user ?? 'unknown'}) has ended the hold`;
      this.#forget(workload, { verdict: 'unknown-workload', reason });
    }
    return { workloads: held.length, sessions: count };
  }

  #find(wanted: Wanted): readonly Workload[] {
    const found = this.workloads.filter((workload) => fits(wanted, workload));
    if (found.length > 0) return found;
    const life = wanted.instance === undefined ? '' : ` with instance ${wanted.instance}`;
    throw new HoldError('unknown-workload', `the proxy has no workload ${wanted.workload}${life}`);
  }

  #held(wanted: Wanted): readonly Workload[] {
    const held = this.#find(wanted).filter((workload) => this.#holds.of(workload) !== undefined);
    if (held.length > 0) return held;
    throw new HoldError('not-held', `the application of ${wanted.workload} is there: its sessions are not held`);
  }

  // Inside ----------------------------------------------------------------------------------------------------------

  #lostInTakeover(workload: Workload, { stream, record }: RecoveredSession, error: TakeoverError): void {
    const { code, message: why } = error;
    const track = new SessionTracker(record?.track).view();
    const session = auditSession(stream.id, track);
    const facts = { ...session, workload: workload.name, instance: workload.instance };
    this.#options.log.error({ err: error, code, ...facts }, 'session lost: it could not be taken over');
    this.#options.audit.record({ event: 'lost', ...subjectOf(workload), code, why, sessions: [session] });
  }

  #newWorkload({ workload: name, instance }: Resume): Workload {
    return new Workload({ ...this.#options, ...this.#shared(), name, instance });
  }

  #shared() {
    return { memory: this.memory, quota: this.#quota, watcher: this.#watcher };
  }

  #mayBind(resume: Resume, key: string): Refusal | undefined {
    const { workloadsMax, instancesPerWorkloadMax } = this.#options.limits;
    if (!this.#workloads.has(key)) {
      const epitaph = this.#epitaphs.get(key);
      if (epitaph !== undefined) return epitaph;
      if (resume.epoch > 0) return { verdict: 'unknown-workload', reason: 'this workload is not held here' };
      if (this.#workloads.size >= workloadsMax) {
        return { verdict: 'try-later', reason: `limit of ${workloadsMax} workloads reached` };
      }
      const instances = this.workloads.filter(({ name }) => name === resume.workload).length;
      if (instances >= instancesPerWorkloadMax) {
        const reason = `limit of ${instancesPerWorkloadMax} instances of ${resume.workload} reached`;
        return { verdict: 'try-later', reason };
      }
      if (this.#options.audit.refusesNew) {
        return { verdict: 'try-later', reason: 'the audit log of the proxy cannot be written' };
      }
    }
    const mayGoOn = this.#phase === 'serving' || (this.#phase === 'draining' && this.#workloads.has(key));
    return mayGoOn ? undefined : { verdict: 'try-later', reason: 'the proxy is stopping' };
  }

  /** Nobody loses a transaction without a line that says so. */
  #logStopped(workload: Workload, session: WorkloadSession): void {
    const { stream, user, service, sid, serial, transaction, callsInFlight } = auditSession(
      session.stream,
      session.view.track,
    );
    const isBusy = transaction !== 'none' || callsInFlight > 0;
    const facts = { workload: workload.name, stream, user, service, sid, serial, transaction, callsInFlight };
    if (isBusy) this.#options.log.warn({ code: 'proxy-stopping', ...facts }, 'session lost: the proxy stops');
    else this.#options.log.info(facts, 'session ended: the proxy stops');
  }

  /** The application waits for a bind: a thousand sessions are asked who they are only if somebody wants to know. */
  #auditBind(workload: Workload, from: Caller): void {
    const { audit } = this.#options;
    if (audit.state === undefined) return;
    const sessions = auditSessions(workload.sessions());
    audit.record({ event: 'bind', ...subjectOf(workload), ...whence(from), ...sessions });
  }

  /** `try-later` is not recorded: it ends nothing, and may come a thousand times a second. */
  #refuse(resume: Resume, from: Caller, refusal: Refusal): Refusal {
    const { workload, instance, epoch } = resume;
    const { verdict: code, reason: why } = refusal;
    if (code === 'try-later') return refusal;
    this.#options.audit.record({ event: 'refuse', workload, instance, epoch, ...whence(from), code, why });
    return refusal;
  }

  #expire(workload: Workload): void {
    workload.end('hold-expired');
    this.#forget(workload, { verdict: 'hold-expired', reason: 'the sessions of this workload have been ended' });
  }

  #end(workload: Workload, code: 'shutdown', why: string): void {
    const sessions = auditSessions(workload.sessions());
    this.#options.audit.record({ event: 'end', ...subjectOf(workload), code, why, ...sessions });
    workload.end(code);
    // An image of it may be restored all the same.
    this.#forget(workload, { verdict: 'unknown-workload', reason: why });
  }

  #forget(workload: Workload, epitaph?: Refusal): void {
    this.#holds.forget(workload);
    const key = keyOf(workload.name, workload.instance);
    this.#workloads.delete(key);
    if (epitaph !== undefined) this.#epitaphs.set(key, epitaph);
    for (const oldest of this.#epitaphs.keys()) {
      if (this.#epitaphs.size <= this.#options.limits.epitaphsMax) break;
      this.#epitaphs.delete(oldest);
    }
  }
}

function notFor(peer: Peer, { workload }: Resume): Refusal | undefined {
  const reason = bindRefusal(peer, workload);
  return reason === undefined ? undefined : { verdict: 'not-authorised', reason };
}

function whence({ address, peer }: Caller): Pick<AuditEntry, 'address' | 'by'> {
  return { address, by: { peer: peerText(peer) } };
}

function keyOf(name: string, instance: string): string {
  return `${name}\n${instance}`;
}

function nameOf(key: string): { readonly name: string; readonly instance: string } {
  const [name = '', instance = ''] = key.split('\n');
  return { name, instance };
}

function fits({ workload, instance }: Wanted, found: { readonly name: string; readonly instance: string }): boolean {
  return found.name === workload && (instance === undefined || found.instance === instance);
}
