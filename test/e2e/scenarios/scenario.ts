import type { FaultDirection } from '../faults/switch.js';
import type { Stage } from '../stage.js';

export interface Scenario {
  /** Name of the workload. */
  readonly name: string;
  /** What the application is doing when it is moved, in a few words. */
  readonly moment: string;
  /** What is shown. */
  readonly rule: string;
  /** Directions in which rows flow after the move and in which a fault is tried: all scenarios together cover both well. */
  readonly flows: readonly FaultDirection[];
  /** Leaves in `stage.failures` what was not as it should be, or throws when there is no way to go on. */
  play(stage: Stage): Promise<void>;
}

/** What was wrong; nothing when the scenario was played as it should be. */
export async function playScenario(scenario: Scenario, stage: Stage): Promise<readonly string[]> {
  try {
    await scenario.play(stage);
  } catch (error) {
    stage.failures.push(error instanceof Error ? error.message : String(error));
  }
  await stage.close();
  return stage.failures;
}
