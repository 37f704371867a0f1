import type { ProxyLimits } from '../../proxy/limits.js';
import type { Activity } from '../../proxy/policy/rules.js';
import type { LinkLimits } from '../../shim/link/index.js';
import type { Random } from '../../shim/program/random.js';
import type { Weather } from './network.js';

/** What can happen in a run, and how often: weights. Drivers and sessions speak in every run; of the faults each run has some. */
export interface Weights {
  readonly connect: number;
  readonly driverSays: number;
  readonly databaseSays: number;
  readonly driverEnds: number;
  readonly databaseEnds: number;
  readonly driverReads: number;
  readonly databaseReads: number;
  readonly databaseWorks: number;
  /** The connection breaks at both ends, at one end, or falls silent. */
  readonly cut: number;
  readonly cutAfterBytes: number;
  readonly halfOpen: number;
  readonly silence: number;
  /** Bytes are held up for a while, and then all of them arrive: perhaps on a connection that is long dead to its other end. */
  readonly stall: number;
  /** The next RESUME comes when one that the shim sends after it has been bound. */
  readonly lateResume: number;
  /** For a while nobody can be reached. */
  readonly outage: number;
  readonly detach: number;
  readonly freeze: number;
  /** The workload is frozen, its image restored, and the original killed. */
  readonly move: number;
  /** As a move, but the copy is killed and the original goes on. */
  readonly failedMove: number;
  /** The image is restored twice, or the original goes on beside its copy. */
  readonly twice: number;
  /** The original goes on for a while before an image of it is restored. */
  readonly rewind: number;
  readonly clockJump: number;
  readonly shimRestart: number;
  readonly shimStop: number;
  readonly proxyFreeze: number;
  readonly proxyRestart: number;
  /** The worker of the proxy dies some steps later, between any two of them, and another one takes over. */
  readonly workerDies: number;
  /** For a while the two ends speak different versions of the link. */
  readonly skew: number;
  /** Somebody presents a token that is none, or a RESUME that was heard on the way, or says no CONFIRM. */
  readonly intruder: number;
}

export type Action = keyof Weights;

/** Those that make an image of a workload. */
const imaging: readonly Action[] = ['move', 'failedMove', 'twice', 'rewind'];

/** Everything that is drawn for one run before it starts. */
export interface Faults {
  readonly steps: number;
  /** An image is made of a workload: what happens to it must be remembered. */
  readonly hasImages: boolean;
  readonly pauseMs: number;
  readonly weights: Weights;
  readonly weather: Weather;
  readonly linkLimits: LinkLimits;
  readonly budgetMs: Readonly<Record<Activity, number>>;
  readonly proxyLimits: Pick<
    ProxyLimits,
    'workloadsMax' | 'tryLaterMs' | 'workloadBytesMax' | 'processBytesMax' | 'pieceBytes' | 'trickleMs'
  >;
  readonly sayBytes: number;
}

const always: Partial<Weights> = { connect: 6, driverSays: 22, databaseSays: 22 };
const sometimes: Omit<Weights, 'connect' | 'driverSays' | 'databaseSays'> = {
  driverEnds: 3,
  databaseEnds: 2,
  driverReads: 5,
  databaseReads: 5,
  databaseWorks: 3,
  cut: 8,
  cutAfterBytes: 12,
  halfOpen: 4,
  silence: 2,
  stall: 5,
  lateResume: 3,
  outage: 3,
  detach: 4,
  freeze: 3,
  move: 3,
  failedMove: 3,
  twice: 2,
  rewind: 2,
  clockJump: 2,
  shimRestart: 1,
  shimStop: 1,
  proxyFreeze: 2,
  proxyRestart: 1,
  workerDies: 6,
  skew: 1,
  intruder: 2,
};

export const actions = Object.keys({ ...always, ...sometimes }) as Action[];

/** Each run has about half of the faults: one that hides another does so in some of the runs only. */
export function drawFaults(random: Random): Faults {
  const chosen = Object.entries(sometimes).map(([action, weight]) => [action, random.chance(0.45) ? weight : 0]);
  const windowBytes = random.pick([48, 100, 256, 600]);
  const weights = { ...always, ...Object.fromEntries(chosen) } as Weights;
  return {
    hasImages: imaging.some((action) => weights[action] > 0),
    steps: random.between(10, 40),
    pauseMs: random.pick([1, 8, 30, 120]),
    weights,
    weather: { latencyMs: random.pick([0, 1, 5, 20]), chunkBytes: random.pick([0, 0, 200, 40, 9]) },
    linkLimits: {
      windowBytes,
      frameBytesMax: random.pick([16, 64, 1000]),
      controlBytesMax: 4096,
      streamsMax: 6,
      ackDelayMs: 5,
      heartbeatMs: 200,
      silenceMs: 600,
      handshakeMs: 300,
      retryMs: 10,
      retryMsMax: 80,
    },
    budgetMs: {
      idle: random.pick([500, 2_000, 8_000]),
      call: random.pick([1_000, 3_000, 12_000]),
      transaction: random.pick([1_500, 4_000, 15_000]),
    },
    proxyLimits: {
      workloadsMax: random.pick([1, 3, 10]),
      tryLaterMs: 100,
      workloadBytesMax: random.pick([400, 10_000]),
      processBytesMax: random.pick([600, 10_000]),
      pieceBytes: 200,
      trickleMs: 100,
    },
    sayBytes: random.pick([6, 40, 150]),
  };
}

/** Gives actions, each as often as its weight says. */
export class Dice {
  readonly #actions: [Action, number][];
  readonly #total: number;

  constructor(weights: Weights) {
    this.#actions = (Object.entries(weights) as [Action, number][]).filter(([, weight]) => weight > 0);
    this.#total = this.#actions.reduce((sum, [, weight]) => sum + weight, 0);
  }

  draw(random: Random): Action {
    let left = random.unit() * this.#total;
    for (const [action, weight] of this.#actions) {
      left -= weight;
      if (left < 0) return action;
    }
    return 'driverSays';
  }
}
