import t from 'tap';
import { FaultSwitch, faultKinds, installFaults } from './faults/switch.js';
import { openStage } from './play.js';
import { playScenario, type Scenario } from './scenarios/scenario.js';
import { Stage } from './stage.js';

/**
 * How sensitive scenarios are: each is played with a link that loses, repeats or misplaces one byte after the move, and must
 * fail. The first of a file is also played with the same machinery and no fault, and must pass. The fault is in the link, so it does
 * not matter what moves the processes.
 */
export async function playFaults(scenarios: readonly Scenario[]): Promise<void> {
  const faults = installFaults();
  t.teardown(() => faults.remove());
  const { world, witness } = await openStage({ mover: 'relink' });
  for (const [index, scenario] of scenarios.entries()) {
    const kinds = index === 0 ? faultKinds : faultKinds.filter((kind) => kind !== 'none');
    for (const direction of scenario.flows) {
      await t.test(`with one wrong byte ${direction}, this is seen to fail: ${scenario.rule}`, async (t) => {
        const plays = kinds.map(async (kind) => {
          const name = `${scenario.name}-${direction}-${kind}`;
          const fault = new FaultSwitch(faults.directory, name, { kind, direction });
          const failures = await playScenario(scenario, new Stage({ world, witness, name, waitMs: 0, fault }));
          return { kind, struck: fault.struck, failures };
        });
        for (const { kind, struck, failures } of await Promise.all(plays)) {
          t.ok(struck, `${kind}: a row went over the link after the move`);
          if (kind === 'none') t.strictSame(failures, [], 'without a fault it passes');
          else t.ok(failures.length > 0, `${kind} is noticed`);
          for (const failure of failures) t.comment(`${kind}: ${failure}`);
        }
      });
    }
  }
}
