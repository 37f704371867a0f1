import type { Phase } from '../plan.js';
import type { FindingCode } from '../preflight/errors.js';
import type { MoverName } from '../record.js';
import type { StartOptions } from '../workload/start.js';
import type { ProcessIdentity, StoredWorkload } from '../workload/store.js';

/** Programs that movers use, as the agent of a node was told where they are. */
export interface Tools {
  /** Paths. */
  readonly criu: string;
  readonly runc: string;
  readonly podman: string;
}

/** Whether a mover can work at a node. */
export type ToolState =
  | { readonly version: string; readonly missing?: never }
  | { readonly missing: string; readonly version?: never };

/** One way to move a workload: what differs between ways is here and nowhere else. Each has a file of its own. */
export interface Mover {
  readonly name: MoverName;
  /** What a move has to do, in the order of `phaseNames`. */
  readonly phases: readonly Phase[];
  /** How long the application will wait, where no move has been made yet to learn from. */
  readonly guess: { readonly fixedMs: number; readonly bytesPerMs: number };
  /** How the processes are taken along. Without one they stay where they are, and the link alone is bound from elsewhere. */
  readonly carrier?: Carrier;
}

/** One move of one workload, at the node that does something for it. */
export interface Job {
  readonly tools: Tools;
  readonly workload: StoredWorkload;
  readonly move: string;
  /** Of this move: the image is in `image` below it, logs are beside that. */
  readonly directory: string;
}

/**
 * Freezes processes into an image, and makes them from it. Whatever it does, the processes stay stopped: who may run is decided
 * by whom the proxy binds, and the steps of a move let them go with SIGCONT.
 */
export interface Carrier {
  /** The finding when they do not. */
  readonly missing: FindingCode;
  /** Asks the programs themselves whether they work here. */
  check(tools: Tools): Promise<ToolState>;
  /**
   * Starts a workload; resolves when its shim listens and its application has been started.
   * @throws {MoveError} start-failed, bundle-unfit
   */
  start(options: StartOptions): Promise<ProcessIdentity & { readonly command: string[] }>;
  /** Stops the processes and writes their image. @throws {MoveError} dump-failed */
  dump(job: Job): Promise<void>;
  /** Takes back what a dump that was cut off may have left behind, besides stopped processes. */
  thaw(job: Job): Promise<void>;
  /**
   * Makes the processes from the image. When that fails, or is stopped half-way, nothing of them is left.
   * @returns the first of them
   * @throws {MoveError} restore-failed
   */
  restore(job: Job, stop?: AbortSignal): Promise<ProcessIdentity>;
  /** The first process of what was restored for this move, while it lives. */
  restored(job: Job): Promise<ProcessIdentity | undefined>;
  /** Kills processes, stopped or not, and what is kept about them. @returns whether nothing is left */
  end(tools: Tools, first: ProcessIdentity, isolated: boolean): Promise<boolean>;
  /** What of the node the workload consists of besides files that are open. @param directory of the workload */
  parts(workload: StoredWorkload, directory: string): readonly string[];
  /** Where a file that its processes know by a path is at the node; undefined: at no place that another node could have. */
  hostPath(workload: StoredWorkload, directory: string): (path: string) => string | undefined;
}
