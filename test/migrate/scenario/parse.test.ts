import t, { type Test } from 'tap';
import { parseScenario } from '../../../migrate/scenario/parse.js';
import { scenarioJsonSchema } from '../../../migrate/scenario/schema.js';
import { verdicts } from '../../../shim/link/resume.js';
import { scenarios } from '../../scenarios/play-all.js';

const good = `about: an answer that never comes
seed: 7
load: { sessions: 4 }
steps:
  - faults:
      - id: withheld
        kind: call
        when: { call: commit, at: before-response }
        action: { kind: withhold }
    until: { acts: 5 }
  - do: [{ kind: move }]
    until: { committed: 20 }
`;

function wrong(t: Test, text: string, ...messages: readonly RegExp[]): void {
  for (const message of messages) t.throws(() => parseScenario(text, 'a.yaml'), { code: 'scenario-invalid', message });
}

t.test('a scenario is read with its defaults', async (t) => {
  const { steps, load, expect } = parseScenario(good, 'a.yaml');
  t.match(load, { sessions: 4, applications: 1, kinds: ['ledger', 'bank', 'batch', 'queue', 'registers'] });
  t.match(steps[1], { do: [{ kind: 'move', application: 1 }], until: { withinMs: 60_000 } });
  t.equal(expect.rolledBack, 'none');
});

t.test('whatever is wrong is told with line and column', async (t) => {
  wrong(t, good.replace('kind: withhold', 'kind: forget'), /a\.yaml:9:25: steps\.0\.faults\.0\.action\.kind: /);
  wrong(t, good.replace('acts: 5', 'acts: -5'), /a\.yaml:10:20: steps\.0\.until\.acts: /);
  wrong(t, good.replace('seed: 7', 'sead: 7'), /a\.yaml:2:7: sead: Unrecognized key/);
  wrong(
    t,
    good.replace('until: { acts: 5 }', 'until: {}'),
    /a\.yaml:10:12: steps\.0\.until: nothing would end this step/,
  );
  wrong(t, good.replace('before-response', 'in-response'), /a\.yaml:8:35: .*needs either byte or fraction/);
  wrong(t, `${good}  bad: [`, /a\.yaml:13:\d+: /);
  wrong(t, 'about: x', /a\.yaml:1:1: steps: /);
});

t.test('the JSON schema names what a file may hold', async (t) => {
  const schema = JSON.stringify(scenarioJsonSchema());
  for (const word of ['withhold', 'two-moves', 'limit_data', 'leaseMs', 'straight']) t.match(schema, `"${word}"`);
});

t.test(
  'every verdict of the link has a scenario in which it must be given, and so do a redirect, LOB operations and FETCH',
  async (t) => {
    const steps = scenarios().flatMap(({ scenario }) => scenario.steps);
    const refused = new Set(steps.flatMap((step) => step.expect?.refused ?? []));
    for (const verdict of verdicts) t.ok(refused.has(verdict), verdict);
    const rules = steps.flatMap(({ faults }) => faults).filter((rule) => rule.kind === 'call');
    t.ok(
      rules.some(({ action }) => action.kind === 'redirect'),
      'redirect',
    );
    for (const call of ['lob', 'fetch'])
      t.ok(
        rules.some(({ when }) => when.call === call),
        call,
      );
  },
);
