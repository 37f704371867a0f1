import type { SessionRow, WorkloadRow } from '../proxy/control/contract.js';
import type { SeenByShim } from '../shim/control/contract.js';
import type { ControlClient } from '../shim/control/rpc-client.js';
import type { Logger } from '../shim/program/log.js';
import type { Security } from '../shim/program/security.js';
import type { Abort } from './abort.js';
import type { AgentVerbs, Bound } from './contract.js';
import type { Hooks } from './hooks.js';
import type { Before, Journal } from './journal.js';
import type { Job, Mover, Tools } from './movers/mover.js';
import type { Failure } from './plan.js';
import type { Blackout } from './preflight/finding.js';
import type { Monitor } from './preflight/monitor.js';
import type { ProxyView } from './proxy.js';
import type { Moment, MoveEvent, MoverName } from './record.js';
import type { ShimView } from './shim.js';
import type { ProcessIdentity, Store, StoredWorkload } from './workload/store.js';

/** Between which parts a move is made. */
export interface MoveGround {
  readonly move: string;
  readonly mover: Mover;
  /** Sessions whose state is unknown do not stand in the way. */
  readonly allowUnknown: boolean;
  readonly workload: StoredWorkload;
  /** The source: this agent's own node. */
  readonly node: string;
  readonly target: {
    readonly node: string;
    readonly host: string;
    readonly connect: () => Promise<ControlClient<AgentVerbs>>;
  };
  readonly store: Store;
  readonly shim: ShimView;
  readonly proxy: ProxyView;
  readonly security: Security;
  readonly tools: Tools;
  /** Who reads the limits of the database, where somebody may. */
  readonly monitor: Monitor | undefined;
  readonly log: Logger;
}

/** What the agent at the source gives the steps of one move. */
export interface MoveContext extends MoveGround {
  /** The longest the application may wait before the target has bound, from the detach on. */
  readonly maxBlackoutMs: number | undefined;
  /** Programs of the operator that run at points of the move. */
  readonly hooks: Hooks | undefined;
  readonly when: Moment;
  readonly deadlineMs: number;
  /** What is done when the moment has not come by the deadline. */
  readonly after: 'move' | 'give-up';
  /** Told while a move waits for its moment. */
  readonly waiting: (sessions: number, first: string) => void;
  readonly journal: Journal;
  /** Steps that can be broken off without harm listen to it. */
  readonly abort: Abort;
  /** How far a step is, for people who watch. */
  readonly progress: (event: Omit<MoveEvent & { kind: 'progress' }, 'kind'>) => void;
  /** What the steps find out for those after them. */
  readonly found: {
    agent?: ControlClient<AgentVerbs>;
    before?: Before;
    /** The target may have bound: only whoever the proxy takes next may let the application run. */
    targetMayOwn?: boolean;
    /** The source has been stopped, and not been let go again. */
    sourceStopped?: boolean;
    /** What went wrong on a way that succeeded all the same. */
    warnings: Failure[];
    blackout?: Blackout | undefined;
    copy?: ProcessIdentity;
    bound?: Bound;
    /** When the application began to wait; monotonic clock. */
    darkSinceMs?: number | undefined;
    /** What the target's shim has seen of the bytes; absent where it could not be asked. */
    seen?: SeenByShim;
    after?: { readonly row: WorkloadRow | undefined; readonly sessions: readonly SessionRow[] };
  };
}

/** The names that go along with every verb between agents. */
export function moveNames(context: MoveContext): { move: string; workload: string; mover: MoverName } {
  return { move: context.move, workload: context.workload.name, mover: context.mover.name };
}

/** What the mover is given at the source. */
export function jobOf({ tools, workload, move, store }: MoveContext): Job {
  return { tools, workload, move, directory: store.moveDirectory(workload.name, move) };
}

/** What an earlier step must have found: steps run in order. */
export function need<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new Error(`a step before this one did not find ${what}`);
  return value;
}
