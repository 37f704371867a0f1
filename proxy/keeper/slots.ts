/**
 * All slots of a proxy, each with a keeper of its own: what happens to the worker of one is nothing to the others. Here is only
 * what concerns the process that they share: when it is ready, when it ends, and when it becomes another program.
 */
import type { NativeHandle } from '../kernel/handle.js';
import { linksId } from './contract.js';
import type { KeptSocket } from './handover.js';
import { Keeper, type KeeperOptions, type SocketStore } from './keeper.js';

/** What differs from slot to slot. */
export interface SlotPlan {
  readonly args: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  /** Sockets that this process was given when it was started. */
  readonly inherited: ReadonlyMap<number, NativeHandle>;
  readonly store?: SocketStore;
}

export interface SlotsOptions extends Pick<KeeperOptions, 'program' | 'limits' | 'isInOrder' | 'tell' | 'exit'> {
  readonly slots: readonly SlotPlan[];
  /** The worker with this process id serves from now on. `all`: and so there is one in every slot, or was. */
  readonly serving: (pid: number, all: boolean) => void;
  /** Makes another program of this process, which goes on with these descriptors. Does not return. @throws when it cannot */
  readonly become: (sockets: readonly KeptSocket[]) => void;
}

export class Slots {
  readonly #options: SlotsOptions;
  readonly #keepers: readonly Keeper[];
  readonly #begun = new Set<Keeper>();
  /** Begun, and not exited. */
  readonly #left = new Set<Keeper>();
  readonly #served = new Set<Keeper>();
  #exitCode = 0;
  #isStopping = false;

  constructor(options: SlotsOptions) {
    this.#options = options;
    this.#keepers = options.slots.map((plan, index) => this.#keeper(plan, index));
  }

  get keepers(): readonly Keeper[] {
    return this.#keepers;
  }

  /** The first slot's worker opens the socket that all accept from, so it comes first, and says alone what is wrong with options. */
  begin(): void {
    const [first] = this.#keepers;
    if (first === undefined) throw new Error('a proxy has one slot at least');
    this.#begin(first);
    if (first.sockets.has(linksId)) this.#beginOthers();
  }

  /** Lets every worker that serves have a signal of the operator's. */
  signal(signal: NodeJS.Signals): void {
    for (const keeper of this.#keepers) keeper.signal(signal);
  }

  /** Another worker in every slot. */
  upgrade(): void {
    for (const keeper of this.#left) keeper.ask({ kind: 'upgrade', program: this.#options.program() });
  }

  /** Tries again where workers have died again and again. */
  retry(): void {
    for (const keeper of this.#left) {
      const { kind } = keeper.state;
      if (kind === 'holding' || kind === 'backing-off') {
        keeper.ask({ kind: 'upgrade', program: this.#options.program() });
      }
    }
  }

  /** Only when all is well in all slots: see `Lifecycle`. */
  renew(): void {
    if (this.#keepers.every(({ state }) => state.kind === 'serving')) {
      for (const keeper of this.#keepers) keeper.ask({ kind: 'renew' });
    }
  }

  stop(): void {
    this.#isStopping = true;
    for (const keeper of [...this.#left]) keeper.ask({ kind: 'stop' });
  }

  #keeper(plan: SlotPlan, index: number): Keeper {
    const { slots, tell, program, limits, isInOrder } = this.#options;
    const facts = slots.length === 1 ? {} : { slot: index };
    const keeper: Keeper = new Keeper({
      program,
      ...(limits && { limits }),
      ...(isInOrder === undefined ? {} : { isInOrder }),
      ...plan,
      shared: () => (index === 0 ? [] : this.#links()),
      renewed: () => this.#renewed(),
      upgrade: () => this.upgrade(),
      pass: (to, bytes, handle) => {
        const keeper = this.#keepers[to];
        if (keeper === undefined) handle.close();
        else keeper.give(bytes, handle);
      },
      serving: (pid) => this.#serving(keeper, pid),
      tell: (level, more, text) => tell(level, { ...facts, ...more }, text),
      exit: (code) => this.#exited(keeper, code),
    });
    return keeper;
  }

  #begin(keeper: Keeper): void {
    this.#begun.add(keeper);
    this.#left.add(keeper);
    keeper.begin();
  }

  #beginOthers(): void {
    if (this.#isStopping) return;
    for (const keeper of this.#keepers) if (!this.#begun.has(keeper)) this.#begin(keeper);
  }

  *#links(): Iterable<readonly [number, NativeHandle]> {
    const handle = this.#keepers[0]?.sockets.get(linksId);
    if (handle !== undefined) yield [linksId, handle];
  }

  #serving(keeper: Keeper, pid: number): void {
    this.#served.add(keeper);
    this.#options.serving(pid, this.#served.size === this.#keepers.length);
    this.#beginOthers();
  }

  /** When the last of them has let go. */
  #renewed(): void {
    if (!this.#keepers.every(({ state }) => state.kind === 'renewed')) return;
    try {
      const sockets = this.#keepers.map(({ sockets }, slot) =>
        [...sockets].map(([id, { fd }]): KeptSocket => (slot === 0 ? [id, fd] : [id, fd, slot])),
      );
      this.#options.become(sockets.flat());
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      this.#options.tell('error', { alarm: 'renew-failed', why }, 'the keeper goes on as the program that it was');
    }
    for (const keeper of this.#keepers) keeper.ask({ kind: 'go-on' });
  }

  /** A slot that gives up by itself has never served: what is wrong there is wrong with the whole, which ends in order. */
  #exited(keeper: Keeper, code: number): void {
    this.#left.delete(keeper);
    this.#exitCode ||= code;
    if (this.#left.size === 0) this.#options.exit(this.#exitCode);
    else if (!this.#isStopping) this.stop();
  }
}
