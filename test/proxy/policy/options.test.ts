import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { proxyOptions } from '../../../proxy/config.js';
import { holdRulesMax } from '../../../proxy/limits.js';
import { policyOf } from '../../../proxy/policy/options.js';
import { type HoldPolicy, ruleFor } from '../../../proxy/policy/rules.js';
import { resolveSettings } from '../../../shim/program/config.js';

/** The policy of a proxy with these lines in its file. */
function policy(t: Test, lines: string, flags: Record<string, string> = {}): HoldPolicy {
  const file = join(t.testdir(), 'proxy.yaml');
  writeFileSync(file, `database: db:1521\n${lines}`);
  return policyOf(resolveSettings(proxyOptions, { flags, environment: {}, file }));
}

const rules = `
hold-transaction: 2h
hold-owner: dba
hold-rules:
  - name: month-end
    service: billing
    user: [BATCH, CLOSING]
    transaction: 12h
    at-end: alert-and-keep
    warn: [2h, 30m]
    owner: finance
  - user: APP
    idle: 0
`;

t.test('what a rule leaves out is as the options say', async (t) => {
  const made = policy(t, rules);
  const hour = 3_600_000;
  t.match(ruleFor(made, { user: 'BATCH', service: 'billing' }), {
    name: 'month-end',
    budgetMs: { transaction: 12 * hour, call: hour / 4, idle: hour / 12 },
    atEnd: 'alert-and-keep',
    warnMs: [2 * hour, hour / 2],
    owner: 'finance',
  });
  t.match(ruleFor(made, { user: 'APP', service: 'x' }), {
    name: 'rule 2',
    budgetMs: { transaction: 2 * hour, idle: 0 },
    atEnd: 'close',
    warnMs: [300_000, 60_000],
    owner: 'dba',
  });
  t.match(ruleFor(made, { user: 'OTHER', service: 'x' }), { name: 'default', budgetMs: { transaction: 2 * hour } });
});

t.test('rules may stand in a flag, as text', async (t) => {
  const made = policy(t, rules, { 'hold-rules': '[{ user: OTHER, idle: 1s, warn: 500ms }]' });
  t.match(made.rules, [{ users: ['OTHER'], budgetMs: { idle: 1_000 }, warnMs: [500] }]);
});

t.test('what is wrong is named with its place, in one line', async (t) => {
  const cases: [string, RegExp][] = [
    ['hold-rules: 5', /^hold-rules \(in .*\): 5 is not allowed, expected a list of rules$/],
    ['hold-rules: [7]', /^hold-rules\.0 \(in .*\): 7 is not allowed, expected a rule$/],
    ['hold-rules: [{ user: A, idle: soon }]', /^hold-rules\.0\.idle \(in .*\): "soon" is not allowed, expected a dur/],
    ['hold-rules: [{ user: A }, { user: B, at-end: drop }]', /^hold-rules\.1\.at-end .* expected one of close, alert/],
    ['hold-rules: [{ usr: A, user: B }]', /^hold-rules\.0 .*known in a rule are name, service, user, /],
    ['hold-rules: [{ idle: 5m }]', /^hold-rules\.0 .* expected service or user: what holds for all is said by hold-t/],
    ['hold-rules: [{ user: [A, ""] }]', /^hold-rules\.0\.user\.1 .* expected some text$/],
    ['hold-at-end: drop', /^hold-at-end \(in .*\): "drop" is not allowed, expected one of close, alert-and-keep$/],
    ['hold-warn: [5m, x]', /^hold-warn\.1 \(in .*\): "x" is not allowed, expected a duration/],
  ];
  for (const [line, message] of cases) {
    t.throws(() => policy(t, line), { code: 'bad-option', message }, line);
    t.throws(() => policy(t, line), { message: /^[^\n]+$/ });
  }
  const flag = { 'hold-rules': '[{ user: A, idle: soon' };
  t.throws(() => policy(t, '', flag), { message: /^--hold-rules: "\[\{ user: A, .* expected a list of rules$/ });
  const many = JSON.stringify(Array.from({ length: holdRulesMax + 1 }, () => ({ user: 'A' })));
  t.throws(() => policy(t, `hold-rules: ${many}`), { message: /expected no more than 1000 rules$/ });
});
