import t from 'tap';
import { alertMessage, alertsOf } from '../../../migrate/alerts/payload.js';
import { alertRules, decide } from '../../../migrate/alerts/rules.js';
import { alertmanagerMessage, grafanaMessage } from './messages.js';

const rules = alertRules.parse({
  rules: [
    { name: 'disk', match: { alertname: 'DiskFailing', severity: ['page', 'critical'] }, do: 'evacuate', delay: '2m' },
    { name: 'power', match: { alertname: 'PowerFailing', rack: '*' }, do: 'evacuate', node: 'machine' },
    { name: 'told', match: { severity: 'info' }, do: 'notify' },
    { name: 'any', match: { team: 'dba' }, do: 'notify' },
  ],
});
const nodes = { 'node-a': '10.0.0.11', 'node-b': 'host-b.example', 'node-c': 'fd00::c' };
const decided = (labels: Record<string, string>) => {
  const decision = decide(rules, labels, nodes);
  if (decision.kind === 'ignore') return decision.why;
  return [decision.rule.name, ...(decision.kind === 'evacuate' ? [decision.node] : [])].join(' ');
};

t.test('all labels of a rule must fit, a value or one of a list, and the first rule counts', async (t) => {
  const disk = { alertname: 'DiskFailing', instance: '10.0.0.11:9100' };
  t.equal(decided({ ...disk, severity: 'page' }), 'disk node-a');
  t.equal(decided({ ...disk, severity: 'critical', team: 'dba' }), 'disk node-a');
  t.equal(decided({ ...disk, severity: 'info', team: 'dba' }), 'told');
  t.equal(decided({ ...disk, team: 'dba' }), 'any');
  t.equal(decided(disk), 'no-rule');
  t.equal(decided({ alertname: 'PowerFailing', machine: 'node-a' }), 'no-rule', 'any value is not none');
  t.equal(decided({ alertname: 'PowerFailing', rack: 'r1', machine: 'node-a' }), 'power node-a');
});

t.test('a node is known by its name or the host of its agent, with a port or without', async (t) => {
  const at = (labels: Record<string, string>) => decided({ alertname: 'DiskFailing', severity: 'page', ...labels });
  t.equal(at({ node: 'node-b' }), 'disk node-b');
  t.equal(at({ nodename: 'node-b' }), 'disk node-b');
  t.equal(at({ instance: 'host-b.example:9100' }), 'disk node-b');
  t.equal(at({ instance: '[fd00::c]:9100' }), 'disk node-c');
  t.equal(at({ node: 'elsewhere', instance: 'node-a:9100' }), 'disk node-a');
  t.equal(at({ instance: '10.0.0.12:9100' }), 'no-node');
  t.equal(at({}), 'no-node');
  t.equal(decided({ alertname: 'PowerFailing', rack: '1', node: 'node-a' }), 'no-node', 'the rule names another label');
});

t.test('that Grafana could not look is no sign of a failure, unless a rule names just that', async (t) => {
  t.equal(decided({ alertname: 'DatasourceNoData', team: 'dba' }), 'no-rule');
  t.equal(decided({ alertname: 'DatasourceError', severity: 'info' }), 'no-rule');
  const named = alertRules.parse({ rules: [{ name: 'blind', match: { alertname: 'DatasourceError' }, do: 'notify' }] });
  t.match(decide(named, { alertname: 'DatasourceError' }, nodes), { kind: 'notify' });
});

t.test('what is wrong in a file of rules is named', async (t) => {
  const rule = { name: 'disk', match: { alertname: 'DiskFailing' }, do: 'evacuate' };
  const wrong: readonly (readonly [object, string])[] = [
    [{ ...rule, match: {} }, 'rules.0.match'],
    [{ ...rule, do: 'reboot' }, 'rules.0.do'],
    [{ ...rule, delay: 'soon' }, 'rules.0.delay'],
    [{ ...rule, cooldown: '1h' }, 'rules.0'],
    [{ ...rule, concurrency: 33 }, 'rules.0.concurrency'],
  ];
  for (const [each, path] of wrong) {
    const issues = alertRules.safeParse({ rules: [each] }).error?.issues ?? [];
    t.equal(issues[0]?.path.join('.'), path);
  }
  t.notOk(alertRules.safeParse({ rules: [] }).success);
  t.notOk(alertRules.safeParse({ rules: Array.from({ length: 1_001 }, () => rule) }).success);
});

t.test('messages of Alertmanager and Grafana are understood, and no others', async (t) => {
  const labels = { alertname: 'DiskFailing', severity: 'page' };
  for (const message of [alertmanagerMessage, grafanaMessage]) {
    const [alert] = alertsOf(alertMessage.parse(message({ labels, fingerprint: 'c0ffee' })));
    t.match(alert, { fingerprint: 'c0ffee', status: 'firing', labels });
    t.equal(Date.parse(alert?.startsAt ?? ''), Date.parse('2026-03-02T09:30:00.500Z'));
  }
  const good = alertmanagerMessage({ labels });
  const bad = [{ ...good, version: '5' }, { ...good, alerts: [{ ...good.alerts[0], startsAt: 'today' }] }, [], 'alert'];
  for (const each of bad) t.notOk(alertMessage.safeParse(each).success);
});

t.test('an alert without a fingerprint is who it is by its labels, in any order', async (t) => {
  const print = (labels: Record<string, string>) =>
    alertsOf(alertMessage.parse(alertmanagerMessage({ labels })))[0]?.fingerprint;
  t.equal(print({ a: '1', b: '2' }), print({ b: '2', a: '1' }));
  t.not(print({ a: '1', b: '2' }), print({ a: '1', b: '3' }));
  t.not(print({ a: '1b2' }), print({ a: '1', b: '2' }));
});
