import { type Counts, type Failure, noCounts, runOnce } from './run.js';

export interface CampaignOptions {
  readonly seed: number;
  readonly runs: number;
  /** Stops after so many runs that found something. */
  readonly failuresMax: number;
  /** Called now and then. */
  readonly progress?: (runs: number) => void;
}

/** A run that found something, and what repeats it. */
export interface Found extends Failure {
  readonly run: number;
  readonly repeat: string;
}

/** The same seed gives the same object, on any machine. */
export interface Result extends Counts {
  readonly seed: number;
  readonly runs: number;
  readonly violations: number;
  /** What should have happened and never did: such a campaign proves nothing. */
  readonly missing: readonly string[];
  readonly failures: readonly Found[];
}

/** Runs between two breaths: what code under test has promised is settled there, and signals are heard. */
const runsAtOnce = 100;
/** Fewer runs need not have seen everything. */
const runsForAll = 2_000;

/** Many runs, one after the other. */
export async function campaign(options: CampaignOptions): Promise<Result> {
  const { seed, failuresMax, progress } = options;
  const counts = noCounts();
  const failures: Found[] = [];
  // Errors are ordinary here, and their stacks cost more than all the rest. `--run` shows them.
  const stackTraceLimit = Error.stackTraceLimit;
  Error.stackTraceLimit = 0;
  let run = 0;
  for (; run < options.runs && failures.length < failuresMax; run += 1) {
    const failure = runOnce(seed, run, counts);
    if (failure !== undefined) failures.push({ ...failure, run, repeat: `npm run sim -- --seed ${seed} --run ${run}` });
    if (run % runsAtOnce !== runsAtOnce - 1) continue;
    progress?.(run + 1);
    await new Promise((resolve) => setImmediate(resolve));
  }
  Error.stackTraceLimit = stackTraceLimit;
  const missing = run < runsForAll ? [] : neverHappened(counts);
  return { seed, runs: run, violations: failures.length, ...counts, missing, failures };
}

function neverHappened({ cuts, resumes, replayedBytes, ranges, refusals, actions }: Counts): string[] {
  const all: [string, number][] = [
    ['cuts', cuts],
    ['resumes', resumes],
    ['replayedBytes', replayedBytes],
    ['ranges', ranges],
    ...Object.entries(refusals).map(([verdict, count]): [string, number] => [`refused ${verdict}`, count]),
    ...Object.entries(actions),
  ];
  return all.filter(([, count]) => count === 0).map(([what]) => what);
}
