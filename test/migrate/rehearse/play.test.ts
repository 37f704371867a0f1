import { readFileSync } from 'node:fs';
import t from 'tap';
import { Ground } from '../../../migrate/rehearse/ground.js';
import { play } from '../../../migrate/rehearse/play.js';
import { parseScenario } from '../../../migrate/scenario/parse.js';

const scenarios = new URL('../../../../fixtures/scenarios/', import.meta.url);

t.test('a scenario is played, and its report says what has acted and what came of it', async (t) => {
  const ground = await Ground.open(undefined, ['--allow-faults']);
  t.teardown(() => ground.close());
  const text = readFileSync(new URL('moved-in-transactions.yaml', scenarios), 'utf8');
  const name = 'moved';
  const report = await play({ ground, scenario: parseScenario(text, name), name, prefix: 'P1', say: () => undefined });
  t.strictSame(report.failures, []);
  t.match(report, { passed: true, faultsActed: 3, verdict: { consistent: true, rolledBack: 0, lost: 0 } });
  const lane = report.timeline.lanes.find((each) => each.name === 'session 1');
  t.ok(
    lane?.spans.some(({ kind }) => kind === 'blackout'),
    'the blackout of a move goes through the lanes',
  );
  t.ok((lane?.marks.filter(({ kind }) => kind === 'bind').length ?? 0) >= 3, 'so do the binds');

  const never = parseScenario(text.replace(/steps:[\s\S]*/, 'steps: [{ until: { refused: 3, withinMs: 300 } }]'), name);
  const nothing = await play({ ground, scenario: never, name, prefix: 'P2', say: () => undefined });
  t.match(nothing, { passed: false, faultsActed: 0 });
  const unheard =
    'steps: [{ name: quiet, until: { afterMs: 1 }, expect: { events: [expire], refused: [stale-epoch] } }]';
  const quiet = parseScenario(text.replace(/steps:[\s\S]*/, unheard), name);
  const { failures } = await play({ ground, scenario: quiet, name, prefix: 'P3', say: () => undefined });
  t.match(failures.join(), /quiet: nobody was refused stale-epoch,quiet: there was no expire/);
  t.match(nothing.failures.join(), /step 1: not over after 300 ms: .*no fault has acted/);
});
