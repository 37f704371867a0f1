export interface KeeperLimits {
  /** From the start of a worker until it could serve: modules loaded, options read, certificates good. */
  readonly readyMs: number;
  /** From the hand-over of the sockets until it serves. */
  readonly takeOverMs: number;
  /** A worker that is replaced puts everything in order and lets go. */
  readonly releaseMs: number;
  /** A worker that has said nothing for so long hangs, and is killed. Workers say something four times in it. */
  readonly silenceMs: number;
  /** A worker that was killed and is still there is killed again; it is waited for, however long that takes. */
  readonly killMs: number;
  /** Pause before the second restart in a row; it doubles with each. The first comes at once. */
  readonly backOffMs: number;
  readonly backOffMsMax: number;
  /**
   * A worker that has served for so long was healthy: its crash is a first one again. What makes a worker die as soon as it
   * serves (bytes that come again with every link) does so within a fraction of this.
   */
  readonly healthyMs: number;
  /** With so many crashes in a row nothing is started any more until an operator asks for it. */
  readonly crashesMax: number;
}

export const defaultKeeperLimits: KeeperLimits = {
  readyMs: 30_000,
  takeOverMs: 30_000,
  releaseMs: 10_000,
  silenceMs: 10_000,
  killMs: 5_000,
  backOffMs: 100,
  backOffMsMax: 10_000,
  healthyMs: 300,
  crashesMax: 8,
};

/** How often a worker says that it is alive. */
export const beatMs = defaultKeeperLimits.silenceMs / 4;
