import t from 'tap';
import { Ground } from '../../migrate/rehearse/ground.js';
import { rehearse } from '../../migrate/rehearse/rehearse.js';
import { parseScenario } from '../../migrate/scenario/parse.js';
import type { Plant } from './plant.js';

const scenario = parseScenario(
  `about: a proxy that is wrong
load: { sessions: 4, kinds: [ledger] }
steps:
  - { do: [{ kind: move }], until: { committed: 20 } }
  - { do: [{ kind: detach, forMs: 50 }], until: { committed: 20 } }
`,
  'planted.yaml',
);

const found: Readonly<Record<Plant, string>> = {
  'commit-rolls-back': 'lost-append',
  'rollback-commits': 'phantom-append',
};

for (const [plant, name] of Object.entries(found)) {
  t.test(`${plant}: the checker reports ${name}, of as many operations as were spoilt, and nothing else`, async (t) => {
    const module = `${new URL('./plant.js', import.meta.url).href}?plant=${plant}`;
    const ground = await Ground.open(undefined, ['--allow-faults'], ['--import', module]);
    t.teardown(() => ground.close());
    const spoilt = () => ground.world.proxy.stderr.split('planted\n').length - 1;
    const options = { ground, scenario, name: plant, prefix: 'PL', say: () => undefined };
    const { report } = await rehearse({ ...options, shrinkTrialsMax: 0 });
    t.equal(report.passed, false);
    t.strictSame([...new Set(report.verdict.anomalies.map((anomaly) => anomaly.name))], [name]);
    t.ok(spoilt() > 0 && report.verdict.anomalies.length === spoilt(), `${spoilt()} were spoilt`);
    t.strictSame(report.verdict.errors, {}, 'no application has seen an error');
    if (plant !== 'commit-rolls-back') return;
    const { shortest } = await rehearse({ ...options, prefix: 'PM', shrinkTrialsMax: 1 });
    t.match(shortest, { steps: 1 }, 'one step is enough to fail');
    t.ok(parseScenario(shortest?.yaml ?? '', 'shortest.yaml').steps.length === 1, 'and can be played again');
  });
}
