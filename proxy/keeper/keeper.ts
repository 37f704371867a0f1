/**
 * Holds descriptors while workers come and go, and does nothing else: no byte is read, no packet known, no policy kept here,
 * because nothing that can go wrong may be here. Sockets are kept as libuv handles that nobody reads from.
 */
import { type ChildProcess, fork, type StdioOptions } from 'node:child_process';
import { isHandle, type NativeHandle } from '../kernel/handle.js';
import type { FromKeeper, FromWorker } from './contract.js';
import { Lifecycle, type LifecycleAction, type LifecycleEvent, type LifecycleState } from './lifecycle.js';
import { defaultKeeperLimits, type KeeperLimits } from './limits.js';

export interface KeeperOptions {
  /** The module that workers run, as it is installed at the moment it is asked for. */
  readonly program: () => string;
  readonly args: readonly string[];
  /** Of workers, besides that of this process. */
  readonly environment?: Readonly<Record<string, string>>;
  readonly limits?: Partial<KeeperLimits>;
  /** The worker with this process id serves from now on. */
  readonly serving?: (pid: number) => void;
  /** One thing that an operator may want to know. */
  readonly tell: (level: 'info' | 'error' | 'fatal', facts: Readonly<Record<string, unknown>>, text: string) => void;
  /** All is over. */
  readonly exit: (code: number) => void;
  /** Sockets that this process was given when it was started. */
  readonly inherited?: ReadonlyMap<number, NativeHandle>;
  /** The worker before had let go of them in order. */
  readonly isInOrder?: boolean;
  /** Every worker gets these too; somebody else keeps them. */
  readonly shared?: () => Iterable<readonly [id: number, handle: NativeHandle]>;
  /** No worker has the sockets, so that another program may be made of this process; otherwise `ask` it to go on. */
  readonly renewed?: () => void;
  /** A worker wants to be replaced; this keeper alone does it when left out. */
  readonly upgrade?: () => void;
  /** The worker gives a link away to that of another slot. */
  readonly pass?: (to: number, bytes: string, handle: NativeHandle) => void;
  /** Keeps a second copy of every socket, for when this process dies too. */
  readonly store?: SocketStore;
}

export interface SocketStore {
  keep(id: number, fd: number): void;
  forget(id: number): void;
}

const alarms = {
  crashed: ['error', 'a worker has died; another takes over'],
  hangs: ['error', 'a worker hangs and is killed'],
  late: ['error', 'a worker takes too long and is killed'],
  'upgrade-failed': ['error', 'the new worker is not healthy; one of the program before goes on'],
  'crash-loop': ['fatal', 'workers die again and again: sessions are held, nothing is forwarded'],
  upgraded: ['info', 'another program serves'],
} as const;

/** In these a worker that ends has let go before. */
const inOrder: ReadonlySet<LifecycleState['kind']> = new Set(['releasing', 'renewing']);
/** In these a worker serves. */
const holders: ReadonlySet<LifecycleState['kind']> = new Set(['serving', 'upgrading']);
/** As long as timers go. */
const aliveMs = 2 ** 31 - 1;

export class Keeper {
  readonly #options: KeeperOptions;
  readonly #lifecycle: Lifecycle;
  readonly #workers = new Map<number, ChildProcess>();
  readonly #sockets: Map<number, NativeHandle>;
  #timer: NodeJS.Timeout | undefined;
  /** Sockets that nobody reads do not keep a process alive: without a worker it would end, and all sessions with it. */
  readonly #alive = setInterval(() => undefined, aliveMs);
  /** The worker before has not let go in order. */
  #crashed: boolean;

  constructor(options: KeeperOptions) {
    this.#options = options;
    this.#sockets = new Map(options.inherited);
    this.#crashed = this.#sockets.size > 0 && options.isInOrder !== true;
    this.#lifecycle = new Lifecycle({ ...defaultKeeperLimits, ...options.limits });
  }

  get state(): LifecycleState {
    return this.#lifecycle.state;
  }
  get sockets(): ReadonlyMap<number, NativeHandle> {
    return this.#sockets;
  }

  begin(): void {
    this.#perform(this.#lifecycle.begin(this.#options.program(), this.#sockets.size > 0, performance.now()));
  }

  /** @param event what an operator wants: `upgrade`, `renew`, `stop`; `go-on` after `renewed` */
  ask(event: Extract<LifecycleEvent, { kind: 'upgrade' | 'renew' | 'go-on' | 'stop' }>): void {
    this.#step(event);
  }

  /** Lets the worker that serves have a signal of the operator's. */
  signal(signal: NodeJS.Signals): void {
    const { state } = this.#lifecycle;
    if ('worker' in state) this.#workers.get(state.worker.number)?.kill(signal);
  }

  /** A link for the worker that serves. Without one it is closed: its shim dials again. */
  give(bytes: string, handle: NativeHandle): void {
    const { state } = this.#lifecycle;
    const child = holders.has(state.kind) && 'worker' in state ? this.#workers.get(state.worker.number) : undefined;
    if (child?.connected !== true) handle.close();
    else child.send({ kind: 'link', bytes } satisfies FromKeeper, handle as never, () => handle.close());
  }

  #step(event: LifecycleEvent): void {
    this.#perform(this.#lifecycle.step(event, performance.now()));
  }

  #perform(actions: readonly LifecycleAction[]): void {
    for (const action of actions) this.#do(action);
    clearTimeout(this.#timer);
    const { deadlineMs } = this.#lifecycle;
    if (deadlineMs === undefined) return;
    // Timers come before messages: a keeper that stood still itself first hears what its worker has said meanwhile.
    const tick = (): void => void setImmediate(() => this.#step({ kind: 'tick' }));
    this.#timer = setTimeout(tick, Math.max(0, deadlineMs - performance.now()) + 1);
  }

  #do(action: LifecycleAction): void {
    switch (action.kind) {
      case 'fork':
        this.#fork(action.worker.number, action.worker.program);
        break;
      case 'hand-over':
        this.#handOver(action.worker);
        break;
      case 'release':
        this.#say(action.worker, { kind: action.kind });
        break;
      case 'stop':
        this.#workers.get(action.worker)?.kill('SIGTERM');
        break;
      case 'kill':
        this.#workers.get(action.worker)?.kill('SIGKILL');
        break;
      case 'tell': {
        const [level, text] = alarms[action.alarm];
        const facts = { alarm: action.alarm, worker: action.worker, why: action.why, sockets: this.#sockets.size };
        this.#options.tell(level, facts, text);
        this.#sayToServing({ kind: 'alarm', alarm: action.alarm, why: action.why });
        break;
      }
      case 'renewed':
        this.#options.renewed?.();
        break;
      case 'exit':
        clearInterval(this.#alive);
        for (const handle of this.#sockets.values()) handle.close();
        this.#options.exit(action.code);
        break;
    }
  }

  #fork(number: number, program: string): void {
    // Detached: a terminal's Ctrl-C is for the keeper, which lets the worker stop in order. A worker also outlives its keeper.
    const stdio: StdioOptions = ['ignore', 'inherit', 'inherit', 'ipc'];
    const env = { ...process.env, ...this.#options.environment };
    const worker = fork(program, this.#options.args, { detached: true, stdio, env });
    this.#workers.set(number, worker);
    worker.on('message', (message: FromWorker, handle: unknown) => this.#hear(number, message, handle));
    // A worker that cannot be started, or not be spoken to, ends: 'exit' reports it.
    worker.on('error', () => undefined);
    worker.on('exit', (code, signal) => {
      this.#workers.delete(number);
      this.#crashed ||= this.#isHolder(number) && !inOrder.has(this.state.kind);
      const why = signal === null ? `exit code ${code}` : `signal ${signal}`;
      this.#step({ kind: 'exited', worker: number, code: code ?? 1, why });
    });
  }

  #hear(worker: number, message: FromWorker, handle: unknown): void {
    // Whatever it says: beats wait behind sockets, each of which Node.js acknowledges before it sends the next message.
    this.#step({ kind: 'heard', worker });
    switch (message.kind) {
      case 'keep':
        if (isHandle(handle)) this.#keep(worker, message.id, handle);
        break;
      case 'drop':
        this.#options.store?.forget(message.id);
        this.#sockets.get(message.id)?.close();
        this.#sockets.delete(message.id);
        break;
      case 'upgrade':
        if (this.#options.upgrade === undefined) this.#step({ kind: 'upgrade', program: this.#options.program() });
        else this.#options.upgrade();
        break;
      case 'pass':
        if (isHandle(handle)) this.#options.pass?.(message.to, message.bytes, handle);
        break;
      case 'serving':
        this.#step({ kind: 'serving', worker });
        this.#options.serving?.(this.#workers.get(worker)?.pid ?? 0);
        break;
      case 'beat':
        break;
      case 'ready':
      case 'released':
        this.#step({ kind: message.kind, worker });
        break;
    }
  }

  #keep(worker: number, id: number, handle: NativeHandle): void {
    this.#sockets.get(id)?.close();
    this.#sockets.set(id, handle);
    this.#options.store?.keep(id, handle.fd);
    this.#say(worker, { kind: 'kept', id });
  }

  #handOver(worker: number): void {
    const sockets = [...(this.#options.shared?.() ?? []), ...this.#sockets];
    for (const [id, handle] of sockets) this.#say(worker, { kind: 'socket', id }, handle);
    this.#say(worker, { kind: 'take-over', sockets: sockets.length, crashed: this.#crashed });
    this.#crashed = false;
  }

  #say(worker: number, message: FromKeeper, handle?: NativeHandle): void {
    const child = this.#workers.get(worker);
    if (child?.connected !== true) return;
    // What cannot be said is said to one who is about to exit.
    child.send(message, handle as never, () => undefined);
  }

  #sayToServing(message: FromKeeper): void {
    const { state } = this.#lifecycle;
    if (state.kind === 'serving') this.#say(state.worker.number, message);
  }

  #isHolder(number: number): boolean {
    const { state } = this.#lifecycle;
    return 'worker' in state && state.worker.number === number;
  }
}
