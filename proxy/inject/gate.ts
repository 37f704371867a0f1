/**
 * Stands between a stream of the link and its session, where faults are allowed, and does what rules decide. Where none are allowed
 * there is no gate: the data path does not know of it.
 *
 *      driver ──write──► packets ─► [toDatabase] ──► session ──► database
 *      driver ◄───data── [toDriver] ◄─ packets ◄──── session ◄── database
 *
 * What waits here of the driver has not been consumed, so the shim still has it. What waits of the database the session has
 * delivered already: it is `held`, and put down with the session, so that the next worker does not lose it.
 */
import type { Cancel, Clock } from '../../shim/link/index.js';
import { assertNever } from '../../shim/program/errors.js';
import type { Logger } from '../../shim/program/log.js';
import { refusal } from '../backend/connect-phase.js';
import { ConnectRequest } from '../backend/connect-request.js';
import { BackendError } from '../backend/errors.js';
import type { BackendEvents, SessionView } from '../backend/session.js';
import type { Backend } from '../bridge.js';
import { IdentityTracker, unknownIdentity } from '../track/identity.js';
import type { SessionIdentity } from '../track/view.js';
import { errorAnswer, notification, redirectAnswer } from './answer.js';
import type { Action, Leg } from './contract.js';
import type { CountedSession, Decision, SessionNames } from './engine.js';
import type { Faults, Holding } from './faults.js';
import { Lane, type LaneItem } from './lane.js';
import { heldBytesMax } from './limits.js';
import { Packets } from './packets.js';
import { CallWatcher, type Mark, type Marks, type SeenCall } from './watcher.js';

/** Whose session it is. */
export interface SessionOwner {
  readonly workload: string;
  readonly instance: string;
  readonly stream: number;
  /** Cuts the link of the workload, as a broken connection does. */
  cutLink(): void;
}

export interface GateOptions {
  readonly faults: Faults;
  readonly owner: SessionOwner;
  readonly events: BackendEvents;
  readonly clock: Clock;
  readonly log: Logger;
}

/** The session while it connects, or its bytes are not to be understood, or calls are watched. */
type Stage =
  | {
      readonly kind: 'connecting';
      readonly request: ConnectRequest;
      readonly driver: Packets;
      call: SeenCall | undefined;
    }
  | { readonly kind: 'accepted' }
  | { readonly kind: 'blind' }
  | { readonly kind: 'watching'; readonly watcher: CallWatcher; readonly driver: Packets; readonly database: Packets };

const noPacket = { header: Buffer.alloc(0), payloadLeftBytes: 0 };
const connectCall: SeenCall = {
  call: 'connect',
  ofKind: 1,
  ofAny: 0,
  inTransaction: false,
  firstOfTransaction: false,
  sequence: 0,
};

export class FaultGate implements Backend, Holding {
  readonly heldBy = new Set<string>();
  readonly #options: GateOptions;
  readonly #inner: Backend;
  readonly #counted: CountedSession;
  readonly #toDatabase: Lane<Mark>;
  readonly #toDriver: Lane<Mark>;
  readonly #timers = new Set<Cancel>();
  #stage: Stage;
  #names: SessionNames;
  #isPaused = false;
  /** An answer that is kept back until it is whole: then this happens. */
  #withheld: { readonly call: SeenCall; readonly rule: string; then(): void } | undefined;
  /** Whoever is behind this has been cut off: nothing passes any more. */
  #isCut = false;
  #failure: BackendError | undefined;
  #isClosed = false;

  constructor(options: GateOptions, make: (events: BackendEvents) => Backend) {
    const { faults, owner } = options;
    this.#options = options;
    this.#counted = faults.engine.open(owner.workload);
    this.#names = { workload: owner.workload, user: undefined, service: undefined, program: undefined };
    this.#toDatabase = new Lane({
      forward: (bytes) => this.#inner.write(bytes),
      reached: (mark) => this.#reached(mark, this.#toDatabase),
    });
    this.#toDriver = new Lane({
      forward: (bytes) => options.events.data(bytes),
      reached: (mark) => this.#reached(mark, this.#toDriver),
    });
    this.#inner = make(this.#events());
    const isNew = this.#inner.describe().state === 'connecting';
    const driver = new Packets('frontend', 'u16', noPacket);
    this.#stage = isNew
      ? { kind: 'connecting', request: new ConnectRequest(), driver, call: undefined }
      : { kind: 'accepted' };
    faults.holders.add(this);
  }

  write(view: Buffer): void {
    if (this.#isCut) return;
    const stage = this.#stage;
    switch (stage.kind) {
      case 'connecting':
        this.#connect(stage, view);
        break;
      case 'accepted':
        this.#begin(view);
        break;
      case 'blind':
        this.#toDatabase.push({ kind: 'bytes', bytes: view });
        break;
      case 'watching':
        for (const { bytes, isWhole } of stage.driver.push(view)) {
          const marks = stage.watcher.driverPacket(bytes, isWhole, this.#options.clock.now());
          this.#know(stage.watcher.view().identity);
          this.#toDatabase.push(...itemsOf(bytes, marks));
        }
        break;
      default:
        assertNever(stage);
    }
  }

  end(): void {
    if (this.#isCut) return;
    const stage = this.#stage;
    if (stage.kind === 'watching' || stage.kind === 'connecting') this.#pass(this.#toDatabase, stage.driver.rest());
    this.#toDatabase.push({ kind: 'last', run: () => this.#inner.end() });
  }

  /** Packets leave one by one: something may happen between any two. */
  gather(): void {}
  /** What waits here are views. */
  flush(): boolean {
    return true;
  }

  pause(): void {
    this.#isPaused = true;
    this.#inner.pause();
  }
  resume(): void {
    this.#isPaused = false;
    if (!this.#isHeldUp) this.#inner.resume();
  }
  describe(): SessionView {
    return this.#inner.describe();
  }
  record(): ReturnType<Backend['record']> {
    return this.#inner.record();
  }
  get keepable(): Backend['keepable'] {
    return this.#inner.keepable;
  }
  /** Bytes for the driver that it will get, and has not got yet. */
  held(): Buffer {
    const partial = this.#stage.kind === 'watching' ? [this.#stage.database.held] : [];
    return Buffer.concat([...this.#toDriver.held, ...partial]);
  }

  destroy(): void {
    this.#drop(undefined);
  }

  ruleEnded(rule: string): void {
    if (this.#withheld?.rule === rule) this.#withheld = undefined;
    this.heldBy.delete(rule);
    this.#toDatabase.release(rule);
    this.#toDriver.release(rule);
    this.#heldUpChanged();
  }

  /** The session's own events, on their way to the link. */
  #events(): BackendEvents {
    const { events } = this.#options;
    return {
      settled: () => events.settled?.(),
      sending: (position, bytes) => events.sending?.(position, bytes),
      reading: (position, bytes) => events.reading?.(position, bytes),
      consumed: (total) => events.consumed(total),
      data: (chunk) => this.#fromDatabase(chunk),
      end: (error) => {
        if (this.#isCut) return;
        if (this.#stage.kind === 'watching') this.#pass(this.#toDriver, this.#stage.database.rest());
        this.#toDriver.push({ kind: 'last', run: () => events.end(error) });
      },
      closed: (error) => {
        if (this.#isCut) this.#close(this.#failure);
        else this.#toDriver.push({ kind: 'last', run: () => this.#close(error) });
      },
    };
  }

  #fromDatabase(chunk: Buffer): void {
    if (this.#isCut) return;
    const stage = this.#stage;
    if (stage.kind === 'watching') {
      // A copy: what is read may be overwritten by the next read, and this may wait.
      for (const { bytes } of stage.database.push(Buffer.from(chunk))) {
        const marks = stage.watcher.databasePacket(bytes, this.#options.clock.now());
        this.#know(stage.watcher.view().identity);
        this.#toDriver.push(...itemsOf(bytes, marks));
        this.#answered();
      }
      return;
    }
    const call = stage.kind === 'connecting' ? stage.call : undefined;
    const bytes = Buffer.from(chunk);
    if (call === undefined) this.#pass(this.#toDriver, bytes);
    else this.#toDriver.push(...itemsOf(bytes, around(call, 'response', bytes.length)));
    if (stage.kind === 'connecting') this.#stage = { kind: 'accepted' };
  }

  /** The driver's CONNECT: collected until it says where it wants to go. */
  #connect(stage: Extract<Stage, { kind: 'connecting' }>, view: Buffer): void {
    const passed: Buffer[] = [];
    for (const { bytes, isWhole } of stage.driver.push(view)) {
      passed.push(bytes);
      if (!isWhole || !takes(stage.request, bytes)) continue;
      stage.call = connectCall;
      this.#knowConnect(stage.request);
    }
    const isTls = view[0] === tlsHandshake;
    const bytes = Buffer.concat(isTls ? [...passed, stage.driver.rest()] : passed);
    if (isTls) this.#stage = { kind: 'blind' };
    if (bytes.length === 0) return;
    const isWhole = stage.call !== undefined;
    this.#toDatabase.push(...itemsOf(bytes, isWhole ? around(connectCall, 'request', bytes.length) : noMarks));
  }

  /** The connection is made, or was taken up: from here on calls are watched, as soon as what is known is known here too. */
  #begin(view: Buffer): void {
    const record = this.#inner.record();
    const { accept, watch } = record?.track ?? {};
    if (record === undefined || accept === undefined || watch === undefined) {
      this.#stage = { kind: 'blind' };
      this.#pass(this.#toDatabase, view);
      return;
    }
    // What comes a second time the session has seen already: it passes first.
    const known = Math.min(view.length, record.watchedBytes - record.positions.received);
    if (known > 0) {
      this.#pass(this.#toDatabase, view.subarray(0, known));
      if (known < view.length) this.#begin(view.subarray(known));
      return;
    }
    const watcher = new CallWatcher(record.track);
    const driver = new Packets('frontend', accept.lengthForm, watch.fromDriver);
    this.#stage = {
      kind: 'watching',
      watcher,
      driver,
      database: new Packets('backend', accept.lengthForm, watch.fromDatabase),
    };
    this.#know(watcher.view().identity);
    this.write(view);
  }

  #knowConnect({ connect, connectData }: ConnectRequest): void {
    const identity = new IdentityTracker(unknownIdentity);
    identity.connected(connect, connectData);
    this.#know(identity.state().known);
  }

  #know({ user, service, program }: SessionIdentity): void {
    this.#names = { workload: this.#names.workload, user, service, program };
  }

  #reached(mark: Mark, lane: Lane<Mark>): void {
    const { engine } = this.#options.faults;
    if (this.#isCut || engine.isEmpty) return;
    const decision = engine.decide(this.#counted, this.#names, { ...mark.call, point: mark.point });
    if (decision === undefined) return;
    if (mark.point === 'in-request' || mark.point === 'in-response') {
      const { byte, fraction = 0 } = decision.rule.when;
      const wanted = byte ?? Math.floor(fraction * mark.packetBytes);
      lane.after(Math.max(1, Math.min(wanted, mark.packetBytes - 1)), () => this.#act(decision, mark, lane));
    } else this.#act(decision, mark, lane);
  }

  #act(decision: Decision, mark: Mark, lane: Lane<Mark>): void {
    const { action, rule } = decision;
    this.#tell(decision, mark);
    switch (action.kind) {
      case 'cut':
        this.#cut(action, rule.id);
        break;
      case 'stall':
        if (action.direction !== 'to-driver') this.#block(this.#toDatabase, rule.id, action.forMs);
        if (action.direction !== 'to-database') this.#block(this.#toDriver, rule.id, action.forMs);
        break;
      case 'delay':
        this.#block(lane, rule.id, action.ms + Math.round(decision.draw * action.jitterMs));
        break;
      case 'withhold':
        this.#withhold(mark.call, rule.id, () => this.#endDriver(action.how));
        break;
      case 'error':
        if (mark.point === 'before-request') this.#sayAndEnd(this.#error(action.ora, mark.call));
        else this.#withhold(mark.call, rule.id, () => this.#sayAndEnd(this.#error(action.ora, mark.call)));
        break;
      case 'refuse':
        this.#sayAndEnd(refusal(action.ora));
        break;
      case 'redirect':
        this.#sayAndEnd(redirectAnswer(action.host, action.port));
        break;
      case 'notify':
        if (this.#stage.kind === 'watching')
          this.#options.events.data(notification(action.ora, this.#stage.watcher.state()));
        break;
      default:
        assertNever(action);
    }
  }

  #cut({ leg, how }: Extract<Action, { kind: 'cut' }>, rule: string): void {
    if (leg === 'link') this.#options.owner.cutLink();
    else if (leg === 'driver') this.#endDriver(how);
    else {
      this.#endDriver(
        'reset',
        new BackendError('database-lost', `the connection to the database was cut by fault ${rule}`),
      );
    }
  }

  /** Whatever the answer to this call is, it stays here; once it is whole, that is once the database has done it, `then` happens. */
  #withhold(call: SeenCall, rule: string, then: () => void): void {
    this.heldBy.add(rule);
    this.#toDriver.block(rule);
    this.#withheld = { call, rule, then };
    this.#answered();
  }

  /** Something has come for the driver: perhaps what has to be whole is. */
  #answered(): void {
    const withheld = this.#withheld;
    if (withheld === undefined || this.#isCut) return;
    const isWhole = this.#toDriver.waits(({ point, call }) => point === 'after-response' && call === withheld.call);
    if (isWhole || this.#toDriver.heldBytes > heldBytesMax) withheld.then();
  }

  #block(lane: Lane<Mark>, rule: string, forMs: number | undefined): void {
    const unblock = lane.block(rule);
    this.heldBy.add(rule);
    this.#heldUpChanged();
    if (forMs === undefined) return;
    const cancel = this.#options.clock.after(forMs, () => {
      this.#timers.delete(cancel);
      unblock();
      if (!this.#toDatabase.isBlocked && !this.#toDriver.isBlocked) this.heldBy.clear();
      this.#heldUpChanged();
    });
    this.#timers.add(cancel);
  }

  /** An answer that is withheld has to come in first. */
  get #isHeldUp(): boolean {
    return this.#toDriver.isBlocked && this.#withheld === undefined;
  }

  #heldUpChanged(): void {
    if (this.#isCut) return;
    if (this.#isHeldUp || this.#isPaused) this.#inner.pause();
    else this.#inner.resume();
  }

  #error(ora: number, { sequence }: SeenCall): Buffer {
    if (this.#stage.kind !== 'watching') throw new Error('an error in the place of an answer to no call');
    return errorAnswer(ora, sequence, this.#stage.watcher.state());
  }

  #sayAndEnd(bytes: Buffer): void {
    this.#options.events.data(bytes);
    this.#endDriver('close');
  }

  #endDriver(how: 'reset' | 'close', failure?: BackendError): void {
    if (this.#isCut) return;
    if (how === 'close') this.#options.events.end();
    this.#drop(failure);
  }

  /** Nothing passes any more, and the connection to the database ends. */
  #drop(failure: BackendError | undefined): void {
    this.#isCut = true;
    this.#failure = failure;
    this.#dispose();
    const wasClosed = this.#inner.describe().state === 'closed';
    this.#inner.destroy();
    // Its own word about that may have been among what was thrown away.
    if (wasClosed) process.nextTick(() => this.#close(failure));
  }

  #close(error: BackendError | undefined): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#isCut = true;
    this.#dispose();
    this.#options.events.closed(error);
  }

  #dispose(): void {
    this.#options.faults.holders.delete(this);
    this.#options.faults.engine.close(this.#counted);
    this.#toDatabase.discard();
    this.#toDriver.discard();
    for (const cancel of this.#timers) cancel();
    this.#timers.clear();
  }

  #pass(lane: Lane<Mark>, bytes: Buffer): void {
    if (bytes.length > 0) lane.push({ kind: 'bytes', bytes });
  }

  #tell({ rule, action, session, match }: Decision, { call, point }: Mark): void {
    const { owner, faults, log } = this.#options;
    const { identity, transaction } = this.#inner.describe().track;
    const { user, service, sid, serial } = identity;
    const leg: Leg | undefined = action.kind === 'cut' ? action.leg : undefined;
    const act = {
      rule: rule.id,
      action: action.kind,
      call: call.call,
      point,
      session,
      match,
      workload: owner.workload,
      instance: owner.instance,
      stream: owner.stream,
      transaction: transaction.kind,
      ...(leg === undefined ? {} : { leg }),
      ...(user === undefined ? {} : { user }),
      ...(service === undefined ? {} : { service }),
      ...(sid === undefined ? {} : { sid }),
      ...(serial === undefined ? {} : { serial }),
      ...('ora' in action ? { ora: action.ora } : {}),
    };
    faults.acts.acted(act);
    log.warn({ code: 'fault', ...act }, 'an injected fault acts');
  }
}

const noMarks: Marks = { before: [], behind: [] };
/** First byte of a TLS record with a handshake. */
const tlsHandshake = 22;

function itemsOf(bytes: Buffer, { before, behind }: Marks): LaneItem<Mark>[] {
  const item = (mark: Mark) => ({ kind: 'mark', mark }) as const;
  return [...before.map(item), { kind: 'bytes', bytes }, ...behind.map(item)];
}

function around(call: SeenCall, half: 'request' | 'response', packetBytes: number): Marks {
  const mark = (side: 'before' | 'after'): Mark => ({ point: `${side}-${half}`, call, packetBytes });
  return { before: [mark('before')], behind: [mark('after')] };
}

/** True once connect data is whole. What is no CONNECT the session itself says something about. */
function takes(request: ConnectRequest, bytes: Buffer): boolean {
  try {
    return request.take({ type: bytes[4] ?? 0, flags: bytes[5] ?? 0, bytes });
  } catch {
    return false;
  }
}
