import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { Ground } from '../../../migrate/rehearse/ground.js';
import { play } from '../../../migrate/rehearse/play.js';
import type { RunReport } from '../../../migrate/report/model.js';
import { parseScenario } from '../../../migrate/scenario/parse.js';
import { applyReplay, readActs } from '../../../migrate/scenario/replay.js';
import type { Scenario } from '../../../migrate/scenario/schema.js';

/** So much is done, not for so long: sessions of two runs come to the same calls. The faults cost no transaction, so none is repeated. */
const text = `about: links that break now and then
seed: 11
load: { sessions: 1, kinds: [batch], transactions: 20, pauseMsMax: 1 }
steps:
  - faults:
      - { id: cuts, kind: call, when: { call: execute, at: before-response }, action: { kind: cut, leg: link }, probability: 0.06 }
      - { id: late, kind: call, when: { call: commit, at: before-request }, action: { kind: delay, ms: 2 }, probability: 0.6 }
    until: { done: true }
`;
const scenario = parseScenario(text, 'seeded.yaml');

/** Rules count from when they are added, a moment after the application has begun: what comes last may not be reached in each run. */
const reached = { cuts: 130, late: 12 } as const;

/** What each rule has done, in its order. */
function byRule({ acts }: RunReport): readonly (readonly RunReport['acts'][number][])[] {
  return Object.entries(reached).map(([id, last]) => acts.filter(({ rule, match }) => rule === id && match <= last));
}

t.test(
  'the same seed gives each rule the same acts in the same order, another seed others, and a log gives those of the log',
  async (t) => {
    const ground = await Ground.open(undefined, ['--allow-faults']);
    t.teardown(() => ground.close());
    const directory = mkdtempSync(join(tmpdir(), 'holdfast-replay-'));
    t.teardown(() => rmSync(directory, { recursive: true }));
    let runs = 0;
    const run = async (each: Scenario): Promise<RunReport> => {
      runs += 1;
      const report = await play({
        ground,
        scenario: each,
        name: `run ${runs}`,
        prefix: `RP${runs}`,
        say: () => undefined,
      });
      t.strictSame(report.failures, []);
      return report;
    };
    const first = await run(scenario);
    for (const acts of byRule(first)) t.ok(acts.length > 3, 'the rule has acted');
    t.strictSame(byRule(await run(scenario)), byRule(first), 'the same seed');

    const seeds = scenario.steps.map((step) => ({
      ...step,
      faults: step.faults.map((rule) => ({ ...rule, seed: 5 })),
    }));
    const other: Scenario = { ...scenario, steps: seeds };
    t.notSame(byRule(await run(other)), byRule(first), 'another seed');
    const file = join(directory, 'report.json');
    writeFileSync(file, JSON.stringify({ runs: [first] }));
    t.strictSame(
      byRule(await run(applyReplay(other, readActs(file)))),
      byRule(first),
      'another seed, and the log of the first run',
    );
  },
);

t.test('a log of another scenario, and what is no log, are refused', async (t) => {
  const strange = [{ rule: 'unheard-of', session: 1, match: 1 }];
  t.throws(() => applyReplay(scenario, strange), { code: 'replay-mismatch', message: /no fault unheard-of/ });
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-replay-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const file = join(directory, 'report.json');
  writeFileSync(file, '{"runs":[]}');
  t.throws(() => readActs(file), { code: 'replay-mismatch' });
  t.throws(() => readActs(join(directory, 'missing.json')), { code: 'replay-mismatch' });
});
